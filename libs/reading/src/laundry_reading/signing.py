"""Signed manifests: write access to the bucket does not decide what replicas load.

A manifest in the object store carries a DSSE envelope (github.com/secure-systems-lab/dsse) of itself in its
field ``dsse``: Ed25519 over the very bytes that are then used, so nothing depends on how JSON is written
again. The fields around it repeat the same for people and for older readers; they must not
differ.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_pem_public_key
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, SecretStr, ValidationError
from pydantic_core import from_json

from laundry_reading.manifest import Manifest
from laundry_reading.storage import MAX_MANIFEST_BYTES

FIELD = "dsse"
MAKE_A_PAIR = "`laundry models keygen` makes a pair and says which half goes where."

Purpose = Literal["model", "champion"]
"""What a signature says: that we made this model, or that it is the one to serve."""

_TYPES: dict[Purpose, str] = {
    "model": "application/vnd.laundry.model+json",
    "champion": "application/vnd.laundry.champion+json",
}
_RAW_BYTES = 32
_KEYS = re.compile(r"-----BEGIN PUBLIC KEY-----.*?-----END PUBLIC KEY-----|[^\s,]+", re.DOTALL)


class BadKey(ValueError):
    """A text is no Ed25519 key; the message never shows it."""


class NotTrusted(Exception):
    """A manifest must not be used. ``version`` is what it calls itself, or ``unknown``: believe neither."""

    def __init__(self, why: str, version: str = "unknown") -> None:
        super().__init__(why)
        self.version = version


class TooLarge(ValueError):
    """A manifest is larger than anybody reads once it is signed."""


class _Signature(BaseModel):
    keyid: str = Field(default="", max_length=128)
    sig: str = Field(max_length=1024)


class _Envelope(BaseModel):
    payload: str
    payload_type: str = Field(alias="payloadType", max_length=256)
    signatures: list[_Signature] = Field(min_length=1, max_length=8)


@dataclass(frozen=True)
class PublicKey:
    """What a signature is checked with; 32 bytes."""

    raw: bytes

    @classmethod
    def parse(cls, text: str) -> PublicKey:
        """Read a key: PEM, or the base64 of its 32 bytes.

        Raises:
            BadKey: it is none.
        """
        if "-----BEGIN" not in text:
            return cls(_raw_key(text, "public"))
        try:
            key = load_pem_public_key(text.encode())
        except (ValueError, UnsupportedAlgorithm):
            raise BadKey("The PEM text is no public key.") from None
        if not isinstance(key, Ed25519PublicKey):
            raise BadKey("The public key is not an Ed25519 key.")
        return cls(key.public_bytes_raw())

    @property
    def text(self) -> str:
        """Base64, as ``parse`` reads it."""
        return base64.b64encode(self.raw).decode()

    @property
    def id(self) -> str:
        """A short name: the beginning of its SHA-256, hexadecimal."""
        return hashlib.sha256(self.raw).hexdigest()[:16]

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether the owner of this key signed the message."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


class SigningKey:
    """Signs manifests. Only mlops holds one."""

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key

    @classmethod
    def generate(cls) -> SigningKey:
        """Make a new key at random."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def parse(cls, text: str) -> SigningKey:
        """Read a key: PEM (PKCS 8, not encrypted), or the base64 of its 32 bytes.

        Raises:
            BadKey: it is none.
        """
        if "-----BEGIN" not in text:
            return cls(Ed25519PrivateKey.from_private_bytes(_raw_key(text, "signing")))
        try:
            key = load_pem_private_key(text.encode(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise BadKey("The PEM text is no private key that can be read without a password.") from None
        if not isinstance(key, Ed25519PrivateKey):
            raise BadKey("The signing key is not an Ed25519 key.")
        return cls(key)

    @property
    def text(self) -> str:
        """Base64, as ``parse`` reads it. A secret."""
        return base64.b64encode(self._key.private_bytes_raw()).decode()

    @property
    def public(self) -> PublicKey:
        """The public key that checks what this key signs."""
        return PublicKey(self._key.public_key().public_bytes_raw())

    def seal(self, manifest: Manifest, purpose: Purpose) -> bytes:
        """Write a manifest, signed for a purpose.

        Raises:
            TooLarge: no replica would read it.
        """
        payload = manifest.model_dump_json(exclude={FIELD}).encode()
        signature = self._key.sign(_to_sign(_TYPES[purpose], payload))
        envelope = {
            "payloadType": _TYPES[purpose],
            "payload": base64.b64encode(payload).decode(),
            "signatures": [{"keyid": self.public.id, "sig": base64.b64encode(signature).decode()}],
        }
        document = (json.dumps({**from_json(payload), FIELD: envelope}, indent=2) + "\n").encode()
        # What can be signed as a model can also be signed as the champion, which is said in more letters.
        size = len(document) + max(map(len, _TYPES.values())) - len(_TYPES[purpose])
        if size > MAX_MANIFEST_BYTES:
            raise TooLarge(
                f"The manifest of {manifest.version} has {size} bytes once it is signed; replicas read "
                f"{MAX_MANIFEST_BYTES} at most."
            )
        return document


class TrustedKeys:
    """The keys whose signatures count; several while one is replaced by another."""

    def __init__(self, keys: Sequence[PublicKey]) -> None:
        self._keys = tuple(keys)

    @classmethod
    def parse(cls, texts: Sequence[str]) -> TrustedKeys:
        """Read keys as ``PublicKey.parse`` does. Raises BadKey."""
        return cls([PublicKey.parse(text) for text in texts])

    @property
    def ids(self) -> list[str]:
        """Their short names, for logs."""
        return [key.id for key in self._keys]

    def have(self, key: PublicKey) -> bool:
        """Whether a key is one of them."""
        return key in self._keys

    def open(self, document: bytes, purpose: Purpose) -> Manifest:
        """Read a manifest that one of the keys signed for this purpose.

        Raises:
            NotTrusted: it must not be used; the message says why.
        """
        said, envelope = _read(document)
        version = _version(said)
        if envelope is None:
            raise NotTrusted("its manifest is not signed; mlops signs all that it writes", version)
        try:
            found = _Envelope.model_validate(envelope)
            payload = base64.b64decode(found.payload, validate=True)
            signatures = [base64.b64decode(each.sig, validate=True) for each in found.signatures]
        except ValueError:  # ValidationError and binascii.Error are such
            raise NotTrusted("its manifest's signature is malformed", version) from None
        if found.payload_type != _TYPES[purpose]:
            raise NotTrusted(f"its manifest is not signed as a {purpose}", version)
        message = _to_sign(found.payload_type, payload)
        if not any(key.verifies(each, message) for key in self._keys for each in signatures):
            raise NotTrusted(self._why_not([each.keyid for each in found.signatures]), version)
        try:
            if from_json(payload) != said:
                raise NotTrusted("its manifest says something else than what was signed", version)
            return Manifest.from_json(payload)
        except ValidationError as error:
            raise NotTrusted(
                f"what was signed is no manifest: {error.error_count()} errors", version
            ) from None
        except ValueError:
            raise NotTrusted("what was signed is no manifest", version) from None

    def _why_not(self, key_ids: Sequence[str]) -> str:
        # A key's id is no proof; it only helps to tell a wrong key from a changed manifest.
        if set(self.ids) & set(key_ids):
            return "its manifest was changed after it was signed"
        return f"its manifest is signed by a key that is not trusted here ({', '.join(key_ids)[:64]})"


def _to_sign(payload_type: str, payload: bytes) -> bytes:
    """Encode type and body so that no other pair gives the same bytes (DSSE's PAE)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def _read(document: bytes) -> tuple[dict[str, Any], Any]:
    try:
        said = from_json(document)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        raise NotTrusted("its manifest is no JSON object")
    return said, said.pop(FIELD, None)


def _version(said: dict[str, Any]) -> str:
    version = said.get("version")
    return version if isinstance(version, str) and re.fullmatch(r"[\w.-]{1,64}", version) else "unknown"


def _raw_key(text: str, kind: str) -> bytes:
    try:
        raw = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != _RAW_BYTES:
        raise BadKey(f"The {kind} key must be PEM, or the base64 of {_RAW_BYTES} bytes. {MAKE_A_PAIR}")
    return raw


def _split(value: object) -> object:
    if not isinstance(value, str):
        return value
    return json.loads(value) if value.lstrip().startswith("[") else _KEYS.findall(value)


def _checked_public(texts: tuple[str, ...]) -> tuple[str, ...]:
    if not texts:
        raise ValueError(
            "LAUNDRY_MODEL_PUBLIC_KEYS is not set: it names the keys whose signatures on models count, by "
            f"commas. {MAKE_A_PAIR}"
        )
    TrustedKeys.parse(texts)
    return texts


def _checked_signing(text: SecretStr) -> SecretStr:
    if not text.get_secret_value().strip():
        raise ValueError(
            f"LAUNDRY_MODEL_SIGNING_KEY is not set: mlops signs every model with it. {MAKE_A_PAIR}"
        )
    SigningKey.parse(text.get_secret_value())
    return text


PublicKeyTexts = Annotated[tuple[str, ...], BeforeValidator(_split), AfterValidator(_checked_public)]
"""A setting: keys by commas or white space, or a JSON list; at least one."""

SigningKeyText = Annotated[SecretStr, AfterValidator(_checked_signing)]
"""A setting: one key."""
