"""Passwords and keys of the local stack: made once, kept in a file that only its owner reads."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from laundry.paths import StackPaths
from laundry.push_keys import new_private_key
from laundry_catalogue import audited
from laundry_reading.signing import SigningKey
from laundry_servers.files import read_json, write_json


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the stack's servers and services log in with, and what models and letters are signed with."""

    broker_admin: str
    database_admin: str
    s3_access_key: str
    s3_secret_key: str
    model_signing_key: str
    web_push_key: str
    broker: dict[str, str]
    database: dict[str, str]
    database_owner: dict[str, str]
    letters: dict[str, str]


def load(paths: StackPaths, services: Sequence[str]) -> Secrets:
    """Return the stack's secrets, making those that are missing."""
    kept: dict[str, Any] = read_json(paths.secrets_file) or {}
    made = {
        "broker_admin": kept.get("broker_admin") or secrets.token_urlsafe(24),
        "database_admin": kept.get("database_admin") or secrets.token_urlsafe(24),
        "s3_access_key": kept.get("s3_access_key") or secrets.token_hex(10).upper(),
        "s3_secret_key": kept.get("s3_secret_key") or secrets.token_hex(20),
        "model_signing_key": kept.get("model_signing_key") or SigningKey.generate().text,
        "web_push_key": kept.get("web_push_key") or new_private_key(),
        "broker": {name: secrets.token_urlsafe(24) for name in services} | kept.get("broker", {}),
        "letters": {name: secrets.token_urlsafe(32) for name in services} | kept.get("letters", {}),
        "database": {name: secrets.token_urlsafe(24) for name in services} | kept.get("database", {}),
        "database_owner": {name: secrets.token_urlsafe(24) for name in audited()}
        | kept.get("database_owner", {}),
    }
    if made != kept:
        write_json(paths.secrets_file, made)
    return Secrets(**made)
