"""Reads one photo in a process of its own, makes its pictures, and tells, as JSON, what memory that took.

Run as `python read_largest.py MODEL PHOTO SMALL PIXELS`: SMALL is read first, so that what every
reading needs is there already; PIXELS is where the decoded photo is saved.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from laundry_reading.model import Model
from laundry_reading.photo import check_photo
from laundry_reading.pictures import make_pictures
from laundry_reading.preprocess import decode_for_model


def memory(field: str) -> float:
    """Megabytes by the kernel's account: `VmRSS` held now, `VmHWM` the most held since the process began.

    Not `ru_maxrss`: that starts with what the parent held when it started this process.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{field}:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise LookupError(field)


def main() -> None:
    shipped, photo_file, small_file, pixels_file = map(Path, sys.argv[1:])
    model = Model.load(shipped)
    model.read(small_file.read_bytes())
    photo = photo_file.read_bytes()
    before = memory("VmRSS")
    info = check_photo(photo)
    model.read(photo)
    made = make_pictures(photo)
    added = memory("VmHWM") - before
    np.save(pixels_file, decode_for_model(photo, model.input_size))
    told = {
        "size": [info.width, info.height],
        "display": [made.display.width, made.display.height],
        "thumbnail": [made.thumbnail.width, made.thumbnail.height],
        "added_mb": added,
    }
    print(json.dumps(told))


if __name__ == "__main__":
    main()
