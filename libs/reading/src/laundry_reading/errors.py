"""Why a photo is refused. Each has a stable code, advice for people, and the facts it names."""

from __future__ import annotations

from typing import ClassVar


class PhotoError(Exception):
    """A photo that cannot be taken.

    Attributes:
        code: stable, for machines.
        facts: what the message names, for texts in other languages.
    """

    code: ClassVar[str] = "unreadable"

    def __init__(self, message: str, **facts: str | int) -> None:
        super().__init__(message)
        self.facts = facts


class EmptyPhoto(PhotoError):
    """There are no bytes."""

    code = "empty"


class NotAnImage(PhotoError):
    """The bytes are not a known image format."""

    code = "not_an_image"


class UnsupportedFormat(PhotoError):
    """A file of a known kind that is not taken; `facts` name the `format`."""

    code = "unsupported_format"


class UnsupportedEncoding(PhotoError):
    """A JPEG of a kind that no browser shows; `facts` name the `encoding`."""

    code = "unsupported_encoding"


class TruncatedPhoto(PhotoError):
    """The file ends before the picture does."""

    code = "truncated"


class DamagedPhoto(PhotoError):
    """The file is whole in length and broken inside."""

    code = "damaged"


class TooManyBytes(PhotoError):
    """More bytes than the limit."""

    code = "too_many_bytes"


class TooManyPixels(PhotoError):
    """More pixels than can be read in bounded memory, whatever the file weighs."""

    code = "too_many_pixels"


def cut_off() -> TruncatedPhoto:
    """Say that the end is missing."""
    return TruncatedPhoto("The photo is cut off: its end is missing. Send it again from where it is whole.")


def damaged() -> DamagedPhoto:
    """Say that it cannot be decoded."""
    return DamagedPhoto("The photo is damaged inside and cannot be shown. Take it again.")
