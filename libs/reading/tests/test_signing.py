"""Only what one of our keys signed, and just as it was signed, is taken for a manifest."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from laundry_reading.manifest import Manifest
from laundry_reading.signing import (
    FIELD,
    BadKey,
    NotTrusted,
    PublicKey,
    PublicKeyTexts,
    Purpose,
    SigningKey,
    TooLarge,
    TrustedKeys,
)
from laundry_reading.storage import MAX_MANIFEST_BYTES

KEY, OTHER = SigningKey.generate(), SigningKey.generate()
TRUSTED = TrustedKeys([KEY.public])
JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=4), inner, max_size=3)
    ),
    max_leaves=8,
)


def manifest(**changes: Any) -> Manifest:
    values = {
        "version": "m-1",
        "file": "laundry-m-1.onnx",
        "sha256": "a" * 64,
        "file_bytes": 10,
        "labels": ["pants", "shoes"],
        "input_size": 32,
        "preprocess_version": "p-1",
        "threshold": 0.6,
        "metrics": {"top1": 0.9},
        "lineage": {"kind": "refit"},
        "created_at": datetime(2026, 1, 1, tzinfo=UTC),
        "held_out": {"file": "a.npz"},
    }
    return Manifest.model_validate({**values, **changes})


FIELDS = sorted(manifest().model_dump())


def changed(document: bytes, **changes: Any) -> bytes:
    return json.dumps({**json.loads(document), **changes}).encode()


def with_payload(document: bytes, payload: bytes) -> bytes:
    """Say something else both where people look and where the signature is."""
    envelope = {**json.loads(document)[FIELD], "payload": base64.b64encode(payload).decode()}
    return json.dumps({**json.loads(payload), FIELD: envelope}).encode()


def with_signature(document: bytes, **changes: Any) -> bytes:
    envelope = json.loads(document)[FIELD]
    return changed(document, dsse={**envelope, "signatures": [{**envelope["signatures"][0], **changes}]})


@given(st.dictionaries(st.text("xyz", min_size=1, max_size=5), JSON_VALUES, max_size=4), JSON_VALUES)
def test_what_was_signed_is_read_as_it_was(extra: dict[str, Any], metric: Any) -> None:
    signed = manifest(**extra, metrics={"odd": metric})
    for purpose in ("model", "champion"):
        document = KEY.seal(signed, purpose)
        assert TRUSTED.open(document, purpose) == signed
        # Older readers find the same fields where they were.
        assert Manifest.from_json(document).model_dump(exclude={FIELD}) == signed.model_dump()


@given(st.sampled_from([*FIELDS, "added"]), JSON_VALUES)
def test_a_change_of_any_field_is_refused(field: str, value: Any) -> None:
    document = KEY.seal(manifest(), "champion")
    said = json.loads(document)
    del said[FIELD]
    if field in said and said[field] == value:
        return
    with pytest.raises(NotTrusted, match="something else"):
        TRUSTED.open(changed(document, **{field: value}), "champion")
    with pytest.raises(NotTrusted, match="changed after it was signed"):
        TRUSTED.open(with_payload(document, json.dumps({**said, field: value}).encode()), "champion")


@given(st.sampled_from(FIELDS))
def test_a_field_that_is_gone_is_refused(field: str) -> None:
    document = json.loads(KEY.seal(manifest(), "champion"))
    del document[field]
    with pytest.raises(NotTrusted, match="something else"):
        TRUSTED.open(json.dumps(document).encode(), "champion")


@given(st.integers(0, 63), st.integers(0, 87))
def test_a_signature_cut_off_or_with_another_byte_is_refused(place: int, cut: int) -> None:
    document = KEY.seal(manifest(), "champion")
    text = json.loads(document)[FIELD]["signatures"][0]["sig"]
    raw = bytearray(base64.b64decode(text))
    raw[place] ^= 1
    for wrong in (text[:cut], base64.b64encode(bytes(raw)).decode()):
        with pytest.raises(NotTrusted, match=r"malformed|changed"):
            TRUSTED.open(with_signature(document, sig=wrong), "champion")


@given(st.binary(max_size=200) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_whatever_lies_there_is_refused_and_nothing_worse(document: bytes) -> None:
    with pytest.raises(NotTrusted):
        TRUSTED.open(document, "champion")


@given(JSON_VALUES, st.sampled_from(["payload", "payloadType", "signatures", None]))
def test_whatever_is_called_a_signature_is_refused_and_nothing_worse(value: Any, part: str | None) -> None:
    document = KEY.seal(manifest(), "champion")
    envelope = json.loads(document)[FIELD]
    if part is not None and envelope[part] == value:
        return
    with pytest.raises(NotTrusted):
        TRUSTED.open(changed(document, dsse=value if part is None else {**envelope, part: value}), "champion")


def test_nesting_without_end_is_refused() -> None:
    for document in (b"[" * 200_000, b'{"dsse":' * 20_000):
        with pytest.raises(NotTrusted):
            TRUSTED.open(document, "champion")


def refusal(document: bytes, trusted: TrustedKeys = TRUSTED) -> NotTrusted:
    with pytest.raises(NotTrusted) as found:
        trusted.open(document, "champion")
    return found.value


def test_a_refusal_says_why_and_of_which_version() -> None:
    document = KEY.seal(manifest(), "champion")
    envelope = json.loads(document)[FIELD]
    another = json.loads(KEY.seal(manifest(version="m-2", file="laundry-m-2.onnx"), "champion"))
    found = {
        "unsigned": refusal(manifest().to_json().encode()),
        "another key": refusal(OTHER.seal(manifest(), "champion")),
        "another key that borrows our key's name": refusal(
            with_signature(OTHER.seal(manifest(), "champion"), keyid=KEY.public.id)
        ),
        "another manifest's": refusal(changed(document, dsse=another[FIELD])),
        "another manifest's signature": refusal(
            changed(document, dsse={**envelope, "signatures": another[FIELD]["signatures"]})
        ),
        "a candidate's": refusal(KEY.seal(manifest(), "model")),
        "a candidate's, renamed": refusal(
            changed(
                document,
                dsse={
                    **json.loads(KEY.seal(manifest(), "model"))[FIELD],
                    "payloadType": envelope["payloadType"],
                },
            )
        ),
        "no manifest": refusal(KEY.seal(manifest().model_copy(update={"sha256": "x"}), "champion")),
    }
    assert {each.version for each in found.values()} == {"m-1"}
    assert {name: str(error) for name, error in found.items()} == {
        "unsigned": "its manifest is not signed; mlops signs all that it writes",
        "another key": f"its manifest is signed by a key that is not trusted here ({OTHER.public.id})",
        "another key that borrows our key's name": "its manifest was changed after it was signed",
        "another manifest's": "its manifest says something else than what was signed",
        "another manifest's signature": "its manifest was changed after it was signed",
        "a candidate's": "its manifest is not signed as a champion",
        "a candidate's, renamed": "its manifest was changed after it was signed",
        "no manifest": "what was signed is no manifest: 1 errors",
    }


def test_a_key_is_replaced_by_another_while_both_are_trusted() -> None:
    both = TrustedKeys.parse([KEY.public.text, OTHER.public.text])
    for key in (KEY, OTHER):
        assert both.open(key.seal(manifest(), "champion"), "champion") == manifest()
    assert "not trusted" in str(refusal(KEY.seal(manifest(), "champion"), TrustedKeys([OTHER.public])))


def test_the_envelope_is_what_others_call_dsse() -> None:
    envelope = json.loads(KEY.seal(manifest(), "champion"))[FIELD]
    payload, kind = base64.b64decode(envelope["payload"]), envelope["payloadType"]
    signed = f"DSSEv1 {len(kind)} {kind} {len(payload)} ".encode() + payload
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(KEY.public.text))
    key.verify(base64.b64decode(envelope["signatures"][0]["sig"]), signed)


def test_keys_are_read_as_openssl_writes_them_too() -> None:
    raw = Ed25519PrivateKey.from_private_bytes(base64.b64decode(KEY.text))
    private = raw.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = raw.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert (
        SigningKey.parse(private.decode()).public == SigningKey.parse(f" {KEY.text}\n").public == KEY.public
    )
    assert PublicKey.parse(public.decode()) == PublicKey.parse(KEY.public.text) == KEY.public
    texts = TypeAdapter(PublicKeyTexts)
    for text in (
        f"{KEY.public.text}, {OTHER.public.text}",
        f"{public.decode()}\n{OTHER.public.text}",
        json.dumps([public.decode(), OTHER.public.text]),
    ):
        assert [PublicKey.parse(each) for each in texts.validate_python(text)] == [KEY.public, OTHER.public]
    with pytest.raises(ValidationError, match="keygen"):
        texts.validate_python(" ")


@pytest.mark.parametrize("kind", ["short", "not base64", "another curve", "a locked key"])
def test_what_is_no_key_is_refused_without_being_shown(kind: str) -> None:
    private = generate_private_key(SECP256R1())
    lock = serialization.BestAvailableEncryption(b"secret")
    open_ = serialization.NoEncryption()
    pem = private if kind == "another curve" else Ed25519PrivateKey.generate()
    text = {"short": "c2hvcnQ=", "not base64": "%%%%"}.get(kind) or pem.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        open_ if kind == "another curve" else lock,
    ).decode()
    for parse in (SigningKey.parse, PublicKey.parse):
        with pytest.raises(BadKey) as found:
            parse(text)
        assert text not in str(found.value)


def padded(count: int) -> Manifest:
    return manifest(metrics={"poem": "x" * count})


def test_a_manifest_that_nobody_would_read_is_not_signed() -> None:
    with pytest.raises(TooLarge, match="m-1 has"):
        KEY.seal(padded(200_000), "model")
    # The largest that can be signed as a model can be signed as the champion too, and is read as both.
    least, most = 0, 200_000
    while most - least > 1:
        middle = (least + most) // 2
        try:
            KEY.seal(padded(middle), "model")
            least = middle
        except TooLarge:
            most = middle
    purposes: tuple[Purpose, ...] = ("model", "champion")
    for purpose in purposes:
        document = KEY.seal(padded(least), purpose)
        assert MAX_MANIFEST_BYTES - 20 < len(document) <= MAX_MANIFEST_BYTES
        assert TRUSTED.open(document, purpose) == padded(least)
        with pytest.raises(TooLarge):
            KEY.seal(padded(most), purpose)
