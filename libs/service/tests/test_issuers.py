"""Several issuers: whose tokens are taken, and what each may say of whom."""

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from prometheus_client import REGISTRY
from pydantic import ValidationError

from laundry_service.auth.authenticator import Authenticator
from laundry_service.auth.issuer import TrustedIssuer
from laundry_service.http.problems import Problem
from laundry_testing.messaging import eventually
from laundry_testing.provider import AUDIENCE, ISSUER, IdentityProvider, SigningKey, reply

KAKAO, CLIENT = "https://kauth.kakao.com", "app-key"


@pytest.fixture(scope="module")
def own_key() -> SigningKey:
    return SigningKey("own")


@pytest.fixture(scope="module")
def kakao_key() -> SigningKey:
    # Two issuers may well give their keys the same name.
    return SigningKey("own")


@pytest.fixture
def own(own_key: SigningKey) -> Iterator[IdentityProvider]:
    with IdentityProvider(own_key).serving() as provider:
        yield provider


@pytest.fixture
def kakao(kakao_key: SigningKey) -> Iterator[IdentityProvider]:
    with IdentityProvider(kakao_key).serving() as provider:
        yield provider


def customers(provider: IdentityProvider, **changes: Any) -> TrustedIssuer:
    given = {
        "issuer": KAKAO,
        "jwks_url": provider.jwks_url,
        "audience": CLIENT,
        "subject_prefix": "kakao:",
        "forced_role": "customer",
        "id_tokens": True,
    }
    return TrustedIssuer.model_validate({**given, **changes})


def trusting(own: IdentityProvider, *others: TrustedIssuer, **given: Any) -> Authenticator:
    return Authenticator(own.jwks_url, issuer=ISSUER, audience=AUDIENCE, others=others, **given)


async def refusal(authenticator: Authenticator, token: str) -> Problem:
    with pytest.raises(Problem) as caught:
        await authenticator.check(token)
    return caught.value


async def test_each_issuer_s_tokens_are_held_against_its_own_keys(
    own: IdentityProvider, kakao: IdentityProvider, own_key: SigningKey, kakao_key: SigningKey
) -> None:
    authenticator = trusting(own, customers(kakao))
    assert (await authenticator.check(own_key.sign())).issuer == ISSUER
    assert (await authenticator.check(kakao_key.sign(iss=KAKAO, aud=CLIENT))).issuer == KAKAO
    for token in (
        kakao_key.sign(),
        own_key.sign(iss=KAKAO, aud=CLIENT),
        own_key.sign(aud=CLIENT),
        kakao_key.sign(iss=KAKAO, aud=AUDIENCE),
    ):
        assert (await refusal(authenticator, token)).status == 401


@pytest.mark.parametrize("iss", ["https://somebody.else", f"{KAKAO}/", KAKAO.upper(), "", None, [KAKAO], 7])
async def test_an_unknown_issuer_is_refused_and_nothing_is_fetched(
    own: IdentityProvider, kakao: IdentityProvider, kakao_key: SigningKey, iss: Any
) -> None:
    authenticator = trusting(own, customers(kakao))
    problem = await refusal(authenticator, kakao_key.sign(iss=iss, aud=CLIENT))
    assert (problem.status, problem.code) == (401, "token-invalid")
    assert own.fetches["/jwks.json"] == kakao.fetches["/jwks.json"] == 0


async def test_a_second_issuer_s_people_are_customers_whatever_its_tokens_say(
    own: IdentityProvider, kakao: IdentityProvider, kakao_key: SigningKey
) -> None:
    authenticator = trusting(own, customers(kakao))
    for role in ("owner", "operator", "device", "emperor", None):
        token = kakao_key.sign(iss=KAKAO, aud=CLIENT, role=role, branches=["b1"])
        found = await authenticator.check(token)
        assert (found.role, found.branches) == ("customer", frozenset())


