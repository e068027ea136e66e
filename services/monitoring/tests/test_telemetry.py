"""What is believed of a sample."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from monitoring.settings import LIMITS, Bounds, Settings
from monitoring.telemetry import FUTURE, METRICS, BadTelemetry, Sample, check, parse

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def look(**changes: Any) -> dict[str, Any]:
    return {
        "equipment_id": "washer-1",
        "branch_id": "b1",
        "kind": "washer",
        "recorded_at": NOW.isoformat(),
        "metrics": {"temperature_celsius": 60.5},
        **changes,
    }


def body(*samples: dict[str, Any]) -> bytes:
    return json.dumps({"samples": samples}).encode()


def refused(raw: bytes) -> BadTelemetry:
    with pytest.raises(BadTelemetry) as caught:
        check(parse(raw), METRICS, now=NOW)
    return caught.value


def test_a_good_sample_is_read_and_whole_numbers_are_fine() -> None:
    [sample] = parse(body(look(metrics={"spin_rpm": 1200}, later_field=1)))
    check([sample], METRICS, now=NOW)
    assert sample.metrics == {"spin_rpm": 1200.0}
    assert sample.fault_code is None


@pytest.mark.parametrize(
    "raw",
    [b"", b"{", b"not json", b"\xff\xfe", b"[" * 100_000],
    ids=["empty", "cut", "text", "binary", "deep"],
)
def test_what_is_no_json_is_malformed(raw: bytes) -> None:
    assert refused(raw).code == "malformed-json"


@pytest.mark.parametrize(
    "raw",
    [
        b"[]",
        b"null",
        b"{}",
        b'{"samples": []}',
        b'{"samples": {}}',
        b'{"samples": [1]}',
        body(*[look()] * 501),
        body(look(equipment_id="a.b")),
        body(look(equipment_id="a/b")),
        body(look(equipment_id="")),
        body(look(equipment_id="stream")),
        body(look(equipment_id="reported")),
        body(look(branch_id="B 1")),
        body(look(kind="")),
        body(look(fault_code="")),
        body(look(fault_code=21)),
        body(look(recorded_at="yesterday")),
        body(look(recorded_at="2026-03-01T12:00:00")),
        body(look(recorded_at=1_772_366_400)),
        body(look(metrics={"temperature_celsius": "71.5"})),
        body(look(metrics={"temperature_celsius": True})),
        body(look(metrics={"temperature_celsius": None})),
        body(look(metrics={"temperature_celsius": float("nan")})),
        body(look(metrics={"temperature_celsius": float("inf")})),
        body(look()).replace(b"60.5", b"1e999"),
        body(look()).replace(b"60.5", b"9" * 400),
        body(look(metrics=[1])),
        body(look(metrics={f"m{n}_s": 1 for n in range(33)})),
    ],
)
def test_what_has_another_shape_is_refused_with_its_place(raw: bytes) -> None:
    error = refused(raw)
    assert error.code == "invalid-request"
    assert "samples" in error.detail or "body" in error.detail or "equipment id" in error.detail


def test_another_unit_is_refused_with_the_name_to_send() -> None:
    error = refused(body(look(), look(metrics={"temperature_fahrenheit": 160.0})))
    assert error.code == "unknown-metric"
    assert "temperature_celsius" in error.detail
    assert error.detail.startswith("samples.1:")


def test_a_metric_without_its_unit_or_of_no_known_quantity_is_refused() -> None:
    assert "temperature_celsius" in refused(body(look(metrics={"temperature": 60}))).detail
    error = refused(body(look(metrics={"happiness_percent": 60})))
    assert error.code == "unknown-metric"
    assert "vibration_mm_s" in error.detail


def test_an_impossible_value_is_refused_with_the_range() -> None:
    error = refused(body(look(metrics={"temperature_celsius": 900})))
    assert error.code == "impossible-value"
    assert "300" in error.detail


@given(st.sampled_from(sorted(METRICS)), st.floats(allow_nan=False, allow_infinity=False))
def test_a_value_is_taken_exactly_when_it_lies_in_its_range(name: str, value: float) -> None:
    sample = Sample.model_validate({**look(metrics={name: value}), "recorded_at": NOW})
    try:
        check([sample], METRICS, now=NOW)
        taken = True
    except BadTelemetry as error:
        assert error.code == "impossible-value"
        taken = False
    assert taken == (METRICS[name].min <= value <= METRICS[name].max)


@given(st.integers(min_value=-(10**6), max_value=10**6))
def test_only_a_clock_too_far_ahead_is_refused(seconds: int) -> None:
    sample = Sample.model_validate({**look(), "recorded_at": NOW + timedelta(seconds=seconds)})
    try:
        check([sample], METRICS, now=NOW)
        ahead = False
    except BadTelemetry as error:
        assert error.code == "recorded-in-future"
        ahead = True
    assert ahead == (timedelta(seconds=seconds) > FUTURE)


@given(st.binary(max_size=200))
def test_no_bytes_break_the_parser(raw: bytes) -> None:
    try:
        parse(raw)
    except BadTelemetry as error:
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
