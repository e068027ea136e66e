"""What is taken of a sample."""

import json
import re
import unicodedata
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from monitoring.equipment_metrics import METRICS, check_metrics
from monitoring.fault_codes import MAX_CODE, read_code
from monitoring.settings import LIMITS, Bounds, Settings
from monitoring.telemetry import InvalidTelemetry, ParsedTelemetry, is_equipment_id, parse

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_sample(equipment_id: Any = "washer-1", **changes: Any) -> dict[str, Any]:
    return {
        "equipment_id": equipment_id,
        "branch_id": "b1",
        "kind": "washer",
        "recorded_at": NOW.isoformat(),
        "metrics": {"temperature_celsius": 60.5},
        **changes,
    }


def body(*samples: dict[str, Any]) -> bytes:
    return json.dumps({"samples": samples}).encode()


def read(raw: bytes) -> ParsedTelemetry:
    return parse(raw, METRICS, now=NOW)


def refused(raw: bytes) -> InvalidTelemetry:
    with pytest.raises(InvalidTelemetry) as caught:
        read(raw)
    return caught.value


def test_a_good_sample_is_read_and_whole_numbers_are_fine() -> None:
    parsed = read(body(a_sample(metrics={"spin_rpm": 1200}, later_field=1)))
    [taken] = parsed.samples
    assert taken.sample.metrics == {"spin_rpm": 1200.0}
    assert taken.sample.fault_code is None
    assert not parsed.problems and not parsed.refused


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"not json", b"\xff\xfe", b"[" * 100_000, "\ufeff{}".encode()],
    ids=["empty", "cut", "text", "binary", "deep", "bom"],
)
def test_what_is_no_json_is_malformed(raw: bytes) -> None:
    assert refused(raw).code == "malformed-json"


@pytest.mark.parametrize(
    "raw",
    [b"[]", b"null", b"{}", b'{"samples": []}', b'{"samples": {}}', b"1", body(*[a_sample()] * 501)],
)
def test_what_has_no_samples_is_refused(raw: bytes) -> None:
    error = refused(raw)
    assert error.code == "invalid-request"
    assert "samples" in error.detail


@pytest.mark.parametrize(
    "changes",
    [
        {"equipment_id": "a.b"},
        {"equipment_id": "a/b"},
        {"equipment_id": ""},
        {"equipment_id": None},
        {"equipment_id": "stream"},
        {"equipment_id": "reported"},
        {"branch_id": "B 1"},
        {"branch_id": 7},
        {"kind": ""},
        {"recorded_at": "yesterday"},
        {"recorded_at": "2026-03-01T12:00:00"},
        {"recorded_at": "20261128"},
        {"recorded_at": 1_772_366_400},
        {"recorded_at": "1772366400"},
        {"recorded_at": None},
    ],
)
def test_a_sample_that_nothing_can_be_made_of_is_refused_alone(changes: dict[str, Any]) -> None:
    parsed = read(body(a_sample(), a_sample(**changes), 1, a_sample("dryer-1")))  # type: ignore[arg-type]
    assert [taken.index for taken in parsed.samples] == [0, 3]
    assert [issue.index for issue in parsed.refused] == [1, 2]
    assert parsed.refused[0].detail.startswith("samples.1: ")


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"kind": ""}, "kind-unreadable"),
        ({"kind": None}, "kind-unreadable"),
        ({"recorded_at": "20261128"}, "clock-unreadable"),
        ({"recorded_at": 5}, "clock-unreadable"),
        ({"recorded_at": None}, "clock-unreadable"),
        ({"metrics": [1]}, "metrics-unreadable"),
        ({"metrics": {"temperature_celsius": "71.5"}}, "value-unreadable"),
        ({"metrics": {"temperature_celsius": True}}, "value-unreadable"),
        ({"metrics": {"temperature_celsius": None}}, "value-unreadable"),
        ({"metrics": {"temperature_celsius": float("nan")}}, "value-unreadable"),
        ({"metrics": {"temperature_celsius": float("inf")}}, "value-unreadable"),
        ({"metrics": {"temperature_celsius": int("9" * 400)}}, "value-unreadable"),
        ({"metrics": {"temperature_celsius": -127.0}}, "impossible-value"),
        ({"metrics": {"temperature_fahrenheit": 160.0}}, "unknown-metric"),
        ({"metrics": {"Temperature": 60.0}}, "unknown-metric"),
        ({"metrics": {"\u0000": 60.0}}, "unknown-metric"),
    ],
)
def test_a_code_is_taken_whatever_stands_beside_it(changes: dict[str, Any], word: str) -> None:
    parsed = read(body(a_sample("dryer-1"), a_sample(fault_code="E21", **changes)))
    assert [taken.sample.fault_code for taken in parsed.samples] == [None, "E21"]
    assert [(issue.index, issue.code) for issue in parsed.problems] == [(1, word)]
    assert parsed.samples[1].sample.metrics == {} or "metrics" not in changes


def test_null_metrics_are_none_and_the_33rd_is_one_too_many() -> None:
    assert not read(body(a_sample(metrics=None))).problems
    many = {f"m{n}_s": 1 for n in range(33)}
    [taken] = read(body(a_sample(metrics=many))).samples
    assert len(taken.sample.metrics) == 0
    words = {issue.code for issue in read(body(a_sample(metrics=many))).problems}
    assert words == {"too-many-metrics", "unknown-metric"}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=60),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(JSON)
