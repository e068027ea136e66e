"""A service looks for garbage more seldom, and still finds it."""

import gc
import weakref
from collections.abc import Iterator

import pytest

from laundry_service.garbage import YOUNG, look_seldom


class Cycle:
    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    yield
    gc.unfreeze()
    if frozen:
        gc.freeze()  # for the tests that follow in this process
    gc.set_threshold(*before)


def test_what_is_there_at_the_start_is_left_alone_and_what_comes_is_freed() -> None:
    look_seldom()
    assert gc.get_freeze_count() > 0
    lost = weakref.ref(Cycle())
    in_use = [[number] for number in range(YOUNG + 1_000)]
    assert lost() is None
    assert len(in_use) > YOUNG
