"""The local identity provider's key and tokens."""

import stat
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from laundry_servers.deny_list import LocalDenyList
from laundry_servers.fcm_app import make_app
from laundry_servers.identity import AUDIENCE, ISSUER, LocalIdentity

JWKS, DENIED = "/.well-known/jwks.json", "/.well-known/denied.json"


def test_the_key_and_its_tokens_are_what_the_services_check(tmp_path: Path) -> None:
    identity = LocalIdentity(tmp_path / "identity")
    assert stat.S_IMODE(identity.key_file.stat().st_mode) == 0o600
    again = LocalIdentity(tmp_path / "identity")
    [public] = again.jwks()["keys"]
    assert "d" not in public, "the private part"
    token = identity.mint(role="device", branches=["b1", "b2"], subject="washer-1", seconds=60)
    assert jwt.get_unverified_header(token)["kid"] == public["kid"]
    claims = jwt.decode(token, jwt.PyJWK(public).key, algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER)
    assert {name: claims[name] for name in ("sub", "role", "branches")} == {
        "sub": "washer-1",
        "role": "device",
        "branches": ["b1", "b2"],
    }
    assert claims["exp"] - claims["iat"] == 60
    with pytest.raises(ValueError, match="role is one of"):
        identity.mint(role="king", branches=[])


async def test_the_local_provider_serves_what_the_command_changed(tmp_path: Path) -> None:
    identity = LocalIdentity(tmp_path)
    transport = httpx.ASGITransport(app=make_app(LocalIdentity(tmp_path)))
    async with httpx.AsyncClient(transport=transport, base_url="http://fcm") as client:
        old = identity.mint(role="owner", branches=[])
        assert verified(await served(client, JWKS), old)
        identity.rotate(keep_old=True)
        new = identity.mint(role="owner", branches=[])
        keys = await served(client, JWKS)
        assert verified(keys, old) and verified(keys, new)
        assert all("d" not in key for key in keys["keys"])
        assert identity.withdraw() == 1
        keys = await served(client, JWKS)
        assert verified(keys, new) and not verified(keys, old)
        identity.rotate()
        assert not verified(await served(client, JWKS), new)
        assert verified(await served(client, JWKS), LocalIdentity(tmp_path).mint(role="owner", branches=[]))

        assert await served(client, DENIED) == {"denied": []}
        etag = (await client.get(DENIED)).headers["etag"]
        assert (await client.get(DENIED, headers={"If-None-Match": etag})).status_code == 304
        LocalDenyList(tmp_path).deny(sub="kim")
        answer = await client.get(DENIED, headers={"If-None-Match": etag})
        assert answer.json() == {"denied": [{"sub": "kim"}]}


async def served(client: httpx.AsyncClient, path: str) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get(path)).raise_for_status().json()
    return found


def verified(keys: dict[str, Any], token: str) -> bool:
    """Whether one of the keys signed it."""
    for key in keys["keys"]:
        if key["kid"] == jwt.get_unverified_header(token)["kid"]:
            jwt.decode(token, jwt.PyJWK(key), algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER)
            return True
    return False
