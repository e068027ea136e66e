"""The provider's keys: withdrawn ones are refused in time, new ones are taken at once, an outage is borne."""

import asyncio
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from laundry_service.auth.authenticator import Authenticator
from laundry_service.auth.key_set import KeySet
from laundry_service.auth.keys import MAX_BYTES, SEEK_BURST
from laundry_service.http.problems import Problem
from laundry_testing.provider import AUDIENCE, ISSUER, IdentityProvider, SigningKey, reply

LIFESPAN_S, STALE_S = 120.0, 1800.0
A, B, C = (SigningKey(name) for name in "abc")


class Clock:
    """Lets time pass for the keys without waiting."""

    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        return time.monotonic() + self.passed


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("laundry_service.auth.keys.time", SimpleNamespace(monotonic=clock.monotonic))
    return clock


@pytest.fixture
def provider() -> Iterator[IdentityProvider]:
    with IdentityProvider(A).serving() as provider:
        yield provider


@pytest.fixture
def authenticator(provider: IdentityProvider) -> Authenticator:
    return make(provider)


def make(provider: IdentityProvider, **settings: Any) -> Authenticator:
    return Authenticator(provider.jwks_url, issuer=ISSUER, audience=AUDIENCE, **settings)


async def refusal(authenticator: Authenticator, token: str) -> Problem:
    with pytest.raises(Problem) as refused:
        await authenticator.check(token)
    return refused.value


async def test_a_withdrawn_key_is_refused_within_the_lifespan_fresh_token_or_known_one(
    provider: IdentityProvider, authenticator: Authenticator, clock: Clock
) -> None:
    known = A.sign(sub="known")
    principal = await authenticator.check(known)
    provider.publish(B)
    clock.passed = LIFESPAN_S
    for token in (known, A.sign(sub="fresh")):
        assert (await refusal(authenticator, token)).code == "token-invalid"
    assert not authenticator.allows(principal), "what was begun with that key goes on"
    assert (await authenticator.check(B.sign())).sub == "u1"


async def test_a_key_that_was_withdrawn_counts_no_more_once_anybody_made_us_look(
    provider: IdentityProvider, authenticator: Authenticator
) -> None:
    principal = await authenticator.check(A.sign())
    provider.publish(B)
    await authenticator.check(B.sign())
    assert (await refusal(authenticator, A.sign())).status == 401
    assert not authenticator.allows(principal)


async def test_without_any_request_the_keys_are_renewed_all_the_same(
    provider: IdentityProvider,
) -> None:
    authenticator = make(provider, lifespan_s=0.4)
    principal = await authenticator.check(A.sign())
    await authenticator.start()
    try:
        provider.publish(B)
        async with asyncio.timeout(20):
            while authenticator.allows(principal):
                await asyncio.sleep(0.02)
    finally:
        await authenticator.stop()


async def test_a_new_key_is_taken_at_once_one_after_another(
    provider: IdentityProvider, authenticator: Authenticator
) -> None:
    for key in (A, B, C):
        provider.publish(key)
        assert (await authenticator.check(key.sign())).sub == "u1"
    assert provider.fetches["/jwks.json"] == 3


async def test_a_flood_of_keys_that_nobody_knows_makes_no_flood_of_fetches(
    provider: IdentityProvider, authenticator: Authenticator, clock: Clock
) -> None:
    await authenticator.check(A.sign())
    forged = [SigningKey(f"random-{number}", A.key).sign() for number in range(300)]
    problems = await asyncio.gather(*(refusal(authenticator, token) for token in forged))
    assert {problem.status for problem in problems} <= {401, 503}
    assert all(problem.headers["Retry-After"] for problem in problems if problem.status == 503)
    assert provider.fetches["/jwks.json"] <= SEEK_BURST + 3
    assert (await authenticator.check(A.sign())).sub == "u1", "known keys serve meanwhile"
    provider.publish(A, B)
    clock.passed = 10
    assert (await authenticator.check(B.sign())).sub == "u1"


