"""A new service in a copy of the repository, made as the guide says."""

from pathlib import Path

import pytest

from tests.catalogue.checkout import ROOT, Checkout

NAME = "worn-machines"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that every user may enter: PostgreSQL does not run as root."""
    folder = tmp_path_factory.mktemp("checkouts")
    for part in (folder, folder.parent):
        part.chmod(0o755)
    return folder


@pytest.fixture(scope="module")
def with_service(folder: Path) -> Checkout:
    """A copy with one service more."""
    checkout = Checkout.of(ROOT, folder / "with-service")
    checkout.run("laundry.cli", "new", "service", NAME)
    checkout.install()
    checkout.contracts()
    return checkout
