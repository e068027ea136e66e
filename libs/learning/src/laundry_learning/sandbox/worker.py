"""Reads photos and models for another process: frames in, frames out.

A frame is its length (4 bytes, little-endian), one byte and the content. What comes: a model (``M``), a photo
whose features are wanted (``F``), or all that the model says of it (``S``), the edge of a square and a photo
whose pixels are wanted (``P``), two models that are to be weighed (``C``), a model whose last layer is wanted
(``H``). What goes: the answer (``.``), or why there is none (``!``).
"""

import json
import os
import struct
from collections.abc import Callable
from typing import BinaryIO

LENGTH = struct.Struct("<IB")
EDGE = struct.Struct("<H")
SIZE = struct.Struct("<I")
SHAPE = struct.Struct("<II")
CHANCES = struct.Struct("<ff")
MOST = 160 * 2**20
ANSWER, REFUSAL = ord("."), ord("!")


class Worker:
    """Holds the last model it was given."""

    def __init__(self) -> None:
        # Imported once the process is confined.
        from laundry_reading.model import Model  # noqa: PLC0415

        self._load: Callable[[bytes], Model] = Model.load
        self._model: Model | None = None

    def answer(self, kind: str, content: bytes) -> bytes:
        """Do what a frame asks. Raises ValueError for a frame that is none, else the readers' own errors."""
        import numpy as np  # noqa: PLC0415

        from laundry_learning.near_duplicates import picture_hash  # noqa: PLC0415
        from laundry_reading.preprocess import decode_for_model  # noqa: PLC0415

        if kind == "M":
            self._model = self._load(content)
            return b""
        if kind in ("F", "S"):
            if self._model is None:
                raise ValueError("no model was given")
            pixels = decode_for_model(content, self._model.input_size)
            seen = self._model.predict_all(pixels[np.newaxis])
            chances = CHANCES.pack(seen.known[0], seen.several[0]) if kind == "S" else b""
            return bytes(chances + picture_hash(pixels) + seen.features[0].astype(np.float16).tobytes())
        if kind == "P":
            (edge,) = EDGE.unpack_from(content)
            return bytes(decode_for_model(content[EDGE.size :], edge).tobytes())
        if kind == "C":
            from laundry_learning.cost import compare_costs  # noqa: PLC0415

            (first,) = SIZE.unpack_from(content)
            champion, challenger = content[SIZE.size :][:first], content[SIZE.size + first :]
            return json.dumps([cost.milliseconds for cost in compare_costs(champion, challenger)]).encode()
        if kind == "H":
            from laundry_learning.graph import read_head  # noqa: PLC0415

            head = read_head(content)
            shape = SHAPE.pack(*head.weights.shape)
            return bytes(shape + head.weights.tobytes() + head.bias.tobytes())
        raise ValueError(f"unknown frame {kind!r}")


def read_frame(source: BinaryIO) -> tuple[str, bytes] | None:
    """Read a frame, None at the end. Raises ValueError for one that is too long."""
    head = source.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    length, kind = LENGTH.unpack(head)
    if length > MOST:
        raise ValueError("a frame is too long")
    return chr(kind), source.read(length)


def main() -> None:
    """Answer until the input ends."""
    source, out = os.fdopen(0, "rb"), os.fdopen(os.dup(1), "wb")
    # Keeps library output off the answer stream.
    os.dup2(2, 1)
    worker = Worker()
    while (frame := read_frame(source)) is not None:
        try:
            kind, content = ANSWER, worker.answer(*frame)
        except Exception as error:
            kind, content = REFUSAL, f"{type(error).__name__}: {error}"[:500].encode(errors="replace")
        out.write(LENGTH.pack(len(content), kind) + content)
        out.flush()


if __name__ == "__main__":
    main()
