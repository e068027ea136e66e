"""What the settings make of Django, and what they refuse."""

from typing import Any

import pytest
from pydantic import ValidationError

from identity.asgi import security_headers
from identity.configuration import django_configuration
from identity.settings import Settings
from laundry_service.auth.rsa_keys import new_key, pems

KEY = new_key()
GIVEN: dict[str, Any] = {
    "database_url": "postgresql+asyncpg://identity:p%40ss@db:5433/identity",
    "amqp_url": "amqp://identity:secret@localhost/laundry",
    "jwks_url": "http://localhost",
    "jwt_issuer": "http://localhost",
    "public_url": "https://sign-in.example/",
    "web_urls": "https://pages.example, http://127.0.0.1:8080",
    "oidc_client_secret": "client-secret",
    "secret_keys": 32 * "n",
    "signing_keys": KEY,
}


def settings(**changes: Any) -> Settings:
    return Settings.model_validate({**GIVEN, **changes})


def test_what_compose_leaves_empty_is_unset() -> None:
    made = settings(letter_key="", letters_unsigned_until="", smtp_url="", mail_folder="")
    assert {made.letter_key, made.letters_unsigned_until, made.smtp_url, made.mail_folder} == {None}


def test_behind_tls_cookies_belong_to_this_host_only() -> None:
    made = django_configuration(settings())
    for name in ("SESSION", "CSRF", "LANGUAGE"):
        assert made[f"{name}_COOKIE_NAME"].startswith("__Host-")
        assert made[f"{name}_COOKIE_SECURE"] and made[f"{name}_COOKIE_HTTPONLY"]
    plain = django_configuration(settings(public_url="http://localhost:8008"))
    # A browser would refuse them there.
    assert not plain["SESSION_COOKIE_NAME"].startswith("__Host-") and not plain["SESSION_COOKIE_SECURE"]


def test_nothing_runs_on_a_page_but_what_is_from_here() -> None:
    policy = security_headers(settings())["Content-Security-Policy"]
    assert "unsafe" not in policy and "*" not in policy
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    # Where a sign-in ends.
    assert "form-action 'self' https://pages.example http://127.0.0.1:8080" in policy


def test_the_address_of_the_database_is_read_as_every_service_has_it() -> None:
    found = django_configuration(settings())["DATABASES"]["default"]
    assert (found["HOST"], found["PORT"], found["NAME"]) == ("db", "5433", "identity")
    assert (found["USER"], found["PASSWORD"]) == ("identity", "p@ss")
    asked = settings(database_url="postgresql://identity@db/identity?sslmode=verify-full")
    assert django_configuration(asked)["DATABASES"]["default"]["OPTIONS"]["sslmode"] == "verify-full"


def test_a_database_s_host_that_vanishes_is_noticed() -> None:
    options = django_configuration(settings())["DATABASES"]["default"]["OPTIONS"]
    assert options["keepalives"] == 1
    noticed_s = options["keepalives_idle"] + options["keepalives_interval"] * options["keepalives_count"]
    assert noticed_s <= 30 and options["tcp_user_timeout"] <= 30_000
    asked = settings(database_url="postgresql://identity@db/identity?keepalives_idle=60")
    assert django_configuration(asked)["DATABASES"]["default"]["OPTIONS"]["keepalives_idle"] == "60"


def test_the_locks_of_a_host_that_vanishes_are_free_within_half_a_minute() -> None:
    asked = django_configuration(settings())["DATABASES"]["default"]["OPTIONS"]["options"]
    told = dict(one.split("=") for one in asked.removeprefix("-c ").split(" -c "))
    idle, interval, count = (int(told[f"tcp_keepalives_{name}"]) for name in ("idle", "interval", "count"))
    assert 0 < idle + interval * count <= 30 and 0 < int(told["tcp_user_timeout"]) <= 30_000
    assert (told["statement_timeout"], told["lock_timeout"]) == ("30000", "10000")


def test_a_key_is_the_same_however_the_keys_were_written_down() -> None:
    old, new = 32 * "o", 32 * "n"
    written = django_configuration(settings(secret_keys=f"{new}, {old},\n"))
    assert (written["SECRET_KEY"], written["SECRET_KEY_FALLBACKS"]) == (new, [old])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "smtp+tls://me:p%40ss@mail.example",
            {"EMAIL_PORT": 587, "EMAIL_USE_TLS": True, "EMAIL_USE_SSL": False},
        ),
        ("smtps://mail.example", {"EMAIL_PORT": 465, "EMAIL_USE_TLS": False, "EMAIL_USE_SSL": True}),
        ("smtp://mail.example:2525", {"EMAIL_PORT": 2525, "EMAIL_USE_TLS": False, "EMAIL_USE_SSL": False}),
    ],
)
def test_mail_goes_where_the_address_says(url: str, expected: dict[str, Any]) -> None:
    made = django_configuration(settings(smtp_url=url))
    assert {name: made[name] for name in expected} == expected
    assert made["EMAIL_HOST"] == "mail.example"
    assert settings(smtp_url=url).sends_mail and not settings(smtp_url="").sends_mail


@pytest.mark.parametrize(
    "changes",
    [
        {"secret_keys": "short"},
        {"secret_keys": f"{32 * 'n'},short"},
        {"secret_keys": f"short{32 * ' '}"},
        {"secret_keys": " , "},
        {"signing_keys": "none"},
        {"signing_keys": f"{KEY},none"},
        {"signing_keys": ""},
        {"web_urls": ""},
        {"public_url": "sign-in.example"},
        {"access_token_s": 3600},
        {"smtp_url": "mail.example"},
    ],
)
def test_settings_that_would_not_do_are_refused_and_not_repeated(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError) as caught:
        settings(**changes)
    assert KEY not in str(caught.value)


def test_the_first_key_signs_and_its_successor_is_known_by_its_place() -> None:
    other = new_key()
    assert pems(f"{KEY},{other}") == [*pems(KEY), *pems(other)]
