"""What is pushed to browsers: encrypted for one, signed by us, to known push services, and never too long."""

import json
from typing import Any

import jwt
import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from laundry_servers.browser_message import open_message
from notification.model import BrowserKeys
from notification.push import Push
from notification.settings import Settings
from notification.texts import text_of
from notification.web_push import base64url
from notification.web_push.encryption import MAX_PLAINTEXT_BYTES, BadSubscription, check_keys, encrypt
from notification.web_push.payload import payload_of, topic_of
from notification.web_push.vapid import BadKey, VapidKey, VapidTokens, is_subject

from .conftest import VAPID_KEY

PRIVATE = ec.generate_private_key(ec.SECP256R1())
POINT = PRIVATE.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
AUTH = bytes(range(16))
KEYS = BrowserKeys(base64url.encode(POINT), base64url.encode(AUTH))


@given(st.binary(min_size=1, max_size=MAX_PLAINTEXT_BYTES))
def test_the_browser_and_nobody_else_reads_what_was_encrypted_for_it(plaintext: bytes) -> None:
    body = encrypt(plaintext, KEYS)
    assert len(body) <= 4096
    assert open_message(body, PRIVATE, AUTH) == plaintext
    assert body != encrypt(plaintext, KEYS)
    for private, auth in ((ec.generate_private_key(ec.SECP256R1()), AUTH), (PRIVATE, AUTH[::-1])):
        with pytest.raises(InvalidTag):
            open_message(body, private, auth)


def test_what_no_push_service_would_carry_is_not_encrypted() -> None:
    assert len(encrypt(b"x" * MAX_PLAINTEXT_BYTES, KEYS)) == 4096
    with pytest.raises(ValueError, match="3994 bytes"):
        encrypt(b"x" * (MAX_PLAINTEXT_BYTES + 1), KEYS)


@pytest.mark.parametrize(
    ("p256dh", "auth"),
    [
        (b"\x04" + b"\x01" * 64, AUTH),
        (b"\x04" + bytes(64), AUTH),
        (b"\x00", AUTH),
        (b"", AUTH),
        (POINT[:64], AUTH),
        (PRIVATE.public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint), AUTH),
        (POINT, AUTH[:15]),
        (POINT, AUTH + b"1"),
    ],
    ids=["off the curve", "zero", "infinity", "empty", "short", "compressed", "short auth", "long auth"],
)
def test_keys_that_are_none_are_told(p256dh: bytes, auth: bytes) -> None:
    with pytest.raises(BadSubscription):
        check_keys(BrowserKeys(base64url.encode(p256dh), base64url.encode(auth)))


@pytest.mark.parametrize("text", ["not base64!", "한글", "A", "AAAA+AAA", "AAAA/AAA"])
def test_keys_are_base64url_and_nothing_like_it(text: str) -> None:
    for keys in (BrowserKeys(text, KEYS.auth), BrowserKeys(KEYS.p256dh, text)):
        with pytest.raises(BadSubscription):
            check_keys(keys)
    check_keys(BrowserKeys(KEYS.p256dh + "=", KEYS.auth + "=="))


def push(title: str = "세탁기 고장", body: str = "확인해 주세요", **changes: Any) -> Push:
    data = {
        "kind": "equipment_fault",
        "notification_id": "n1",
        "equipment_ids": "a,b",
        **changes.pop("data", {}),
    }
    values = {"sound": True, **changes}
    return Push("n1", "https://push.example/1", text_of(title, body), data, "tag-1", urgent=True, **values)


def test_a_worker_gets_what_it_shows() -> None:
    message = json.loads(payload_of(push()))
    assert message == {
        "title": "세탁기 고장",
        "body": "확인해 주세요",
        "tag": "tag-1",
        "renotify": True,
        "silent": False,
        "data": {"kind": "equipment_fault", "notification_id": "n1", "equipment_ids": "a,b"},
    }
    assert json.loads(payload_of(push(sound=False)))["silent"] is True


# Quotes, control characters and halves of surrogate pairs of other names are longer in JSON than in a text.
ANYTHING = st.text(st.sampled_from('가나다"\\\n\x01a,🧺'), max_size=3000)


@given(
    ANYTHING,
    ANYTHING,
    st.lists(st.text(st.sampled_from('세탁기"\x01x'), max_size=200), max_size=60),
    ANYTHING,
)
def test_whatever_it_says_it_fits_and_is_whole(title: str, body: str, names: list[str], further: str) -> None:
    data = {"equipment_ids": ",".join(names), "fault_code": further}
    payload = payload_of(push(title, body, data=data))
    assert len(payload) <= MAX_PLAINTEXT_BYTES
    message = json.loads(payload)
    assert message["data"]["notification_id"] == "n1"
    assert text_of(title, body)["title"].startswith(message["title"].removesuffix("…").rstrip())


