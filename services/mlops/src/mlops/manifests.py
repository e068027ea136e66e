"""Signed manifests in the object store; one is read only if one of our keys signed it."""

from collections.abc import Sequence

from pydantic import SecretStr

from laundry_reading.manifest import Manifest
from laundry_reading.signing import NotTrusted, Purpose, SigningKey, TrustedKeys
from laundry_reading.storage import CHAMPION_KEY, MAX_MANIFEST_BYTES, manifest_key
from laundry_service.storage.object_store import ObjectMissing, ObjectStore


class Manifests:
    """Of each model one, and the champion's once more. Every method may raise ObjectStoreUnavailable."""

    def __init__(self, store: ObjectStore, signing_key: SecretStr, public_keys: Sequence[str]) -> None:
        """Take where they lie, the key that signs them and those whose signatures count."""
        self._store = store
        self._key = SigningKey.parse(signing_key.get_secret_value())
        self._own = TrustedKeys([self._key.public])
        self._trusted = TrustedKeys.parse(public_keys)

    @property
    def signed_by(self) -> str:
        """Short name of the present key, as signatures and refusals have it."""
        return self._key.public.id

    async def stored(self, version: str) -> Manifest | None:
        """Return a model's manifest as it is stored, None if there is none that can be trusted."""
        return await self._open(manifest_key(version), "model", self._trusted)

    async def has(self, manifest: Manifest) -> bool:
        """Whether exactly this manifest is stored, signed by the current key."""
        return await self._open(manifest_key(manifest.version), "model", self._own) == manifest

    async def has_champion(self, manifest: Manifest) -> bool:
        """Whether this champion's manifest is published, signed by the current key."""
        return await self._open(CHAMPION_KEY, "champion", self._own) == manifest

    def check_size(self, manifest: Manifest) -> None:
        """Check that replicas would read it once it is signed. Raises TooLarge."""
        self._key.seal(manifest, "model")

    async def keep(self, manifest: Manifest) -> None:
        """Store a model's manifest. Raises TooLarge."""
        await self._put(manifest_key(manifest.version), manifest, "model")

    async def tell_champion(self, manifest: Manifest) -> None:
        """Store the champion's manifest where replicas look. Raises TooLarge."""
        await self._put(CHAMPION_KEY, manifest, "champion")

    async def _put(self, key: str, manifest: Manifest, purpose: Purpose) -> None:
        await self._store.put(key, self._key.seal(manifest, purpose), media_type="application/json")

    async def _open(self, key: str, purpose: Purpose, trusted: TrustedKeys) -> Manifest | None:
        try:
            return trusted.open(await self._store.get(key, max_bytes=MAX_MANIFEST_BYTES), purpose)
        except (ObjectMissing, NotTrusted, ValueError):
            return None
