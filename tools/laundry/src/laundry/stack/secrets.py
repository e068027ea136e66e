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
from laundry_service.auth.rsa_keys import new_key


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
    sign_in: dict[str, str]


def load(paths: StackPaths, services: Sequence[str]) -> Secrets:
    """Return the stack's secrets, making those that are missing."""
    kept: dict[str, Any] = read_json(paths.secrets_file) or {}
    made: dict[str, Any] = {
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
    known: dict[str, str] = kept.get("sign_in", {})
    made["sign_in"] = {
        "client_secret": known.get("client_secret") or secrets.token_urlsafe(32),
        "session_key": known.get("session_key") or secrets.token_urlsafe(32),
        "cookie_key": known.get("cookie_key") or secrets.token_urlsafe(32),
        "signing_key": known.get("signing_key") or new_key(),
        "first_operator_password": known.get("first_operator_password") or secrets.token_urlsafe(12),
    }
    if made != kept:
        write_json(paths.secrets_file, made)
    return Secrets(**made)


def first_operator_password(paths: StackPaths) -> str | None:
    """Return the password that the identity service's first operator was made with, if one was made."""
    kept: dict[str, Any] = read_json(paths.secrets_file) or {}
    found: str | None = kept.get("sign_in", {}).get("first_operator_password")
    return found
