"""The public keys of a JWKS document (RFC 7517) that may have signed a token."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import jwt
import structlog
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from laundry_service.auth.remote import Malformed

MAX_KEYS = 100
MIN_RSA_BITS = 2048
# The algorithm must fit the key type: an RSA key named ES256 is useless.
ALGORITHM_OF = {("EC", "P-256"): "ES256", ("RSA", None): "RS256", ("OKP", "Ed25519"): "EdDSA"}
PUBLIC_PARTS = {"kty", "crv", "x", "y", "n", "e"}

log = structlog.get_logger(__name__)


class TrustedKey:
    """One public key, good for one algorithm."""

    def __init__(self, key: jwt.PyJWK) -> None:
        """Wrap a key that was checked."""
        self.key = key
        der = key.key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        self.fingerprint = hashlib.sha256(der).hexdigest()


class KeySet:
    """Keys by id and algorithm. Two keys may share an id while one replaces the other: both are tried."""

    def __init__(self, document: object) -> None:
        """Parse a JWKS document; unusable keys are skipped and logged.

        Raises:
            Malformed: it is no JWKS document, or has too many keys.
        """
        keys = document.get("keys") if isinstance(document, dict) else None
        if not isinstance(keys, list):
            raise Malformed("no list named keys")
        if len(keys) > MAX_KEYS:
            raise Malformed(f"{len(keys)} keys, more than {MAX_KEYS}")
        self._keys: dict[tuple[str, str], list[TrustedKey]] = defaultdict(list)
        for index, key in enumerate(keys):
            try:
                key_id, algorithm, trusted = _read(key)
            except (jwt.PyJWTError, ValueError, TypeError, OverflowError, UnsupportedAlgorithm) as error:
                log.warning("a key of the JWKS is passed over", index=index, error=str(error)[:200])
            else:
                self._keys[key_id, algorithm].append(trusted)
        self.fingerprints = frozenset(key.fingerprint for key in self)
        if not self.fingerprints:
            log.warning("the JWKS has no key that can be used: no token is taken", keys=len(keys))

    def __iter__(self) -> Iterator[TrustedKey]:
        """Go through all keys."""
        for keys in self._keys.values():
            yield from keys

    def find(self, key_id: str, algorithm: str) -> tuple[TrustedKey, ...]:
        """Return the keys of that id for that algorithm."""
        return tuple(self._keys.get((key_id, algorithm), ()))


def _read(key: Any) -> tuple[str, str, TrustedKey]:
    if not isinstance(key, dict):
        raise Malformed("no JSON object")
    key_id, use, operations = key.get("kid"), key.get("use", "sig"), key.get("key_ops", ["verify"])
    if not isinstance(key_id, str) or not key_id:
        raise Malformed("no kid")
    if use != "sig" or not isinstance(operations, list) or "verify" not in operations:
        raise Malformed("not for signatures")
    kind = key.get("kty"), key.get("crv")
    algorithm = ALGORITHM_OF.get((str(kind[0]), None if kind[0] == "RSA" else str(kind[1])))
    if algorithm is None or key.get("alg", algorithm) != algorithm:
        raise Malformed(f"kty, crv and alg are none of {sorted(ALGORITHM_OF.values())}")
    # A private half that was published by mistake must not come into this process.
    public = {name: value for name, value in key.items() if name in PUBLIC_PARTS}
    made = jwt.PyJWK(public, algorithm)
    expected = (ec.EllipticCurvePublicKey, rsa.RSAPublicKey, ed25519.Ed25519PublicKey)
    if not isinstance(made.key, expected):
        raise Malformed("no public key")
    if isinstance(made.key, rsa.RSAPublicKey) and made.key.key_size < MIN_RSA_BITS:
        raise Malformed(f"an RSA key of less than {MIN_RSA_BITS} bits")
    return key_id, algorithm, TrustedKey(made)