async def test_an_issuer_that_may_give_some_roles_gives_no_other(
    own: IdentityProvider, kakao: IdentityProvider, kakao_key: SigningKey
) -> None:
    authenticator = trusting(own, customers(kakao, forced_role=None, roles=["customer", "device"]))
    for role in ("customer", "device"):
        assert (await authenticator.check(kakao_key.sign(iss=KAKAO, aud=CLIENT, role=role))).role == role
    for role in ("owner", "operator", "helper"):
        problem = await refusal(authenticator, kakao_key.sign(iss=KAKAO, aud=CLIENT, role=role))
        assert "may not give this role" in problem.detail


async def test_the_same_sub_at_two_issuers_is_two_people(
    own: IdentityProvider, kakao: IdentityProvider, own_key: SigningKey, kakao_key: SigningKey
) -> None:
    authenticator = trusting(own, customers(kakao))
    ours = await authenticator.check(own_key.sign(sub="7"))
    theirs = await authenticator.check(kakao_key.sign(iss=KAKAO, aud=CLIENT, sub="7"))
    assert (ours.sub, theirs.sub) == ("7", "kakao:7")
    assert "another issuer's" in (await refusal(authenticator, own_key.sign(sub="kakao:7"))).detail
    too_long = kakao_key.sign(iss=KAKAO, aud=CLIENT, sub="x" * 250)
    assert "too long" in (await refusal(authenticator, too_long)).detail


@pytest.mark.parametrize(
    "marks",
    [{"at_hash": "x"}, {"c_hash": "x"}, {"typ": "ID"}, {"token_use": "id"}],
)
async def test_an_id_token_opens_nothing_even_with_the_right_audience(
    own: IdentityProvider, kakao: IdentityProvider, own_key: SigningKey, kakao_key: SigningKey, marks: Any
) -> None:
    authenticator = trusting(own, customers(kakao))
    problem = await refusal(authenticator, own_key.sign(**marks))
    assert (problem.status, problem.code) == (401, "token-invalid")
    assert "ID token" in problem.detail
    # Unless the settings say so, for a provider that has nothing else to offer.
    assert (await authenticator.check(kakao_key.sign(iss=KAKAO, aud=CLIENT, **marks))).role == "customer"


@pytest.mark.parametrize(("minutes", "code"), [(5, "token-invalid"), (-5, "token-expired")])
async def test_an_issuer_whose_clock_is_five_minutes_off_is_told_from_an_attacker(
    own: IdentityProvider, own_key: SigningKey, minutes: int, code: str
) -> None:
    then = int(time.time()) + minutes * 60
    problem = await refusal(trusting(own), own_key.sign(iat=then, nbf=then, exp=then + 290))
    assert (problem.status, problem.code) == (401, code)
    assert minutes < 0 or "clock" in problem.detail


async def test_while_one_issuer_is_away_the_people_of_the_other_are_served(
    own: IdentityProvider, kakao: IdentityProvider, own_key: SigningKey, kakao_key: SigningKey
) -> None:
    away = customers(
        kakao, jwks_url="http://127.0.0.1:9/jwks.json", deny_list_url="http://127.0.0.1:9/denied.json"
    )
    authenticator = trusting(own, away)
    assert await authenticator.knows_who_is_denied()
    assert (await authenticator.check(own_key.sign())).sub == "u1"
    assert (await refusal(authenticator, kakao_key.sign(iss=KAKAO, aud=CLIENT))).status == 503


