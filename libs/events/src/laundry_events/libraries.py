"""What is used of FastStream, aiormq and asyncpg beyond their public interface, checked before a start.

A name that an upgrade moves would be missed in silence: a node that is cut off would be kept, a stop would
count deaths. So it is looked for where it is used, and a service that does not find it does not start.
"""

from importlib.metadata import version


class UnsupportedLibrary(RuntimeError):
    """An installed release of a library is none that this package knows how to use."""

    def __init__(self, library: str, what: str) -> None:
        """Name the library's distribution, and what of it is not as it was."""
        remedy = "adapt laundry_events, or use the release of requirements.lock"
        super().__init__(f"{library} {version(library)} {what}: {remedy}")


def require(library: str, owner: type, *names: str) -> None:
    """Check that a library's class still has some attributes.

    Raises:
        UnsupportedLibrary: it lacks one.
    """
    missing = [name for name in names if not hasattr(owner, name)]
    if missing:
        raise UnsupportedLibrary(library, f"has no {owner.__name__}.{' and no '.join(missing)}")


def require_made(library: str, owner: type, *names: str) -> None:
    """Check that the objects of a library's class still have some attributes, which its ``__init__`` sets.

    Raises:
        UnsupportedLibrary: they lack one.
    """
    set_ = owner.__init__.__code__.co_names  # type: ignore[misc]
    missing = [name for name in names if name not in set_]
    if missing:
        raise UnsupportedLibrary(library, f"sets no {owner.__name__}.{' and no '.join(missing)}")
