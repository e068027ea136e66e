"""Which push services are pushed to, and what they answer."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification.push import PushStatus, service_of
from notification.web_push.endpoints import NotAllowed, PushServices, is_public
from notification.web_push.pusher import read_answer

SERVICES = PushServices(["default", "push.example", "http://127.0.0.1:8010"])


@pytest.mark.parametrize(
    ("address", "origin", "service"),
    [
        ("https://fcm.googleapis.com/fcm/send/a:b", "https://fcm.googleapis.com", "fcm.googleapis.com"),
        (
            "https://updates.push.services.mozilla.com/wpush/v2/x",
            "https://updates.push.services.mozilla.com",
            None,
        ),
        ("https://web.push.apple.com/x", "https://web.push.apple.com", "*.push.apple.com"),
        ("https://wns2-by3p.notify.windows.com/w/?token=x%3d", "https://wns2-by3p.notify.windows.com", None),
        ("https://push.example:443/x", "https://push.example", "push.example"),
        ("http://127.0.0.1:8010/web-push/x", "http://127.0.0.1:8010", "http://127.0.0.1:8010"),
    ],
)
def test_known_push_services_are_pushed_to(address: str, origin: str, service: str | None) -> None:
    found = SERVICES.endpoint(address)
    assert found.origin == origin
    assert address.endswith(found.target)
    assert service is None or found.service == service
    assert found.anywhere is (found.scheme == "http")


@pytest.mark.parametrize(
    "address",
    [
        "https://evil.example/x",
        "https://fcm.googleapis.com.evil.example/x",
        "https://evilfcm.googleapis.com/x",
        "https://evil.example/fcm.googleapis.com",
        "https://evil.example#fcm.googleapis.com",
        "https://fcm.googleapis.com@evil.example/x",
        "https://fcm.googleapis.com\\@evil.example/x",
        "https://evil.example\\.push.apple.com/x",
        "https://.push.apple.com/x",
        "https://push.apple.com/x",
        "http://fcm.googleapis.com/x",
        "https://fcm.googleapis.com:8443/x",
        "https://fcm.googleapis.com:0/x",
        "https://fcm.googleapis.com:99999/x",
        "https://fcm.googleapis.com./x",
        "https://127.0.0.1/x",
        "http://127.0.0.1:8011/x",
        "https://127.0.0.1:8010/x",
        "http://127.0.0.1.evil.example:8010/x",
        "http://169.254.169.254/latest/meta-data",
        "https://[::1]/x",
        "https://[::ffff:127.0.0.1]/x",
        "https://2130706433/x",
        "https://localhost/x",
        "file:///etc/passwd",
        "gopher://127.0.0.1:25/",
        "javascript:alert(1)",
        "//fcm.googleapis.com/x",
        "fcm.googleapis.com/x",
        "https:///x",
        "https://[",
        "",
        "https://fcm.googleapis.com/\r\nX-Evil: 1",
        "https://fcm.googleapis.com/한글",
    ],
)
def test_no_other_address_is_pushed_to(address: str) -> None:
    with pytest.raises(NotAllowed):
        SERVICES.endpoint(address)


@given(st.text(st.sampled_from("htps:/\\.@#?%[]1270.fcm.googleapis.com"), max_size=60))
def test_whatever_an_address_looks_like_only_known_hosts_are_reached(text: str) -> None:
    for address in (text, f"https://{text}", f"https://fcm.googleapis.com{text}"):
        try:
            found = SERVICES.endpoint(address)
        except NotAllowed:
            continue
        assert found.host in {"fcm.googleapis.com", "push.example"} or found.anywhere


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("142.250.76.10", True),
        ("2404:6800:400a:80c::200a", True),
        ("64:ff9b::8efa:4c0a", True),
        ("127.0.0.1", False),
        ("127.255.0.9", False),
        ("0.0.0.0", False),
        ("10.0.0.1", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("100.64.0.1", False),
        ("169.254.169.254", False),
        ("224.0.0.1", False),
        ("255.255.255.255", False),
        ("::", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fd00:ec2::254", False),
        ("ff02::1", False),
        ("::ffff:127.0.0.1", False),
        ("::ffff:169.254.169.254", False),
        ("64:ff9b::7f00:1", False),
        ("64:ff9b::a9fe:a9fe", False),
        ("2002:7f00:1::", False),
        ("2001:db8::1", False),
    ],
)
def test_which_addresses_are_of_the_internet(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize(
    ("status", "retry_after", "verdict", "wait"),
    [
        (201, None, PushStatus.SENT, None),
        (200, None, PushStatus.SENT, None),
        (204, None, PushStatus.SENT, None),
        (404, None, PushStatus.GONE, None),
        (410, None, PushStatus.GONE, None),
        (400, None, PushStatus.REFUSED, None),
        (401, None, PushStatus.REFUSED, None),
        (403, None, PushStatus.REFUSED, None),
        (413, None, PushStatus.REFUSED, None),
        (429, "7", PushStatus.LATER, 7.0),
        (406, None, PushStatus.LATER, None),
        (500, None, PushStatus.LATER, None),
        (503, "soon", PushStatus.LATER, None),
        (503, "-5", PushStatus.LATER, 0.0),
        (503, "Wed, 21 Oct 2015 07:28:00 GMT", PushStatus.LATER, 0.0),
        (301, None, PushStatus.LATER, None),
        (307, None, PushStatus.LATER, None),
    ],
)
def test_what_an_answer_of_a_push_service_means(
    status: int, retry_after: str | None, verdict: PushStatus, wait: float | None
) -> None:
    headers = {} if retry_after is None else {"retry-after": retry_after}
    result = read_answer(status, headers, "because\nof x")
    assert (result.status, result.retry_after_s) == (verdict, wait)
    assert result.error is None or result.error == f"{status} because of x"


def test_a_date_to_wait_for_is_understood() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=40), usegmt=True)
    wait = read_answer(503, {"retry-after": soon}, "").retry_after_s
    assert wait is not None and 30 < wait <= 40


def test_which_push_service_a_device_is_of() -> None:
    assert service_of("d8Xy:APA91b-_x") == "fcm"
    assert service_of("https://web.push.apple.com/Q/x") == "web.push.apple.com"
    assert service_of("http://127.0.0.1:8010/web-push/x") == "127.0.0.1:8010"