def test_what_stands_where_a_code_belongs_is_a_code_unless_it_is_empty(said: Any) -> None:
    read = read_code(said)
    code, word = read.code, read.remark
    empty = said is None or said is False or (isinstance(said, str) and not said.strip()) or said in ([], {})
    assert (code is None) == empty
    plain = isinstance(said, str) and re.fullmatch(r"[A-Za-z0-9._:/-]{1,40}", said) is not None
    assert (word is None) == (said is None or plain)
    assert code == said or not plain
    if code is not None:
        assert 1 <= len(code) <= MAX_CODE
        assert code.isprintable() and not re.search(r"[^\w.:/-]", code)
        assert read_code(code).code == code


@given(
    st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=80), st.text(min_size=1, max_size=80)
)
def test_two_codes_stay_two(one: str, other: str) -> None:
    plain = [unicodedata.normalize("NFKC", text).strip() for text in (one, other)]
    if plain[0] != plain[1] and not re.search(r"[^\w.:/-]", "".join(plain)):
        assert read_code(one).code != read_code(other).code


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("E21", "E21"),
        ("e21", "e21"),
        (" E 21\n", "E_21"),
        (21, "21"),
        (["E1", "E2"], "E1/E2"),
        ("문 열림", "문_열림"),
    ],
)
def test_codes_as_machines_spell_them(said: Any, code: str) -> None:
    [taken] = read(body(a_sample(fault_code=said))).samples
    assert taken.sample.fault_code == code


def test_another_unit_is_left_out_with_the_name_to_send() -> None:
    [issue] = read(
        body(a_sample(), a_sample(metrics={"temperature_fahrenheit": 160.0, "spin_rpm": 5}))
    ).problems
    assert (issue.index, issue.code) == (1, "unknown-metric")
    assert "temperature_celsius" in issue.detail
    [issue] = read(body(a_sample(metrics={"happiness_percent": 60}))).problems
    assert "vibration_mm_s" in issue.detail
    [issue] = read(body(a_sample(metrics={"temperature_celsius": 900}))).problems
    assert "300" in issue.detail


@given(st.sampled_from(sorted(METRICS)), st.floats(allow_nan=False, allow_infinity=False))
def test_a_value_is_taken_exactly_when_it_lies_in_its_range(name: str, value: float) -> None:
    checked = check_metrics({name: value, "spin_rpm" if name != "spin_rpm" else "load_kg": 1}, METRICS)
    assert (name in checked.values) == (METRICS[name].min <= value <= METRICS[name].max)
    assert len(checked.values) + len(checked.issues) == 2


@given(st.lists(JSON, min_size=1, max_size=5))
def test_any_json_is_answered_sample_by_sample(items: list[Any]) -> None:
    raw = json.dumps({"samples": items}, allow_nan=True).encode()
    parsed = read(raw)
    indices = [taken.index for taken in parsed.samples] + [issue.index for issue in parsed.refused]
    assert sorted(indices) == list(range(len(items)))


@given(
    st.lists(st.dictionaries(st.sampled_from(sorted(a_sample())), JSON, max_size=3), min_size=1, max_size=4)
)
def test_a_code_of_a_machine_that_is_named_is_never_dropped(changes: list[dict[str, Any]]) -> None:
    items = [{**a_sample(), **change, "fault_code": f"E{n}"} for n, change in enumerate(changes)]
    parsed = read(json.dumps({"samples": items}).encode())
    for n, item in enumerate(items):
        named = is_equipment_id(item["equipment_id"]) and re.fullmatch(
            "[a-z0-9-]{1,40}", str(item["branch_id"])
        )
        if named and isinstance(item["branch_id"], str):
            assert [t.sample.fault_code for t in parsed.samples if t.index == n] == [f"E{n}"]


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(raw: bytes) -> None:
    try:
        read(raw)
    except InvalidTelemetry as error:
        assert error.code in {"malformed-json", "invalid-request"}


def settings(**changes: Any) -> Settings:
    return Settings(
        service_name="monitoring",
        amqp_url="amqp://x",
        database_url="postgresql+asyncpg://x/y",
        jwks_url="http://x",
        jwt_issuer="x",
        **changes,
    )


def test_kinds_have_their_limits_and_others_the_common_ones() -> None:
    plain = settings()
    assert {limit.metric: limit.value for limit in plain.limits_of("washer")}["temperature_celsius"] == 95
    assert plain.limits_of("sauna") == plain.limits_of("other")
    [low] = [limit for limit in plain.limits_of("boiler") if limit.side == "min"]
    assert low.clear > low.value
    assert all(
        limit.metric in METRICS and not limit.broken_by(limit.clear)
        for kind in LIMITS
        for limit in plain.limits_of(kind)
    )


def test_limits_of_a_kind_can_be_set_and_the_rest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAUNDRY_LIMITS", '{"washer": {"temperature_celsius": {"max": 70, "clear_max": 60}}}')
    changed = settings()
    [limit] = changed.limits_of("washer")
    assert (limit.value, limit.clear) == (70, 60)
    assert changed.limits_of("dryer") == settings(limits={}).limits_of("dryer")


@pytest.mark.parametrize(
    "bounds", [{}, {"max": 5, "clear_max": 6}, {"min": 5, "clear_min": 4}], ids=["none", "max", "min"]
)
def test_bounds_that_cannot_work_are_refused(bounds: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Bounds(**bounds)


def test_limits_of_a_metric_that_is_never_taken_are_refused() -> None:
    with pytest.raises(ValidationError, match="declare them in metrics"):
        settings(limits={"washer": {"foam_mm": {"max": 3}}})
    assert settings(limits={"washer": {"foam_mm": {"max": 3}}}, metrics={"foam_mm": {"min": 0, "max": 9}})


def test_a_kind_that_only_a_device_names_is_counted_as_other() -> None:
    plain = settings(limits={"sauna": {"temperature_celsius": {"max": 100}}})
    assert [plain.known_kind(kind) for kind in ("washer", "sauna", "made-up")] == ["washer", "sauna", "other"]
