"""When a session's token is refreshed, and what each answer of the provider means for who is signed in."""

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from laundry_service.auth.authenticator import Authenticator
from laundry_service.auth.principal import Principal
from laundry_service.http.problems import Problem
from web.auth import sessions
from web.auth.provider import GrantEnded, Provider, ProviderAway, Tokens
from web.auth.sessions import Kept, Sessions, SignedOut

KIM = Kept("staff", "refresh-0", "kim", "Kim")
LIFE_S = 300.0


class StubProvider:
    """Gives tokens named after how many it has given."""

    name = "staff"

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.revoked: list[str] = []
        self.rotates = False
        self.id_token: str | None = None
        self.answer: Callable[[], None] = lambda: None
        self.hold = asyncio.Event()
        self.hold.set()

    async def refreshed(self, refresh_token: str) -> Tokens:
        self.asked.append(refresh_token)
        number = len(self.asked)
        await self.hold.wait()
        self.answer()
        renewed = f"refresh-{number}" if self.rotates else None
        return Tokens(f"access-{number}", LIFE_S, renewed, self.id_token, None)

    async def revoke(self, refresh_token: str) -> None:
        self.revoked.append(refresh_token)


class StubAuthenticator:
    """Takes every token, but for those that it is told to deny."""

    def __init__(self) -> None:
        self.denied: set[str] = set()
        self.problem: Problem | None = None
        self.sub = "kim"

    async def check(self, token: str) -> Principal:
        if self.problem:
            raise self.problem
        if token in self.denied:
            raise Problem(401, "token-denied", "Denied.")
        return Principal(self.sub, "helper", token_id=token)

    def allows(self, principal: Principal) -> bool:
        return principal.token_id not in self.denied


class World:
    def __init__(self) -> None:
        self.now = 1000.0
        self.provider = StubProvider()
        self.authenticator = StubAuthenticator()
        providers = {"staff": cast(Provider, self.provider)}
        self.sessions = Sessions(providers, cast(Authenticator, self.authenticator))

    async def bearer(self, kept: Kept = KIM, **how: Any) -> str:
        return (await self.sessions.live(kept, **how)).tokens.bearer


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    made = World()
    monkeypatch.setattr(sessions, "time", SimpleNamespace(monotonic=lambda: made.now))
    monkeypatch.setattr(sessions, "DENIED_S", 0.001)
    return made


