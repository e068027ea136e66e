"""The local stack's identity provider: one ES256 key made here, its JWKS, and tokens signed with it.

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

ISSUER = "https://identity.laundry.localhost"
AUDIENCE = "smart-fitness-laundry"
ROLES = ("helper", "owner", "customer", "operator", "device")
KEY_FILE = "es256.pem"


class LocalIdentity:
    """A signing key in ``folder`` (made when missing, readable by its owner only)."""

    def __init__(self, folder: Path) -> None:
        self.key_file = folder / KEY_FILE
        if not self.key_file.exists():
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            _write_new_key(self.key_file)
        key = serialization.load_pem_private_key(self.key_file.read_bytes(), password=None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key

    @property
    def key_id(self) -> str:
        """RFC 7638 style name of the key: digest of its public part."""
        numbers = self._key.public_key().public_numbers()
        return uuid.uuid5(uuid.NAMESPACE_OID, f"{numbers.x}:{numbers.y}").hex

    def jwks(self) -> dict[str, Any]:
        """Return the JWKS document (RFC 7517) with the public key."""
        public: dict[str, Any] = json.loads(ECAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{**public, "kid": self.key_id, "use": "sig", "alg": "ES256"}]}

    def mint(
        self, *, role: str, branches: Sequence[str], subject: str | None = None, seconds: int = 43200
    ) -> str:
        """Return a signed JWT; ``seconds`` is how long it is valid. Raises ValueError for an unknown role."""
        if role not in ROLES:
            raise ValueError(f"role is one of {', '.join(ROLES)}")
        now = int(time.time())
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": subject or f"{role}-1",
            "role": role,
            "branches": list(branches),
            "iat": now,
            "exp": now + seconds,
        }
        return jwt.encode(claims, self._key, algorithm="ES256", headers={"kid": self.key_id})


def _write_new_key(path: Path) -> None:
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    # Made aside and renamed: a second process never reads half a key, nor overwrites the first one's.
    draft = path.with_suffix(f".{uuid.uuid4().hex}")
    draft.touch(0o600)
    draft.write_bytes(pem)
    try:
        path.hardlink_to(draft)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
