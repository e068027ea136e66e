"""The part of a file that is made from the code: what stands between two of its lines."""

import re

from laundry_servers.errors import LaundryError


def replaced(text: str, name: str, part: str) -> str:
    """Return a file's text with another part between its lines ``>>> name`` and ``<<< name``.

    Raises:
        LaundryError: the lines are not there exactly once each.
    """
    opening = [found.end() for found in re.finditer(rf"^.*>>> {name}\b.*\n", text, re.MULTILINE)]
    closing = [found.start() for found in re.finditer(rf"^.*<<< {name}\b.*$", text, re.MULTILINE)]
    if len(opening) != 1 or len(closing) != 1 or closing[0] < opening[0]:
        raise LaundryError(f"there is no one pair of lines with >>> {name} and <<< {name}")
    return text[: opening[0]] + part.rstrip("\n") + "\n" + text[closing[0] :]
