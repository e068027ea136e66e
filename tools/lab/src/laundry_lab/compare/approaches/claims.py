"""What DD-02 says of each approach, by its line, and the figure that it is held against."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["right", "wrong", "not seen", "not measured"]


@dataclass(frozen=True)
class Claim:
    """One statement.

    Attributes:
        line: of DD-02's text.
        says: the statement, in English.
        figure: the name of a figure of the design, or of ``compared``.
        low, high: the statement is right if the figure lies between them.
        unit: of the figure.
        otherwise: what it is if the figure does not: a loss that did not happen once is not disproved.
    """

    design: str
    line: int
    says: str
    figure: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    otherwise: Verdict = "wrong"

    def verdict(self, figures: Mapping[str, float]) -> Verdict:
        """Hold it against what was measured."""
        value = figures.get(self.figure)
        if value is None:
            return "not measured"
        right = (self.low is None or value >= self.low) and (self.high is None or value <= self.high)
        return "right" if right else self.otherwise


CLAIMS = (
    Claim("ours", 185, "the answer takes at most 100 ms", "answer_p99_ms", "ms, p99", high=100),
    Claim("ours", 149, "three consumers do 60 a second", "readings_per_s", "/s read", low=60),
    Claim("ours", 642, "100,000 messages a second", "way_per_s", "/s", low=100_000),
    Claim("ours", 216, "the broker is a single point of failure", "broker_refused", "refused", low=1),
    Claim("ours", 667, "a consumer that is killed loses nothing", "consumer_lost", "lost", high=0),
    Claim("ours", 636, "a broker that is killed loses nothing", "broker_lost", "lost", high=0),
    Claim("zeromq", 327, "the answer takes 10 to 20 ms", "answer_p50_ms", "ms, p50", high=20),
    Claim("zeromq", 270, "a message takes 10 to 50 µs", "way_p50_ms", "ms, p50", high=0.05),
    Claim("zeromq", 269, "1,000,000 messages a second", "way_per_s", "/s", low=1_000_000),
    Claim("zeromq", 271, "nothing is lost: it is TCP", "kills_lost", "lost", high=0),
    Claim("zeromq", 437, "what a consumer has in memory is lost with it", "consumer_lost", "lost", low=1),
    Claim(
        "zeromq",
        437,
        "what the helper has in memory is lost with it",
        "producer_lost",
        "lost",
        low=1,
        otherwise="not seen",
    ),
    Claim("zeromq", 287, "no retry of the application is needed", "kills_lost", "lost", high=0),
    Claim("zeromq", 635, "consumers are hard to add", "sender_lines", "lines of the sender", low=1),
    Claim("event-store", 511, "the answer takes at most 100 ms", "answer_p99_ms", "ms, p99", high=100),
    Claim("event-store", 463, "1,000,000 messages a second", "way_per_s", "/s", low=1_000_000),
    Claim("event-store", 473, "a consumer goes on where it was", "consumer_lost", "lost", high=0),
    Claim("event-store", 474, "the store makes up for a broker that died", "broker_lost", "lost", high=0),
    Claim("event-store", 636, "written twice, nothing is ever lost", "kills_lost", "lost", high=0),
    Claim("event-store", 637, "twice the storage", "stored_ratio", "× rows alone", low=1.5, high=2.5),
    Claim("event-store", 640, "two systems to operate", "systems", "systems", low=2, high=2),
    Claim("poll-5", 616, "an effect is up to 5 s late", "effect_p99_ms", "ms, p99", high=5500, low=2500),
    Claim("poll-5", 616, "15 s for an alert are hard to keep", "effect_p99_ms", "ms, p99", low=15_000),
    Claim("poll-5", 614, "a consumer that is killed loses nothing", "consumer_lost", "lost", high=0),
    Claim("poll-5", 616, "the queries make the database the bottleneck", "rate_ratio", "× ours", high=1),
    Claim("poll-1", 616, "every second is five times the load", "load_ratio", "× every 5 s", low=4, high=6),
)


def compared(figures: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, float]]:
    """Add to each design's figures those that need several: sums over the deaths, and ratios."""
    found = {name: dict(own) for name, own in figures.items()}
    for own in found.values():
        for what in ("lost", "doubled"):
            deaths = [
                own[f"{kind}_{what}"]
                for kind in ("consumer", "producer", "broker")
                if f"{kind}_{what}" in own
            ]
            if deaths:
                own[f"kills_{what}"] = sum(deaths)
    # What is stored but once: a row of the task and one of the effect.
    _ratio(found, "event-store", "zeromq", "stored_bytes", "stored_ratio")
    for name in ("poll-5", "poll-1", "notify"):
        _ratio(found, name, "ours", "effects_per_s", "rate_ratio")
    _ratio(found, "poll-1", "poll-5", "database_ms", "load_ratio")
    return found


def _ratio(found: dict[str, dict[str, float]], of: str, to: str, figure: str, name: str) -> None:
    above, below = found.get(of, {}).get(figure), found.get(to, {}).get(figure)
    if above is not None and below:
        found[of][name] = above / below