async def test_many_that_wait_for_a_key_share_one_fetch(provider: IdentityProvider) -> None:
    authenticator = make(provider)
    await asyncio.gather(*(authenticator.check(A.sign(sub=f"u{number}")) for number in range(50)))
    assert provider.fetches["/jwks.json"] == 1


async def test_while_the_provider_hangs_known_keys_serve_at_once_and_others_hear_503_soon(
    provider: IdentityProvider, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticator = make(provider, timeout_s=30)
    await authenticator.check(A.sign())
    provider.answer = provider.hang
    clock.passed = LIFESPAN_S * 0.7
    # Less than the provider's 30 s, which nobody is to wait for.
    async with asyncio.timeout(25):
        with monkeypatch.context() as patient:
            # Who waited for the provider at all would wait too long.
            patient.setattr("laundry_service.auth.keys.WAIT_S", 60)
            assert (await authenticator.check(A.sign(sub="fresh"))).sub == "fresh"
        problem = await refusal(authenticator, B.sign())
    assert (problem.status, problem.code) == (503, "identity-unavailable")
    assert int(problem.headers["Retry-After"]) >= 1
    assert provider.fetches["/jwks.json"] == 2, "one fetch, however many wait"
    await authenticator.stop()


async def test_a_slow_trickle_is_a_hang(provider: IdentityProvider) -> None:
    def trickle(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not provider.released.wait(0.1):
            try:
                handler.wfile.write(b" ")
                handler.wfile.flush()
            except OSError:
                return

    provider.answer = trickle
    authenticator = make(provider, timeout_s=0.5)
    assert (await refusal(authenticator, A.sign())).status == 503


async def test_while_the_provider_is_away_known_keys_count_up_to_a_bound(
    provider: IdentityProvider, authenticator: Authenticator, clock: Clock
) -> None:
    await authenticator.check(A.sign())
    provider.answer = lambda handler: reply(handler, 500)
    clock.passed = STALE_S - 10
    assert (await authenticator.check(A.sign(sub="stale"))).sub == "stale"
    clock.passed = STALE_S + 10
    assert (await refusal(authenticator, A.sign(sub="too stale"))).status == 503
    provider.answer = None
    clock.passed = STALE_S + 100
    assert (await authenticator.check(A.sign(sub="back"))).sub == "back"


async def test_after_a_failure_the_provider_is_left_alone_for_a_while(
    provider: IdentityProvider, authenticator: Authenticator, clock: Clock
) -> None:
    provider.answer = lambda handler: reply(handler, 503)
    for _ in range(50):
        assert (await refusal(authenticator, A.sign())).status == 503
    assert provider.fetches["/jwks.json"] <= 2
    clock.passed = 5
    await refusal(authenticator, A.sign())
    assert provider.fetches["/jwks.json"] <= 3


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("redirects", lambda handler: reply(handler, 302, location="/elsewhere.json")),
        ("no JSON", lambda handler: reply(handler, 200, b"<html>")),
        ("no key set", lambda handler: reply(handler, 200, b"[]")),
        ("keys are no list", lambda handler: reply(handler, 200, b'{"keys": {}}')),
        ("nested", lambda handler: reply(handler, 200, b"[" * 100_000)),
        ("huge", lambda handler: reply(handler, 200, b" " * (MAX_BYTES + 1))),
        ("too many keys", lambda handler: reply(handler, 200, b'{"keys": [' + b"{}," * 200 + b"{}]}")),
        ("compressed", lambda handler: reply(handler, 200, b"x", content_encoding="gzip")),
        ("not found", lambda handler: reply(handler, 404)),
        ("not UTF-8", lambda handler: reply(handler, 200, b'{"keys": ["\xff"]}')),
        ("304 to nothing", lambda handler: reply(handler, 304)),
    ],
)
async def test_what_is_no_key_set_is_an_outage_and_takes_no_known_key_away(
    provider: IdentityProvider,
    clock: Clock,
    name: str,
    answer: Callable[[BaseHTTPRequestHandler], None],
) -> None:
    cold, warm = make(provider), make(provider)
    await warm.check(A.sign())
    provider.answer = answer
    problem = await refusal(cold, A.sign())
    assert (problem.status, problem.code) == (503, "identity-unavailable")
    clock.passed = LIFESPAN_S + 1
    assert (await warm.check(A.sign(sub="known"))).sub == "known"


