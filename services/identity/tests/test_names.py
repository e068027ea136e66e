import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from identity.people.names import MAX_EMAIL, MAX_NAME, Unfit, clean_email, clean_name


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        (" Kim@Example.COM ", "kim@example.com"),
        ("kim+laundry@example.com", "kim+laundry@example.com"),
        ("kim@세탁.한국", "kim@xn--vj4b47z.xn--3e0b707e"),
        # The domain is the same one in other letters.
        ("kim@ｅｘａｍｐｌｅ.com", "kim@example.com"),
    ],
)
def test_one_address_has_one_form(typed: str, kept: str) -> None:
    assert clean_email(typed) == kept


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "kim",
        "kim@",
        "@example.com",
        "kim@localhost",
        "kim lee@example.com",
        "kim@example.com\nbcc: lee@example.com",
        "кim@example.com",  # a Cyrillic letter
        "ｋim@example.com",  # a full-width one
        "kim\u200b@example.com",  # a zero width space
        "\u202ekim@example.com",  # written from right to left
        "kim@exam\u00adple..com",
        '"kim@lee"@example.com',
        f"{'k' * 65}@example.com",
        "k" * 5000,
    ],
)
def test_an_address_that_is_none_or_looks_like_another_is_refused(typed: str) -> None:
    with pytest.raises(Unfit):
        clean_email(typed)


@given(st.text(max_size=300))
def test_whatever_is_typed_as_an_address_is_refused_or_comes_out_in_ascii(typed: str) -> None:
    try:
        address = clean_email(typed)
    except Unfit:
        return
    assert address.isascii()
    assert len(address) <= MAX_EMAIL
    assert clean_email(address) == address


@given(st.text(max_size=MAX_NAME + 20))
def test_whatever_is_typed_as_a_name_is_refused_or_can_be_seen(typed: str) -> None:
    try:
        name = clean_name(typed)
    except Unfit:
        return
    assert 0 < len(name) <= MAX_NAME
    assert name == unicodedata.normalize("NFC", name)
    assert name.isprintable()


def test_a_name_is_composed() -> None:
    assert clean_name(" " + unicodedata.normalize("NFD", "김민지 É") + " ") == "김민지 É"
