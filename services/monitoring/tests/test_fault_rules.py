"""The fault rules, over wide inputs."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from monitoring.fault_rules import (
    HEARTBEAT,
    Clearing,
    FaultKey,
    FaultState,
    Limit,
    Observation,
    Transition,
    evaluate,
)

START = datetime(2026, 3, 1, tzinfo=UTC)
HOT = Limit("temperature_celsius", "max", 95, 90)
LOW = Limit("pressure_bar", "min", 0.5, 0.6)
LIMIT_FOR = timedelta(seconds=30)

CODES = st.sampled_from([None, None, "E1", "E2"])
TEMPERATURES = st.one_of(st.none(), st.floats(min_value=80, max_value=110))
PRESSURES = st.one_of(st.none(), st.floats(min_value=0, max_value=2))
Step = tuple[float, str | None, float | None, float | None]
STEPS = st.lists(
    st.tuples(st.floats(min_value=0.1, max_value=60), CODES, TEMPERATURES, PRESSURES), max_size=40
)


def observation(seconds: float, code: str | None = None, **metrics: float | None) -> Observation:
    known = {name: value for name, value in metrics.items() if value is not None}
    return Observation(START + timedelta(seconds=seconds), code, known)


def observations(steps: list[Step]) -> list[Observation]:
    seconds, found = 0.0, []
    for step, code, temperature, pressure in steps:
        seconds += step
        found.append(observation(seconds, code, temperature_celsius=temperature, pressure_bar=pressure))
    return found


def evaluated(observed: list[Observation], state: FaultState | None = None) -> list[Transition]:
    state, transitions = state or FaultState(), []
    for each in observed:
        transition = evaluate(state, each, [HOT, LOW], limit_for=LIMIT_FOR)
        transitions.append(transition)
        state = transition.state
    return transitions


@given(STEPS)
def test_a_fault_opens_only_when_closed_and_clears_only_when_open(steps: list[Step]) -> None:
    is_open: set[FaultKey] = set()
    for transition in evaluated(observations(steps)):
        for key in [each.key for each in transition.cleared]:
            assert key in is_open
            is_open.remove(key)
        for details in transition.opened:
            assert details.key not in is_open
            is_open.add(details.key)
        assert transition.state.open == is_open


@given(STEPS)
def test_a_limit_fault_opens_exactly_when_every_value_since_long_enough_broke_it(steps: list[Step]) -> None:
    observed = observations(steps)
    values: list[tuple[datetime, float]] = []
    was_open = False
    for each, transition in zip(observed, evaluated(observed), strict=True):
        value = each.metrics.get(HOT.metric)
        if value is not None:
            values.append((each.happened_at, value))
        streak = []
        for at, earlier in reversed(values):
            if earlier <= HOT.value:
                break
            streak.append(at)
        long_enough = bool(streak) and each.happened_at - streak[-1] >= LIMIT_FOR and value is not None
        opened = any(details.key == HOT.key for details in transition.opened)
        assert opened == (long_enough and not was_open)
        was_open = HOT.key in transition.state.open


@given(STEPS)
def test_an_open_limit_fault_stays_until_a_value_is_inside_by_the_margin(steps: list[Step]) -> None:
    state = FaultState(open=frozenset({HOT.key}))
    for each in observations(steps):
        transition = evaluate(state, each, [HOT], limit_for=LIMIT_FOR)
        value = each.metrics.get(HOT.metric)
        over = Clearing(HOT.key, "within-limit") in transition.cleared
        assert over == (value is not None and value <= HOT.clear)
        if over:
            return
        state = transition.state


@given(STEPS, st.sampled_from([None, "E1"]))
def test_codes_open_once_and_all_clear_with_a_sample_without_one(
    steps: list[Step], first: str | None
) -> None:
    state = FaultState(open=frozenset({FaultKey("fault_code", first)}) if first else frozenset())
    for each in observations(steps):
        before = {key.key for key in state.open if key.cause == "fault_code"}
        transition = evaluate(state, each, [], limit_for=LIMIT_FOR)
        opened = {details.fault_code for details in transition.opened}
        if each.fault_code is None:
            assert not opened
            assert {each.key.key for each in transition.cleared} == before
        else:
            assert opened == {each.fault_code} - before
            assert not transition.cleared
        state = transition.state


@given(STEPS)
def test_the_first_newer_sample_ends_silence(steps: list[Step]) -> None:
    observed = observations(steps)
    transitions = evaluated(observed, FaultState(open=frozenset({HEARTBEAT})))
    for number, transition in enumerate(transitions):
        assert (Clearing(HEARTBEAT, "heard-again") in transition.cleared) == (number == 0)


def test_an_edge_value_breaks_nothing_and_one_sample_alone_is_no_while() -> None:
    edge, alone = evaluated([observation(0, temperature_celsius=95), observation(1, temperature_celsius=300)])
    assert not edge.opened
    assert not alone.opened
    assert edge.state.broken_since == {}


def test_a_value_below_its_minimum_is_a_fault_with_its_figures() -> None:
    _, late = evaluated([observation(0, pressure_bar=0.4), observation(30, pressure_bar=0.2)])
    [found] = late.opened
    assert (found.metric, found.value, found.limit) == ("pressure_bar", 0.2, 0.5)


def test_a_limit_that_settings_no_longer_have_clears() -> None:
    transition = evaluate(FaultState(open=frozenset({HOT.key})), observation(0), [LOW], limit_for=LIMIT_FOR)
    assert transition.cleared == (Clearing(HOT.key, "limit-removed"),)
    assert transition.state.open == frozenset()


def test_without_a_while_the_first_broken_sample_is_a_fault() -> None:
    transition = evaluate(FaultState(), observation(0, temperature_celsius=96), [HOT], limit_for=timedelta(0))
    assert [details.key for details in transition.opened] == [HOT.key]
