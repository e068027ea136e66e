"""The folder of a run: kept while the run may go on, so that a killed one does, and removed after it."""

import os
import shutil
import tempfile
from pathlib import Path

from laundry_service.database import Database
from mlops import repository
from mlops.settings import Settings
from mlops.training.order import OUT_FOLDER, PHOTOS_FOLDER, WEIGHTS_FILE, Order

NAME = "run-"
ENDED = ("succeeded", "failed", "cancelled")


class Workshop:
    """A run's folder."""

    def __init__(self, settings: Settings, run_id: str) -> None:
        """Take where folders of runs are."""
        self.root = settings.training_work or Path(tempfile.gettempdir()) / f"laundry-training-{os.getuid()}"
        self.folder = self.root / f"{NAME}{run_id}"

    @property
    def photos(self) -> Path:
        """Where the corrections' photos are."""
        return self.folder / PHOTOS_FOLDER

    @property
    def out(self) -> Path:
        """Where the trainer leaves the new model."""
        return self.folder / OUT_FOLDER

    async def open(self, database: Database) -> None:
        """Make the folder, and remove those of ended runs: a cancelled one cannot do it itself."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.mkdir(exist_ok=True, mode=0o700)
        self.photos.mkdir(exist_ok=True)
        for other in self.root.glob(f"{NAME}*"):
            async with database.session() as session:
                run = await repository.get_run(session, other.name.removeprefix(NAME))
            if run is not None and run["status"] in ENDED:
                shutil.rmtree(other, ignore_errors=True)

    def put(self, order: Order, weights: bytes) -> Order:
        """Lay the order down; an earlier attempt goes on if its was the same, else it is removed."""
        try:
            former: Order | None = Order.load(self.folder)
        except (OSError, ValueError):
            former = None
        if former is not None and former.same_work(order):
            return former
        for each in self.folder.iterdir():
            if each != self.photos:
                shutil.rmtree(each) if each.is_dir() else each.unlink()
        (self.folder / WEIGHTS_FILE).write_bytes(weights)
        order.save(self.folder)
        return order

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
