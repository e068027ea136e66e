"""Which pattern of ``laundry load`` takes which options: one that has no effect is refused."""

from enum import StrEnum

import typer


class What(StrEnum):
    """The shapes of load, and the comparison of two runs."""

    SPIKE = "spike"
    STEADY = "steady"
    RAMP = "ramp"
    REPLAY = "replay"
    COMPARE = "compare"


DRAWN = (What.SPIKE, What.STEADY, What.RAMP)
MEASURED = (*DRAWN, What.REPLAY)
ONLY = {
    "rate": (What.STEADY, What.RAMP),
    "seconds": DRAWN,
    "number": (What.SPIKE,),
    "even": DRAWN,
    "faster": (What.REPLAY,),
}
"""The patterns that take an option; all others are of whatever is measured."""

EVERYWHERE = {"what", "files", "output"}


def named(context: typer.Context) -> dict[str, str]:
    """Return the options that stand on the command line, each with how it is written there."""
    written = {each.name: max(each.opts, key=len) for each in context.command.params if each.name}
    found = {name: context.get_parameter_source(name) for name in written}
    return {name: written[name] for name, source in found.items() if source and source.name == "COMMANDLINE"}


def check_options(context: typer.Context, what: What) -> None:
    """Refuse what has no effect on this pattern, or together with the other options.

    Raises:
        typer.BadParameter: an option does not apply; it says where it does.
    """
    given = named(context)
    for name, written in given.items():
        takers = ONLY.get(name, MEASURED)
        if name not in EVERYWHERE and what not in takers:
            several = (
                f"{', '.join(takers[:-1])} and {takers[-1]} take" if takers[1:] else f"{takers[0]} takes"
            )
            raise typer.BadParameter(f"{written} does not apply to {what}: {several} it.", context)
    _check_together(context, given)


def _check_together(context: typer.Context, given: dict[str, str]) -> None:
    straight, away = bool(context.params.get("straight")), context.params.get("url") is not None
    for name, applies, where in (
        ("photo", not straight, "to photos; --straight sends events"),
        ("workers", straight, "to a --straight run"),
        ("work_ms", straight, "to a --straight run"),
        ("branch", away, "to photos that go to --url"),
        ("nodes", not away, "to a stack that is started here; --url is for a helper anywhere"),
        ("hold", not away, "to a stack here; --url is for a helper anywhere"),
        ("straight", not away, "to a stack here; --url is for a helper anywhere"),
    ):
        if name in given and not applies:
            raise typer.BadParameter(f"{given[name]} applies only {where}.", context)
