"""The local stack's identity provider: an ES256 key, its JWKS, and tokens signed with it.

Production configures a JWKS address of its own provider; this key is never used there.
"""

import json
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

from laundry_servers.certificates import private_pem
from laundry_servers.files import read_json, write_json

ISSUER = "https://identity.laundry.localhost"
AUDIENCE = "smart-fitness-laundry"
ROLES = ("helper", "owner", "customer", "operator", "device")
KEY_FILE = "es256.pem"
RETIRED_FILE = "retired.json"
# As in laundry_service.auth.claims; importing that would cost the command a second. A test compares them.
MAX_HOURS = {"device": 720.0}
DEFAULT_MAX_HOURS = 24.0


class LocalIdentity:
    """A signing key in ``folder`` (made when missing, readable by its owner only).

    The folder is read again when it changes: another process may have rotated the key.
    """

    def __init__(self, folder: Path) -> None:
        self.key_file = folder / KEY_FILE
        self._retired_file = folder / RETIRED_FILE
        if not self.key_file.exists():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._place_new_key(replace=False)
        self._loaded: tuple[tuple[int, int], ec.EllipticCurvePrivateKey] | None = None

    @property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        found = self.key_file.stat()
        version = found.st_ino, found.st_mtime_ns
        if self._loaded is None or self._loaded[0] != version:
            key = serialization.load_pem_private_key(self.key_file.read_bytes(), password=None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            self._loaded = version, key
        return self._loaded[1]

    @property
    def key_id(self) -> str:
        """Name of the key that signs now: a digest of its public part."""
        return _key_id(self._key)

    def jwks(self) -> dict[str, Any]:
        """Return the JWKS document (RFC 7517): the key that signs, and those before it until withdrawn."""
        return {"keys": [_public(self._key), *self._retired()]}

    def rotate(self, *, keep_old: bool = False) -> str:
        """Sign with a new key from now on; returns its name.

        Args:
            keep_old: go on publishing the key that signed until now, so that its tokens stay good.
        """
        old = _public(self._key)
        # Before the new key: in between both are published, never neither.
        write_json(self._retired_file, [old, *self._retired()])
        self._place_new_key(replace=True)
        if not keep_old:
            self.withdraw()
        return self.key_id

    def withdraw(self) -> int:
        """Publish no key but the one that signs now; returns how many were withdrawn."""
        number = len(self._retired())
        self._retired_file.unlink(missing_ok=True)
        return number

    def _retired(self) -> list[dict[str, Any]]:
        return list(read_json(self._retired_file) or [])

    def _place_new_key(self, *, replace: bool) -> None:
        pem = private_pem(ec.generate_private_key(ec.SECP256R1()))
        # Written aside and renamed: another process never reads half a key or overwrites this one.
        draft = self.key_file.with_suffix(f".{uuid.uuid4().hex}")
        draft.touch(0o600)
        draft.write_bytes(pem)
        if replace:
            draft.replace(self.key_file)
            return
        try:
            self.key_file.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()

    def mint(
        self, *, role: str, branches: Sequence[str], subject: str | None = None, seconds: int = 43200
    ) -> str:
        """Return a signed JWT; ``seconds`` is how long it is valid. Raises ValueError for an unknown role."""
        if role not in ROLES:
            raise ValueError(f"role is one of {', '.join(ROLES)}")
        now, key = int(time.time()), self._key
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject or f"{role}-1",
            "role": role,
            "branches": list(branches),
            "iat": now,
            "exp": now + seconds,
            "jti": uuid.uuid4().hex,
        }
        return jwt.encode(claims, key, algorithm="ES256", headers={"kid": _key_id(key)})


def max_hours(role: str) -> float:
    """Return how long the services take a token of a role at most."""
    return MAX_HOURS.get(role, DEFAULT_MAX_HOURS)


def _key_id(key: ec.EllipticCurvePrivateKey) -> str:
    numbers = key.public_key().public_numbers()
    return uuid.uuid5(uuid.NAMESPACE_OID, f"{numbers.x}:{numbers.y}").hex


def _public(key: ec.EllipticCurvePrivateKey) -> dict[str, Any]:
    public: dict[str, Any] = json.loads(ECAlgorithm.to_jwk(key.public_key()))
    return {**public, "kid": _key_id(key), "use": "sig", "alg": "ES256"}
