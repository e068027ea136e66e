"""Restricts this process and its children irrevocably with Landlock (landlock(7))."""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION_FLAG = 1
PATH_BENEATH = 1
NO_NEW_PRIVS = 38

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
TRUNCATE, DEVICE_CONTROL = 1 << 14, 1 << 15
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | DEVICE_CONTROL
RIGHTS_BY_VERSION = {1: 13, 2: 14, 3: 15, 4: 15}
MOST_RIGHTS = 16
BIND_TCP, CONNECT_TCP = 1 << 0, 1 << 1
ABSTRACT_SOCKETS, SIGNALS = 1 << 0, 1 << 1
NETWORK_SINCE, SCOPES_SINCE = 4, 6


class _Ruleset(ctypes.Structure):
    _fields_ = (("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64))


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("allowed", ctypes.c_uint64), ("parent", ctypes.c_int32))


def version() -> int:
    """Return what version the kernel has, 0 for none."""
    found = _libc().syscall(CREATE_RULESET, None, 0, VERSION_FLAG)
    return max(0, int(found))


def restrict(*, read: Iterable[Path], write: Iterable[Path]) -> bool:
    """Restrict this process to these paths for reading and executing, or writing; no TCP, no signals.

    Returns:
        whether the kernel does so.

    Raises:
        OSError: it can, but refuses.
    """
    kernel = version()
    if not kernel:
        return False
    libc = _libc()
    rights = (1 << RIGHTS_BY_VERSION.get(kernel, MOST_RIGHTS)) - 1
    network = BIND_TCP | CONNECT_TCP if kernel >= NETWORK_SINCE else 0
    scopes = ABSTRACT_SOCKETS | SIGNALS if kernel >= SCOPES_SINCE else 0
    size = 24 if kernel >= SCOPES_SINCE else 16 if kernel >= NETWORK_SINCE else 8
    rules = _checked(libc.syscall(CREATE_RULESET, ctypes.byref(_Ruleset(rights, network, scopes)), size, 0))
    try:
        for path in read:
            _allow(rules, path, (EXECUTE | READ_FILE | READ_DIR) & rights)
        for path in write:
            _allow(rules, path, rights & ~EXECUTE)
        _checked(libc.prctl(NO_NEW_PRIVS, 1, 0, 0, 0))
        _checked(libc.syscall(RESTRICT_SELF, rules, 0))
    finally:
        os.close(rules)
    return True


def _allow(rules: int, path: Path, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        beneath = _Beneath(rights if path.is_dir() else rights & OF_FILES, place)
        _checked(_libc().syscall(ADD_RULE, rules, PATH_BENEATH, ctypes.byref(beneath), 0))
    finally:
        os.close(place)


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