async def test_ten_calls_at_once_refresh_once_and_one_that_leaves_takes_nobody_along(world: World) -> None:
    world.provider.hold.clear()
    calls = [asyncio.ensure_future(world.bearer()) for _ in range(10)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    calls[0].cancel()
    world.provider.hold.set()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(answers[0], asyncio.CancelledError)
    assert answers[1:] == ["access-1"] * 9
    assert world.provider.asked == ["refresh-0"]


async def test_a_token_is_fetched_anew_before_it_ends_and_earlier_for_a_stream(world: World) -> None:
    assert await world.bearer() == "access-1"
    world.now += LIFE_S / 2 + 1
    assert await world.bearer() == "access-1"
    assert await world.bearer(stream=True) == "access-2"
    world.now += LIFE_S - sessions.MARGIN_S + 1
    assert await world.bearer() == "access-3"


async def test_while_the_provider_is_away_a_token_is_used_to_its_end_and_nobody_is_signed_out(
    world: World,
) -> None:
    await world.bearer()

    def away() -> None:
        raise ProviderAway("no answer")

    world.provider.answer = away
    world.now += LIFE_S - 1
    assert await world.bearer() == "access-1"
    world.now += 1.5
    for _ in range(5):
        with pytest.raises(Problem) as refused:
            await world.bearer()
        assert (refused.value.status, refused.value.code) == (503, "identity-unavailable")
    # Asked once in a while for everybody, not by each call.
    assert len(world.provider.asked) == 2
    world.provider.answer = lambda: None
    world.now += sessions.PAUSE_S
    assert await world.bearer() == "access-3"


async def test_only_a_grant_that_ended_signs_out_and_is_not_asked_for_again(world: World) -> None:
    def ended() -> None:
        raise GrantEnded("invalid_grant")

    world.provider.answer = ended
    for _ in range(3):
        with pytest.raises(SignedOut) as refused:
            await world.bearer()
        assert refused.value.code == "session-ended"
    assert len(world.provider.asked) == 1


async def test_changed_refresh_tokens_are_followed_from_any_cookie(world: World) -> None:
    world.provider.rotates = True
    await world.bearer()
    for renewal in range(2, 5):
        world.now += LIFE_S
        # The browser never got the newer cookie.
        assert await world.bearer() == f"access-{renewal}"
    assert world.provider.asked == ["refresh-0", "refresh-1", "refresh-2", "refresh-3"]
    newest = Kept("staff", "refresh-4", "kim", "Kim")
    assert await world.bearer(newest) == "access-4"
    await world.sessions.end(newest)
    assert world.provider.revoked == ["refresh-4"]
    for each in (KIM, newest):
        with pytest.raises(SignedOut):
            await world.bearer(each)


async def test_signing_out_has_the_first_id_token_where_the_provider_gives_no_other(world: World) -> None:
    world.provider.id_token = "the first"
    await world.bearer()
    world.provider.id_token = None
    world.now += LIFE_S
    assert await world.bearer() == "access-2"
    assert await world.sessions.end(KIM) == "the first"
    # Nothing more is asked for, nor of a session that is over.
    assert await world.sessions.end(KIM) is None
    assert len(world.provider.asked) == 2


async def test_a_sign_out_waits_for_no_provider_that_is_silent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "LAST_S", 0.001)
    world.provider.hold.clear()
    assert await world.sessions.end(KIM) is None
    assert world.provider.revoked == ["refresh-0"]


async def test_a_right_that_was_changed_is_in_the_next_token(world: World) -> None:
    await world.bearer()
    # Those from before the change are denied, and so is one of the same second.
    world.authenticator.denied = {"access-1", "access-2"}
    assert await world.bearer() == "access-3"
    world.authenticator.denied |= {f"access-{number}" for number in range(10)}
    with pytest.raises(SignedOut) as refused:
        await world.bearer()
    assert refused.value.code == "session-denied"


@pytest.mark.parametrize(
    ("problem", "status", "code"),
    [
        (Problem(401, "role-missing", "No role."), 401, "session-no-role"),
        # The provider's own fault signs nobody out.
        (Problem(401, "token-invalid", "its iat lies in the future"), 503, "identity-unavailable"),
        (Problem(401, "token-expired", "It has expired."), 503, "identity-unavailable"),
        (Problem(503, "identity-unavailable", "No keys."), 503, "identity-unavailable"),
    ],
)
async def test_what_the_services_would_not_take_is_said_for_what_it_is(
    world: World, problem: Problem, status: int, code: str
) -> None:
    world.authenticator.problem = problem
    with pytest.raises(Problem) as refused:
        await world.bearer()
    assert (refused.value.status, refused.value.code) == (status, code)


async def test_a_session_never_becomes_another_persons(world: World) -> None:
    world.authenticator.sub = "lee"
    with pytest.raises(SignedOut):
        await world.bearer()


async def test_a_token_that_a_service_refuses_is_fetched_anew_but_not_again_and_again(world: World) -> None:
    live = await world.sessions.live(KIM)
    world.sessions.doubt(live)
    assert await world.bearer() == "access-1"
    world.now += sessions.YOUNG_S + 1
    world.sessions.doubt(live)
    assert await world.bearer() == "access-2"


async def test_the_least_used_are_forgotten_first(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "CAPACITY", 2)
    for number in range(4):
        await world.bearer(Kept("staff", f"of-{number}", "kim", None))
    await world.bearer(Kept("staff", "of-3", "kim", None))
    assert len(world.provider.asked) == 4
    # What is forgotten is fetched again.
    await world.bearer(Kept("staff", "of-0", "kim", None))
    assert len(world.provider.asked) == 5
