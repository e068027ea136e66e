"""The fault rules, over wide inputs."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from monitoring.fault_rules import HEARTBEAT, Key, Limit, Reading, State, Verdict, observe

START = datetime(2026, 3, 1, tzinfo=UTC)
HOT = Limit("temperature_celsius", "max", 95, 90)
LOW = Limit("pressure_bar", "min", 0.5, 0.6)
LIMIT_FOR = timedelta(seconds=30)

CODES = st.sampled_from([None, None, "E1", "E2"])
TEMPERATURES = st.one_of(st.none(), st.floats(min_value=80, max_value=110))
PRESSURES = st.one_of(st.none(), st.floats(min_value=0, max_value=2))
STEPS = st.lists(
    st.tuples(st.floats(min_value=0.1, max_value=60), CODES, TEMPERATURES, PRESSURES), max_size=40
)


def reading(seconds: float, code: str | None = None, **metrics: float | None) -> Reading:
    known = {name: value for name, value in metrics.items() if value is not None}
    return Reading(START + timedelta(seconds=seconds), code, known)


def readings(steps: list[tuple[float, str | None, float | None, float | None]]) -> list[Reading]:
    seconds, found = 0.0, []
    for step, code, temperature, pressure in steps:
        seconds += step
        found.append(reading(seconds, code, temperature_celsius=temperature, pressure_bar=pressure))
    return found


def judged(looks: list[Reading], state: State | None = None) -> list[Verdict]:
    state, verdicts = state or State(), []
    for look in looks:
        verdict = observe(state, look, [HOT, LOW], limit_for=LIMIT_FOR)
        verdicts.append(verdict)
        state = verdict.state
    return verdicts


@given(STEPS)
def test_a_fault_opens_only_when_closed_and_clears_only_when_open(steps: list) -> None:
    is_open: set[Key] = set()
    for verdict in judged(readings(steps)):
        for key, _ in verdict.cleared:
            assert key in is_open
            is_open.remove(key)
        for found in verdict.opened:
            assert found.key not in is_open
            is_open.add(found.key)
        assert verdict.state.open == is_open


@given(STEPS)
def test_a_limit_fault_opens_exactly_when_every_value_since_long_enough_broke_it(steps: list) -> None:
    looks = readings(steps)
    said: list[tuple[datetime, float]] = []
    was_open = False
    for look, verdict in zip(looks, judged(looks), strict=True):
        value = look.metrics.get(HOT.metric)
        if value is not None:
            said.append((look.happened_at, value))
        streak = []
        for at, earlier in reversed(said):
            if earlier <= HOT.value:
                break
            streak.append(at)
        long_enough = bool(streak) and look.happened_at - streak[-1] >= LIMIT_FOR and value is not None
        opened = any(found.key == HOT.key for found in verdict.opened)
        assert opened == (long_enough and not was_open)
        was_open = HOT.key in verdict.state.open


@given(STEPS)
def test_an_open_limit_fault_stays_until_a_value_is_inside_by_the_margin(steps: list) -> None:
    state = State(open=frozenset({HOT.key}))
    for look in readings(steps):
        verdict = observe(state, look, [HOT], limit_for=LIMIT_FOR)
        value = look.metrics.get(HOT.metric)
        over = (HOT.key, "within-limit") in verdict.cleared
        assert over == (value is not None and value <= HOT.clear)
        if over:
            return
        state = verdict.state


@given(STEPS, st.sampled_from([None, "E1"]))
def test_codes_open_once_and_all_clear_with_a_sample_without_one(steps: list, first: str | None) -> None:
    state = State(open=frozenset({Key("fault_code", first)}) if first else frozenset())
    for look in readings(steps):
        before = {key.key for key in state.open if key.cause == "fault_code"}
        verdict = observe(state, look, [], limit_for=LIMIT_FOR)
        opened = {found.fault_code for found in verdict.opened}
        if look.fault_code is None:
            assert not opened
            assert {key.key for key, _ in verdict.cleared} == before
        else:
            assert opened == {look.fault_code} - before
            assert not verdict.cleared
        state = verdict.state


@given(STEPS)
def test_the_first_newer_sample_ends_silence(steps: list) -> None:
    looks = readings(steps)
    verdicts = judged(looks, State(open=frozenset({HEARTBEAT})))
    for number, verdict in enumerate(verdicts):
        assert ((HEARTBEAT, "heard-again") in verdict.cleared) == (number == 0)


def test_an_edge_value_breaks_nothing_and_one_sample_alone_is_no_while() -> None:
    edge, alone = judged([reading(0, temperature_celsius=95), reading(1, temperature_celsius=300)])
    assert not edge.opened
    assert not alone.opened
    assert edge.state.broken_since == {}


def test_a_value_below_its_minimum_is_a_fault_with_its_figures() -> None:
    _, late = judged([reading(0, pressure_bar=0.4), reading(30, pressure_bar=0.2)])
    [found] = late.opened
    assert (found.metric, found.value, found.limit) == ("pressure_bar", 0.2, 0.5)


def test_a_limit_that_settings_no_longer_have_clears() -> None:
    verdict = observe(State(open=frozenset({HOT.key})), reading(0), [LOW], limit_for=LIMIT_FOR)
    assert verdict.cleared == ((HOT.key, "limit-removed"),)
    assert verdict.state.open == frozenset()


def test_without_a_while_the_first_broken_sample_is_a_fault() -> None:
    verdict = observe(State(), reading(0, temperature_celsius=96), [HOT], limit_for=timedelta(0))
    assert [found.key for found in verdict.opened] == [HOT.key]
