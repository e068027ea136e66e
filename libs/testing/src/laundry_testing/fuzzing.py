"""Fuzzes a running service from its OpenAPI document (Schemathesis, all checks).

A few examples with a fixed seed in every test run; ``make fuzz EXAMPLES=200`` goes deeper, with another seed
each time unless ``SEED`` names one.
"""

import asyncio
import os
import random
from collections.abc import Mapping, Sequence
from typing import Any

EXAMPLES = "LAUNDRY_FUZZ_EXAMPLES"
SEED = "LAUNDRY_FUZZ_SEED"
FEW = 2
REQUEST_TIMEOUT_S = 20
# What no document can state: someone else's branch, ended things, duplicates.
FINE = ["2xx", "401", "403", "404", "409", "413", "422", "429", "503"]

Headers = Mapping[str, str]


async def fuzz(
    url: str, document: Mapping[str, Any], callers: Sequence[Headers], *, without: Sequence[str] = ()
) -> None:
    """Fuzz as each caller; fails with every undocumented answer and the request that caused it.

    Args:
        url: where the service answers.
        document: its OpenAPI document.
        callers: the headers of each, e.g. a token for each role. The first one goes through all phases:
            examples, coverage of each keyword, fuzzing, links from answer to request; the others ask a few
            random things, in a deep run everything too.
        without: paths that are left out: event streams, which have no end.
    """
    deep = EXAMPLES in os.environ
    seed = int(os.environ.get(SEED) or (random.randrange(2**32) if deep else 1))  # noqa: S311 - no secret
    wrong: dict[str, str] = {}
    for number, headers in enumerate(callers):
        wrong |= await asyncio.to_thread(
            _run, url, dict(document), dict(headers), seed=seed, thorough=deep or number == 0, without=without
        )
    assert not wrong, f"with {SEED}={seed}:\n" + "\n\n".join(wrong.values())


def _run(
    url: str,
    document: dict[str, Any],
    headers: dict[str, str],
    *,
    seed: int,
    thorough: bool,
    without: Sequence[str],
) -> dict[str, str]:
    # Imported here: heavy, and used by this only.
    import schemathesis  # noqa: PLC0415
    from schemathesis.config import SchemathesisConfig  # noqa: PLC0415
    from schemathesis.engine import events, from_schema  # noqa: PLC0415

    deep = EXAMPLES in os.environ
    examples = int(os.environ.get(EXAMPLES) or FEW)
    config = SchemathesisConfig.from_dict(
        {
            "base-url": url,
            "headers": headers,
            "seed": seed,
            "request-timeout": REQUEST_TIMEOUT_S,
            "suppress-health-check": ["all"],
            "continue-on-failure": True,
            "generation": {"max-examples": examples, "deterministic": not deep, "no-shrink": not deep},
            "phases": {
                "coverage": {"enabled": thorough},
                "stateful": {"enabled": thorough, "generation": {"max-examples": examples}, "max-steps": 5},
            },
            "checks": {"positive_data_acceptance": {"expected-statuses": FINE}},
        }
    )
    schema: Any = schemathesis.openapi.from_dict(document, config=config)
    for path in without:
        schema = schema.exclude(path=path)
    found: dict[str, str] = {}
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            _collect(event.recorder, found)
        elif isinstance(event, events.NonFatalError):
            found.setdefault(f"error {event.label}", f"{event.label}: {event.value!r}")
        elif isinstance(event, events.FatalError):
            found.setdefault("fatal", repr(event.exception))
    return found


def _collect(recorder: Any, found: dict[str, str]) -> None:
    for case_id, checks in recorder.checks.items():
        for check in checks:
            if check.failure_info is not None:
                failure = check.failure_info.failure
                answer = recorder.interactions[case_id].response
                status = answer.status_code if answer is not None else "no answer"
                key = f"{recorder.label} {check.name} {failure.title} {status}"
                said = answer.content[:500].decode(errors="replace") if answer is not None else ""
                found.setdefault(
                    key, f"{key}: {failure.message}\n{said}\n{check.failure_info.code_sample[:2000]}"
                )
