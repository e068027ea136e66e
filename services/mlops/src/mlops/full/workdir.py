"""The folder of a run: it stays while the run may be resumed, and is removed when the run has ended."""

import os
import shutil
import tempfile
from pathlib import Path

from laundry_learning.fine_tuning.contract import (
    CACHE_FOLDER,
    CHECKPOINT_FILE,
    OUT_FOLDER,
    PHOTOS_FOLDER,
    WEIGHTS_FILE,
    Order,
)
from laundry_service.storage.database import Database
from mlops import repository
from mlops.settings import Settings

NAME = "run-"
KEPT_ORDER = ".order"
GOES_ON = (CHECKPOINT_FILE, CACHE_FOLDER, OUT_FOLDER)
"""What the next attempt resumes from."""

ENDED = ("succeeded", "failed", "cancelled")


class WorkDir:
    """The folder that a run shares with its trainer: order, photos, checkpoint, and the new model."""

    def __init__(self, settings: Settings, run_id: str) -> None:
        """Take the settings, which name the folder of all runs."""
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
        """Make the folder, and remove those of finished runs: a cancelled run cannot do so itself."""
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.mkdir(exist_ok=True, mode=0o700)
        if self.photos.is_symlink():
            # The trainer of an attempt before may write here.
            self.photos.unlink()
        self.photos.mkdir(exist_ok=True)
        for other in (each for each in self.root.glob(f"{NAME}*") if each.is_dir()):
            async with database.session() as session:
                run = await repository.get_run(session, other.name.removeprefix(NAME))
            if run is not None and run.status in ENDED:
                _remove(other)

    def put(self, order: Order, weights: bytes) -> Order:
        """Write the order; an earlier attempt at the same work is resumed, another one removed."""
        # Kept outside of what the trainer may write.
        kept = self.folder.with_suffix(KEPT_ORDER)
        try:
            former: Order | None = Order.model_validate_json(kept.read_bytes())
        except (OSError, ValueError):
            former = None
        same = former if former is not None and former.same_work(order) else None
        for each in self.folder.iterdir():
            if each != self.photos and (same is None or each.name not in GOES_ON):
                shutil.rmtree(each) if each.is_dir() and not each.is_symlink() else each.unlink()
        order = same or order
        (self.folder / WEIGHTS_FILE).write_bytes(weights)
        order.save(self.folder)
        kept.write_text(order.model_dump_json(), encoding="utf-8")
        return order

    def close(self) -> None:
        """Remove the folder and the order that is kept beside it."""
        _remove(self.folder)


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.with_suffix(KEPT_ORDER).unlink(missing_ok=True)
