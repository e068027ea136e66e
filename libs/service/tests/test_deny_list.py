"""Who is cut off before a token ends: by subject, by token, or by when the token was issued."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from laundry_service.auth.authenticator import Authenticator
from laundry_service.auth.deny_list import MAX_BYTES, MAX_ENTRIES, DenyList
from laundry_service.auth.principal import Principal
from laundry_service.auth.remote import Malformed
from laundry_service.http.problems import Problem
from laundry_testing.provider import AUDIENCE, ISSUER, IdentityProvider, SigningKey, reply

KEY = SigningKey("k1")
NOW = 1_800_000_000.0
HERE = Principal("kim", "owner", frozenset({"b1"}), token_id="t1", issued_at=NOW - 100)


def at(seconds: float) -> str:
    return datetime.fromtimestamp(NOW + seconds, UTC).isoformat()


@pytest.mark.parametrize(
    ("entry", "covers"),
    [
        ({"sub": "kim"}, True),
        ({"sub": "Kim"}, False),
        ({"sub": "ki"}, False),
        ({"sub": "t1"}, False),
        ({"jti": "t1"}, True),
        ({"jti": "kim"}, False),
        ({"sub": "kim", "until": at(1)}, True),
        ({"sub": "kim", "until": at(-1)}, False),
        ({"sub": "kim", "issued_before": at(-50)}, True),
        ({"sub": "kim", "issued_before": at(-100)}, False),
        ({"sub": "kim", "issued_before": at(-150)}, False),
        ({"sub": "kim", "issued_before": at(-50), "until": at(-1)}, False),
        ({"jti": "t1", "until": "2099-01-01T00:00:00Z"}, True),
        ({"sub": "kim", "reason": "left us", "by": "op"}, True),
    ],
)
def test_an_entry_covers_whom_it_names(entry: dict[str, Any], covers: bool) -> None:
    denied = DenyList({"denied": [{"sub": "lee"}, entry]})
    assert denied.covers(HERE, NOW) is covers
    assert denied.covers(Principal("lee", "helper"), NOW)
    assert not denied.covers(Principal("park", "helper"), NOW)


def test_a_token_that_does_not_say_when_it_was_issued_is_from_before() -> None:
    denied = DenyList({"denied": [{"sub": "kim", "issued_before": at(-1000)}]})
    assert denied.covers(Principal("kim", "owner"), NOW)


@pytest.mark.parametrize(
    "entry",
    [
        {},
        {"sub": "kim", "jti": "t1"},
        {"sub": ""},
        {"sub": 7},
        {"sub": ["kim"]},
        {"jti": None},
        {"sub": "kim", "until": 1800000000},
        {"sub": "kim", "until": "20271128"},
        {"sub": "kim", "until": "2027-11-28T09:00:00"},
        {"sub": "kim", "issued_before": "yesterday"},
        {"sub": "kim", "issued_before": True},
        "kim",
        None,
    ],
)
def test_an_entry_that_cannot_be_read_is_passed_over_and_its_neighbours_count(entry: Any) -> None:
    denied = DenyList({"denied": [entry, {"sub": "lee"}]})
    assert (denied.count, denied.unreadable) == (1, 1)
    assert denied.covers(Principal("lee", "helper"), NOW)
    assert not denied.covers(HERE, NOW)


@pytest.mark.parametrize(
    "document", [None, [], {}, {"denied": {}}, {"denied": [{"sub": "a"}] * (MAX_ENTRIES + 1)}]
)
def test_what_is_no_list_is_refused_as_a_whole(document: Any) -> None:
    with pytest.raises(Malformed):
        DenyList(document)


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with IdentityProvider(KEY).serving() as provider:
        yield provider


@pytest.fixture
async def authenticator(provider: IdentityProvider) -> AsyncIterator[Authenticator]:
    authenticator = make(provider)
    await authenticator.start()
    yield authenticator
    await authenticator.stop()


def make(provider: IdentityProvider, *, timeout_s: float = 5, every_s: float = 0.05) -> Authenticator:
    return Authenticator(
        provider.jwks_url,
        issuer=ISSUER,
        audience=AUDIENCE,
        timeout_s=timeout_s,
        deny_list_url=provider.deny_list_url,
        deny_list_every_s=every_s,
    )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def test_somebody_who_is_denied_is_refused_and_what_they_began_ends(
    provider: IdentityProvider, authenticator: Authenticator
) -> None:
    token = KEY.sign(sub="kim")
    principal = await authenticator.check(token)
    assert authenticator.allows(principal)
    provider.denied = [{"sub": "kim"}]
    await until(lambda: not authenticator.allows(principal))
    with pytest.raises(Problem) as refused:
        await authenticator.check(token)
    assert (refused.value.status, refused.value.code) == (401, "token-denied")
    assert (await authenticator.check(KEY.sign(sub="lee"))).sub == "lee"
    provider.denied = []
    await until(lambda: authenticator.allows(principal))
    assert (await authenticator.check(token)).sub == "kim"


async def test_one_token_may_be_denied_and_all_from_before_a_moment(
    provider: IdentityProvider, authenticator: Authenticator
) -> None:
    now = int(time.time())
    stolen = await authenticator.check(KEY.sign(jti="stolen"))
    own = await authenticator.check(KEY.sign(jti="own", iat=now))
    old = await authenticator.check(KEY.sign(jti="old", sub="lee", iat=now - 60))
    provider.denied = [
        {"jti": "stolen"},
        {
            "sub": "lee",
            "issued_before": (datetime.fromtimestamp(now, UTC) - timedelta(seconds=1)).isoformat(),
        },
    ]
    await until(lambda: not authenticator.allows(stolen))
    assert not authenticator.allows(old)
    assert authenticator.allows(own)
    assert (await authenticator.check(KEY.sign(jti="new", sub="lee", iat=now))).sub == "lee"


@pytest.mark.parametrize(
    "answer",
    [
        lambda handler: reply(handler, 500),
        lambda handler: reply(handler, 200, b"{}"),
        lambda handler: reply(handler, 200, b"[" * 10_000),
        lambda handler: reply(handler, 200, b" " * (MAX_BYTES + 1)),
        lambda handler: reply(handler, 302, location="/elsewhere"),
    ],
)
async def test_the_last_good_list_counts_while_it_is_away(
    provider: IdentityProvider,
    authenticator: Authenticator,
    answer: Callable[[BaseHTTPRequestHandler], None],
) -> None:
    principal = await authenticator.check(KEY.sign(sub="kim"))
    provider.denied = [{"sub": "kim"}]
    await until(lambda: not authenticator.allows(principal))
    provider.answer, before = answer, provider.fetches["/denied.json"]
    await until(lambda: provider.fetches["/denied.json"] >= before + 3)
    assert not authenticator.allows(principal)
    provider.answer, provider.denied = None, []
    await until(lambda: authenticator.allows(principal))


async def test_before_the_list_was_ever_read_nobody_is_let_in(provider: IdentityProvider) -> None:
    def no_list(handler: BaseHTTPRequestHandler) -> None:
        found = handler.path == "/jwks.json"
        reply(handler, 200 if found else 503, provider.body(handler.path) if found else b"")

    provider.answer = no_list
    authenticator = make(provider)
    with pytest.raises(Problem) as refused:
        await authenticator.check(KEY.sign())
    assert (refused.value.status, refused.value.code) == (503, "identity-unavailable")
    assert refused.value.headers["Retry-After"]
    assert not await authenticator.knows_who_is_denied()
    provider.answer = None
    async with asyncio.timeout(20):
        while not await authenticator.knows_who_is_denied():
            pass
    assert (await authenticator.check(KEY.sign())).sub == "u1"
    await authenticator.stop()


async def test_a_list_that_has_not_changed_is_not_sent_again(
    provider: IdentityProvider, authenticator: Authenticator
) -> None:
    await until(lambda: provider.unchanged > 2)
    assert provider.fetches["/denied.json"] > provider.unchanged