async def test_an_empty_key_set_withdraws_every_key(
    provider: IdentityProvider, authenticator: Authenticator, clock: Clock
) -> None:
    await authenticator.check(A.sign())
    provider.publish()
    clock.passed = LIFESPAN_S
    assert (await refusal(authenticator, A.sign())).status == 401


async def test_what_has_not_changed_is_not_sent_again(
    provider: IdentityProvider, authenticator: Authenticator, clock: Clock
) -> None:
    await authenticator.check(A.sign())
    clock.passed = LIFESPAN_S
    await authenticator.check(A.sign())
    assert provider.unchanged == 1


RSA = SigningKey("rsa", rsa.generate_private_key(public_exponent=65537, key_size=2048))
ED = SigningKey("ed", ed25519.Ed25519PrivateKey.generate())


@pytest.mark.parametrize("key", [A, RSA, ED], ids=lambda key: key.algorithm)
async def test_each_algorithm_is_taken(provider: IdentityProvider, key: SigningKey) -> None:
    provider.publish(key)
    assert (await make(provider).check(key.sign())).sub == "u1"


SMALL = SigningKey("small", rsa.generate_private_key(public_exponent=65537, key_size=1024))
P384 = SigningKey("p384", ec.generate_private_key(ec.SECP384R1()))


@pytest.mark.parametrize(
    "jwk",
    [
        A.jwk(use="enc"),
        A.jwk(key_ops=["sign"]),
        A.jwk(key_ops="verify"),
        A.jwk(kid=None),
        A.jwk(kid=7),
        A.jwk(kid=""),
        A.jwk(alg="RS256"),
        A.jwk(alg=["ES256"]),
        A.jwk(kty=None),
        A.jwk(kty=["EC"]),
        A.jwk(x="AAAA"),
        A.jwk(x=5),
        A.jwk(y=A.jwk()["x"]),
        RSA.jwk(n="!!"),
        RSA.jwk(alg="PS256"),
        SMALL.jwk(),
        P384.jwk(alg="ES256"),
        P384.jwk(alg=None),
        {"kty": "oct", "k": "c2VjcmV0", "kid": "a", "alg": "HS256"},
        {"kty": "oct", "k": "c2VjcmV0", "kid": "a", "alg": "ES256"},
        {},
        None,
        "key",
        7,
    ],
)
def test_a_key_that_is_not_for_this_is_passed_over_and_its_neighbours_count(jwk: Any) -> None:
    keys = KeySet({"keys": [jwk, B.jwk()]})
    assert [key.fingerprint for key in keys] == [key.fingerprint for key in KeySet({"keys": [B.jwk()]})]


async def test_two_keys_of_one_name_are_both_tried(provider: IdentityProvider) -> None:
    one, other = SigningKey("same"), SigningKey("same")
    provider.publish(one, other)
    authenticator = make(provider)
    for key in (one, other):
        assert (await authenticator.check(key.sign(sub=key.name))).sub == "same"
    provider.publish(other, SigningKey("same", RSA.key))
    assert (await make(provider).check(SigningKey("same", RSA.key).sign())).sub == "u1"


async def test_a_private_half_that_was_published_by_mistake_is_not_read(provider: IdentityProvider) -> None:
    import json

    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from jwt.algorithms import ECAlgorithm

    assert isinstance(A.key, EllipticCurvePrivateKey)
    provider.keys = [{**json.loads(ECAlgorithm.to_jwk(A.key)), "kid": "a"}]
    assert "d" in provider.keys[0]
    assert (await make(provider).check(A.sign())).sub == "u1"
