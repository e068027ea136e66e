"""Training from the photos: why this service does not start it, said openly."""

import importlib.util

NEEDED = ("torch", "onnxscript")


def why_not() -> str:
    """Say what a full training needs, naming what this machine lacks."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    lacking = f" and is not available on this machine without {' and '.join(missing)}" if missing else ""
    return (
        f"A full training needs the training photos and about an hour of two cores{lacking}. "
        "Run `make model` where they are, or start a refit."
    )
