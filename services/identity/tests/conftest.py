"""The identity service on a database of each test's own, and people to begin with."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import httpx
import jwt
import pytest
import pytest_asyncio

from identity.app import create_app
from identity.settings import Settings
from laundry_servers.addresses import DatabaseAddress
from laundry_servers.local_http import TRUSTS_NOBODY
from laundry_servers.ports import free_port
from laundry_servers.postgres import drop_database, ensure_database
from laundry_service.auth.rsa_keys import new_key
from laundry_service.migrate import upgrade
from laundry_testing.identity import FileIdentity
from laundry_testing.serving import WITHOUT_BROKER, ready, serving

from .browser import Backend, Browser, SignIn, returned

if TYPE_CHECKING:
    from identity.people.models import Person

SIGNING_KEY = new_key()
ROLE = "laundry_test"
POOL = 8
AUTHORIZE = "/identity/o/authorize"
PASSWORD = "cotton-paper-indigo-ink"
Item = dict[str, Any]


@dataclass
class World:
    """A running service, and what a test asks of it."""

    http: httpx.AsyncClient
    identity: FileIdentity
    settings: Settings

    @property
    def operator(self) -> dict[str, str]:
        """An operator who is in no table: of the key that the command line uses."""
        return self.bearer("operator", sub="operator-1")

    def bearer(self, role: str, *branches: str, sub: str | None = None) -> dict[str, str]:
        return self.identity.bearer(role, *branches, sub=sub)

    async def branch(self, *ids: str) -> None:
        for id_ in ids:
            names = {"name_ko": f"{id_} 지점", "name_en": f"Branch {id_}"}
            answer = await self.http.post("/branches", json={"id": id_, **names}, headers=self.operator)
            assert answer.status_code == 201, answer.text

    async def person(self, role: str, *branches: str, name: str = "김민지") -> dict[str, str]:
        """Add somebody; return the header of a token of theirs."""
        person = await self.in_database(lambda: _made(role, branches, name))
        return self.bearer(role, *branches, sub=person.sub)

    async def in_database(self, work: Any) -> Any:
        from identity.database import in_database

        return await in_database(work)

    async def invite(self, by: dict[str, str], role: str = "helper", *branches: str, **more: Any) -> Item:
        body = {"role": role, "branches": list(branches), **more}
        answer = await self.http.post("/invitations", json=body, headers=by)
        assert answer.status_code == 201, answer.text
        made: Item = answer.json()
        return made

    async def accept(self, invitation: Item, email: str, **said: str) -> httpx.Response:
        """Fill in the page of an invitation, as a browser of its own does."""
        path = invitation["link"].removeprefix(self.settings.issuer)
        async with httpx.AsyncClient(
            base_url=self.http.base_url, timeout=30, verify=TRUSTS_NOBODY
        ) as browser:
            page = await browser.get(path)
            assert page.status_code == 200, page.text
            return await browser.post(path, data=form(page, email, **said))

    async def people(self, by: dict[str, str], **query: Any) -> list[Item]:
        answer = await self.http.get("/people", headers=by, params=query)
        assert answer.status_code == 200, answer.text
        assert answer.headers["cache-control"] == "no-store"
        items: list[Item] = answer.json()["items"]
        return items

    async def audited(self, action: str) -> list[Item]:
        answer = await self.http.get("/people/audit", headers=self.operator)
        return [each for each in answer.json()["items"] if each["action"] == action]

    async def denied(self) -> list[Item]:
        found: list[Item] = (await self.http.get("/deny-list.json")).json()["denied"]
        return found


def form(page: httpx.Response, email: str = "", **said: str) -> dict[str, str]:
    """What a browser sends of the page that it has open."""
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text)
    assert token is not None
    return {"csrfmiddlewaretoken": token[1], "name": "박서준", "email": email, "password": PASSWORD, **said}


def _made(role: str, branches: tuple[str, ...], name: str, **about: str | None) -> "Person":
    from identity.people import repository
    from identity.people.models import Person
    from identity.people.rights import Right

    given: Any = {"email": f"{secrets.token_hex(6)}@example.com", "password": None, **about}
    person = Person.objects.create(name=name, role=None, **given)
    repository.give(person, Right(role, frozenset(branches)))  # type: ignore[arg-type]
    return person


@pytest.fixture(scope="session")
def migrated(postgres: DatabaseAddress) -> Iterator[str]:
    """A database with all tables, of which each test has a copy: Django's migrations take seconds."""
    name = f"identity_{secrets.token_hex(6)}"
    url = asyncio.run(ensure_database(postgres, name, ROLE, ROLE))
    asyncio.run(upgrade("identity", url.replace("postgresql://", "postgresql+asyncpg://", 1)))
    yield name
    asyncio.run(drop_database(postgres, name))


@pytest.fixture
def database_url(postgres: DatabaseAddress, migrated: str) -> Iterator[str]:
    """A database of a test's own, with all tables and nothing in them."""
    name = f"test_{secrets.token_hex(6)}"
    asyncio.run(_copy(postgres, migrated, name))
    url = postgres.url(name, ROLE, ROLE).replace("postgresql://", "postgresql+asyncpg://", 1)
    _use(url)
    yield url
    _use(url)
    asyncio.run(drop_database(postgres, name))