def test_names_of_further_machines_go_before_the_text_is_cut() -> None:
    names = [f"washer-{number:04}" for number in range(400)]
    message = json.loads(payload_of(push("제목", "가" * 600, data={"equipment_ids": ",".join(names)})))
    kept = message["data"]["equipment_ids"].split(",")
    assert message["body"] == "가" * 600
    assert 0 < len(kept) < 400
    assert kept == names[: len(kept)]


def test_a_topic_is_one_that_every_push_service_takes() -> None:
    topics = {topic_of(tag) for tag in ("a", "b", "0196f0c0-0000-7000-8000-000000000000", "가" * 100)}
    assert len(topics) == 4
    assert all(len(base64url.decode(topic)) == 24 for topic in topics)


def test_one_token_for_a_push_service_is_used_for_half_a_day() -> None:
    now = [1_800_000_000.0]
    key = VapidKey(VAPID_KEY)
    tokens = VapidTokens(key, "mailto:operator@laundry.example", lambda: now[0])

    def claims(header: str, origin: str) -> dict[str, Any]:
        scheme, _, parameters = header.partition(" ")
        token, public = (each.partition("=")[2] for each in parameters.split(", "))
        assert (scheme, public) == ("vapid", key.public)
        point = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), base64url.decode(public))
        options: Any = {"verify_exp": False}
        return dict(jwt.decode(token, point, algorithms=["ES256"], audience=origin, options=options))

    apple = tokens.authorization("https://web.push.apple.com")
    found = claims(apple, "https://web.push.apple.com")
    assert found["sub"] == "mailto:operator@laundry.example"
    assert 12 * 3600 < found["exp"] - now[0] < 24 * 3600
    google = tokens.authorization("https://fcm.googleapis.com")
    assert claims(google, "https://fcm.googleapis.com")["aud"] == "https://fcm.googleapis.com"
    now[0] += 12 * 3600 - 1
    assert tokens.authorization("https://web.push.apple.com") == apple
    now[0] += 2
    renewed = tokens.authorization("https://web.push.apple.com")
    assert claims(renewed, "https://web.push.apple.com")["exp"] > now[0] + 12 * 3600
    now[0] -= 7 * 24 * 3600
    again = tokens.authorization("https://web.push.apple.com")
    assert claims(again, "https://web.push.apple.com")["exp"] < now[0] + 24 * 3600


@pytest.mark.parametrize(
    "text", ["", "a", "가", base64url.encode(bytes(32)), base64url.encode(b"\xff" * 32), "A" * 60]
)
def test_a_key_that_is_none_is_told_and_not_shown(text: str) -> None:
    with pytest.raises(BadKey) as told:
        VapidKey(text)
    assert len(text) < 5 or text not in str(told.value)


@pytest.mark.parametrize(
    ("text", "is_one"),
    [
        ("mailto:operator@laundry.example", True),
        ("https://laundry.example/contact", True),
        ("operator@laundry.example", False),
        ("mailto:operator", False),
        ("mailto:<operator@laundry.example>", False),
        ("mailto: operator@laundry.example", False),
        ("http://laundry.example", False),
        ("https://localhost", False),
        ("", False),
    ],
)
def test_who_pushes_can_be_written_to(text: str, is_one: bool) -> None:
    assert is_subject(text) is is_one


BASE: dict[str, Any] = {
    "amqp_url": "amqp://localhost",
    "database_url": "postgresql+asyncpg://localhost/x",
    "jwks_url": "http://localhost",
    "jwt_issuer": "i",
    "fcm_url": "http://localhost",
}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"web_push_private_key": VAPID_KEY}, "needs LAUNDRY_WEB_PUSH_SUBJECT"),
        ({"web_push_private_key": VAPID_KEY, "web_push_subject": "operator"}, "neither mailto"),
        ({"web_push_private_key": "secret-but-wrong", "web_push_subject": "https://a.example"}, "push-keys"),
        ({"web_push_services": "default,https://"}, "no origin"),
        ({"web_push_services": "127.0.0.1"}, "neither a host"),
        ({"web_push_services": "push.example/path"}, "neither a host"),
    ],
)
def test_a_service_whose_web_push_could_not_work_does_not_start(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why) as told:
        Settings(**BASE, **changes)
    assert changes.get("web_push_private_key", "…") not in str(told.value)


def test_without_a_key_there_is_no_web_push_and_all_else_goes_on() -> None:
    unset = Settings(**BASE, web_push_private_key="", web_push_subject="", letters_unsigned_until="")
    assert unset.web_push_private_key is None and unset.letters_unsigned_until is None
