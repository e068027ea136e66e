"""What a confirmed task teaches, and which examples judge instead. Knows no server and no framework."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

HOLDOUT_SHARE = 0.25


def judges(photo_sha256: str, *, share: float = HOLDOUT_SHARE) -> bool:
    """Whether a photo judges models and is never learnt from.

    Told from the photo's own hash: it stays on its side for ever, also when it is submitted twice.
    """
    drawn = hashlib.sha256(f"holdout-1:{photo_sha256}".encode()).digest()
    return int.from_bytes(drawn[:8], "big") < share * 2**64


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
