"""The local identity's files as containers see them: copies, mounted one by one."""

import json
from pathlib import Path

from laundry.paths import StackPaths
from laundry_servers.deny_list import DENIED_FILE, LocalDenyList
from laundry_servers.identity import KEY_FILE, RETIRED_FILE, LocalIdentity

# Containers run as other users than the one who owns these files; the folder keeps everybody else out.
MOUNTED_MODE = 0o644
MOUNTED_FOLDER_MODE = 0o755


def mirror_identity(paths: StackPaths) -> None:
    """Copy the identity's key, retired keys and deny list as they are now, if Compose was set up here."""
    folder = paths.var / "compose"
    if not folder.is_dir():
        return
    identity = LocalIdentity(paths.identity)
    write_in_place(folder / KEY_FILE, identity.key_file.read_text())
    write_in_place(folder / RETIRED_FILE, json.dumps(identity.jwks()["keys"][1:]))
    write_in_place(folder / DENIED_FILE, json.dumps(LocalDenyList(paths.identity).document()))


def write_in_place(path: Path, text: str) -> None:
    """Write a file that a running container may have mounted: its mount would not follow a rename."""
    content = text.encode()
    # Writing empties a file first, which a full disk does not fill again.
    if not path.exists() or path.read_bytes() != content:
        path.touch(0o600)
        path.write_bytes(content)
    path.chmod(MOUNTED_MODE)


def mounted_folder(path: Path) -> Path:
    """Make a folder that containers have mounted as a whole, with files that they are to find: whatever the
    umask of the person says.
    """
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(MOUNTED_FOLDER_MODE)
    return path