async def _copy(postgres: DatabaseAddress, original: str, name: str) -> None:
    connection = await asyncpg.connect(postgres.url(), timeout=10)
    try:
        await connection.execute(f'CREATE DATABASE "{name}" TEMPLATE "{original}" OWNER "{ROLE}"')
    finally:
        await connection.close()


def _use(url: str) -> None:
    """Point Django, which is configured once in a process, to a database."""
    from django.conf import settings
    from django.db import connections

    from identity.configuration import database

    if not settings.configured:
        return
    connection: Any = connections["default"]
    connection.close()
    connection.close_pool()
    connections.settings["default"].update(database(url, POOL))
    connection.settings_dict.update(database(url, POOL))


@pytest.fixture(scope="session")
def mail_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where mails are written; one for the run, as Django is configured once."""
    return tmp_path_factory.mktemp("mail")


MakeSettings = Callable[..., Settings]
made: list[Settings] = []


@pytest.fixture
def make_settings(database_url: str, identity: FileIdentity, mail_folder: Path) -> MakeSettings:
    """Settings on a test's own database; callers' tokens are those of ``identity``."""

    def make(**changes: Any) -> Settings:
        values: dict[str, Any] = {
            **WITHOUT_BROKER,
            "database_url": database_url,
            "database_pool": POOL,
            "public_url": "http://identity.test",
            "web_urls": "http://pages.test",
            "oidc_client_secret": secrets.token_urlsafe(32),
            "secret_keys": secrets.token_urlsafe(32),
            "signing_keys": SIGNING_KEY,
            "mail_folder": mail_folder,
            **identity.settings,
            **changes,
        }
        settings = Settings(**values)
        _configured_for(settings)
        made.append(settings)
        return settings

    return make


def _configured_for(settings: Settings) -> None:
    """Let Django have these settings where a test of another folder has configured it already."""
    from django.conf import settings as django_settings

    from identity.configuration import django_configuration

    if not django_settings.configured or any(each is django_settings.IDENTITY for each in made):
        return
    for name, value in django_configuration(settings).items():
        if name != "DATABASES":
            setattr(django_settings, name, value)


@pytest_asyncio.fixture
async def world(make_settings: MakeSettings, identity: FileIdentity) -> AsyncIterator[World]:
    """The service, and an operator of the local key."""
    settings = make_settings()
    async with serving(create_app(settings)) as http:
        yield World(http, identity, settings)


@dataclass
class Provider(World):
    """A service that answers at its own port, so that it takes its own tokens."""

    listens: httpx.URL
    backend: Backend

    def browser(self, language: str = "ko") -> Browser:
        return Browser(self.listens, self.settings.issuer, language=language)

    async def account(self, role: str, *branches: str, name: str = "김민지", **about: str) -> "Person":
        """Add somebody who can sign in."""
        from identity.people.models import Branch

        def make() -> "Person":
            for each in branches:
                Branch.objects.get_or_create(id=each, defaults={"name_ko": each, "name_en": each})
            return _made(role, branches, name, **{"password": PASSWORD, **about})

        made: Person = await self.in_database(make)
        return made

    def query(self, sign_in: SignIn, **changes: str | None) -> dict[str, str]:
        """Return what the web service sends a browser to the provider with."""
        return sign_in.query(self.settings.oidc_client_id, self.settings.pages[0], **changes)

    async def signed_in(self, browser: Browser, email: str, **changes: str | None) -> dict[str, Any]:
        """Sign somebody in the whole way; what the web service then holds."""
        sign_in = SignIn()
        page = await browser.open(AUTHORIZE, **self.query(sign_in, **changes))
        if page.status_code == 200:
            page = await browser.submit(page, login=email, password=PASSWORD)
        back = returned(page)
        assert back["state"] == sign_in.state
        answer = await self.backend.exchange(back["code"], sign_in)
        assert answer.status_code == 200, answer.text
        tokens: dict[str, Any] = answer.json()
        assert self.claims(tokens["id_token"])["nonce"] == sign_in.nonce
        return tokens

    def claims(self, token: str) -> dict[str, Any]:
        found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
        return found

    async def asks(self, token: str, path: str = "/branches") -> httpx.Response:
        """Ask the service's own API with a token."""
        return await self.http.get(path, headers={"Authorization": f"Bearer {token}"})


@pytest_asyncio.fixture
async def provider(make_settings: MakeSettings, identity: FileIdentity) -> AsyncIterator[Provider]:
    """The service as the web service and people's browsers see it."""
    port = free_port()
    settings = make_settings(port=port)
    secret = settings.oidc_client_secret.get_secret_value()
    async with serving(create_app(settings), port=port) as http:
        await ready(http)
        url = http.base_url
        async with Backend(url, settings.oidc_client_id, secret, settings.pages[0]) as backend:
            yield Provider(http, identity, settings, listens=url, backend=backend)
