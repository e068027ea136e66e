"""An app that takes tokens, and the provider that signs them."""

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI
from fastapi.testclient import TestClient

from laundry_service.auth.authenticator import Authenticator
from laundry_service.auth.callers import Caller, require, require_branch
from laundry_service.auth.principal import Principal
from laundry_service.http.problems import install_problems
from laundry_testing.provider import AUDIENCE, ISSUER, IdentityProvider, SigningKey


@pytest.fixture(scope="module")
def identity() -> SigningKey:
    return SigningKey("k1")


@pytest.fixture(scope="module")
def provider(identity: SigningKey) -> Iterator[IdentityProvider]:
    with IdentityProvider(identity).serving() as provider:
        yield provider


@pytest.fixture(scope="module")
def jwks_url(provider: IdentityProvider) -> str:
    return provider.jwks_url


@pytest.fixture(scope="module")
def client(jwks_url: str) -> Iterator[TestClient]:
    with TestClient(_app(jwks_url), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def new_client(jwks_url: str) -> Iterator[TestClient]:
    """One that has asked for no unknown key yet: it may do so only now and then."""
    with TestClient(_app(jwks_url), raise_server_exceptions=False) as client:
        yield client


def _app(jwks_url: str) -> FastAPI:
    app = FastAPI()
    app.state.authenticator = Authenticator(jwks_url, issuer=ISSUER, audience=AUDIENCE)
    install_problems(app)

    @app.get("/me")
    async def me(caller: Caller) -> dict[str, Any]:
        return {"sub": caller.sub, "role": caller.role, "branches": sorted(caller.branches)}

    @app.get("/branches/{branch_id}")
    async def branch(branch_id: str, caller: Annotated[Principal, Depends(require("owner"))]) -> str:
        require_branch(caller, branch_id)
        return "in"

    @app.post("/number")
    async def number(body: dict[str, int]) -> dict[str, int]:
        return body

    @app.get("/bug")
    async def bug() -> None:
        raise RuntimeError("a secret detail")

    return app
