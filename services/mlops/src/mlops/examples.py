"""What a confirmed task teaches, and which branches judge instead. Knows no server and no framework."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

Side = Literal["learning", "holdout"]

HOLDOUT_SHARE = 0.2
FIRST_BRANCHES = 8
"""So many branches learn before any stands aside: a small chain has none to spare, and other photos judge."""


def side_of(branch_id: str, branches_before: int) -> Side:
    """Say whether a new branch teaches or judges; it then stays on that side for ever.

    A whole branch stands aside, not single photos: those of one household are alike, and would flatter a
    model that has learnt the others.
    """
    if branches_before < FIRST_BRANCHES:
        return "learning"
    drawn = hashlib.sha256(f"holdout-1:{branch_id}".encode()).digest()
    return "holdout" if int.from_bytes(drawn[:8], "big") < HOLDOUT_SHARE * 2**64 else "learning"


def single_label(labels: Sequence[Mapping[str, Any]], known: Sequence[str]) -> int | None:
    """Return the number of the one class that a photo shows.

    None when people counted several kinds of garment on it or one that the model does not know: a model
    that says one class a photo cannot learn from these.
    """
    names = {str(each["label"]) for each in labels}
    if len(names) != 1:
        return None
    name = names.pop()
    return known.index(name) if name in known else None