async def test_each_issuer_cuts_off_its_own_people_only(
    own: IdentityProvider, kakao: IdentityProvider, own_key: SigningKey, kakao_key: SigningKey
) -> None:
    own.denied, kakao.denied = [{"sub": "8"}], [{"sub": "7"}]
    lists = {"deny_list_url": own.deny_list_url, "deny_list_every_s": 0.1}
    authenticator = trusting(own, customers(kakao, deny_list_url=kakao.deny_list_url), **lists)
    await authenticator.start()
    try:
        assert (await authenticator.check(own_key.sign(sub="7"))).sub == "7"
        other = await authenticator.check(kakao_key.sign(iss=KAKAO, aud=CLIENT, sub="8"))
        assert other.sub == "kakao:8"
        denied = await refusal(authenticator, kakao_key.sign(iss=KAKAO, aud=CLIENT, sub="7"))
        assert denied.code == "token-denied"
        kakao.denied = [{"sub": "8"}]
        await eventually(lambda: not authenticator.allows(other), what="the end of what was begun for 8")
    finally:
        await authenticator.stop()


def told(metric: str, **labels: str) -> float:
    found = REGISTRY.get_sample_value(metric, labels)
    assert found is not None, f"{metric} is not told"
    return found


async def test_the_metrics_tell_of_every_list_whichever_is_away(
    own: IdentityProvider, kakao: IdentityProvider
) -> None:
    own.denied, kakao.denied = [{"sub": "1"}, {"sub": "2"}, {}], [{"sub": "3"}]
    lists = {"deny_list_url": own.deny_list_url, "deny_list_every_s": 0.05}
    authenticator = trusting(own, customers(kakao, deny_list_url=kakao.deny_list_url), **lists)
    age, entries = "laundry_deny_list_age_seconds", "laundry_deny_list_entries"
    await authenticator.start()
    try:
        await eventually(lambda: told(entries, state="in force") == 3, what="the entries of both lists")
        assert told(entries, state="unreadable") == 1
        for away in (own, kakao):
            away.answer = lambda handler: reply(handler, 503)
            # The other one is confirmed many times meanwhile.
            await eventually(lambda: told(age) > 1, what="a list that is not confirmed any more")
            away.answer = None
            await eventually(lambda: told(age) < 1, what="both lists confirmed again")
    finally:
        await authenticator.stop()


async def test_where_one_sub_is_one_person_every_list_counts(
    own: IdentityProvider, kakao: IdentityProvider, own_key: SigningKey, kakao_key: SigningKey
) -> None:
    own.denied = [{"sub": "kim"}]
    shared = customers(kakao, subject_prefix="", forced_role=None, id_tokens=False)
    authenticator = trusting(own, shared, deny_list_url=own.deny_list_url)
    await authenticator.start()
    try:
        assert await authenticator.knows_who_is_denied()
        token = kakao_key.sign(iss=KAKAO, aud=CLIENT, sub="kim")
        assert (await refusal(authenticator, token)).code == "token-denied"
    finally:
        await authenticator.stop()


async def test_what_is_remembered_of_a_token_without_its_issuer_goes_by_its_key(
    own: IdentityProvider, kakao: IdentityProvider, kakao_key: SigningKey
) -> None:
    """A device's login to the broker: of the second issuer, whose people are those of the first."""
    second = customers(kakao, audience=AUDIENCE, subject_prefix="", forced_role=None, id_tokens=False)
    authenticator = trusting(own, second)
    principal = await authenticator.check(kakao_key.sign(iss=KAKAO, role="device"))
    remembered = replace(principal, issuer="", expires_at=time.time() + 60)
    assert authenticator.allows(remembered)
    assert not authenticator.allows(replace(remembered, key="of-nobody"))


def test_settings_that_would_mix_people_up_are_refused(
    own: IdentityProvider, kakao: IdentityProvider
) -> None:
    with pytest.raises(ValueError, match="named twice"):
        trusting(own, customers(kakao, issuer=ISSUER))
    with pytest.raises(ValueError, match="same subject_prefix"):
        trusting(own, customers(kakao), customers(kakao, issuer="https://nid.naver.com"))
    for prefix in ("kakao", "Kakao:", "a:b:", ":"):
        with pytest.raises(ValidationError):
            customers(kakao, subject_prefix=prefix)
    with pytest.raises(ValidationError):
        TrustedIssuer.model_validate({"issuer": KAKAO, "jwks_url": "x", "audience": "y"})
