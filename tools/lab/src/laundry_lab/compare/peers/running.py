"""Runs a comparison: each peer in turn, round by round, so that whatever else runs hits them alike."""

import asyncio
from collections.abc import Sequence

import asyncpg
import httpx

from laundry_lab.bench.stage import NotMeasured, Say
from laundry_lab.compare.peers.catalogue import Peer
from laundry_lab.compare.peers.measuring import MEASURES, Size
from laundry_lab.compare.peers.results import Comparison, Round
from laundry_lab.compare.peers.servers import Servers, scratch
from laundry_lab.compare.peers.workers import SLOWEST

LONGEST_S = 300.0


def longest_s(size: Size) -> float:
    """Return how long one measure of one peer may take: all tasks are sent, and then done."""
    return LONGEST_S + 2 * size.tasks / SLOWEST + size.seconds


async def run(
    servers: Servers,
    peers: Sequence[Peer],
    measures: Sequence[str],
    *,
    rounds: int,
    size: Size,
    found: Comparison,
    say: Say,
) -> None:
    """Measure, adding to ``found`` as it goes; what fails is noted, and the others go on."""
    for turn in range(rounds):
        # Each round begins with another peer: none is always first, or always after the same one.
        begin = turn % len(peers)
        advance = say(f"round {turn + 1} of {rounds}", len(peers) * len(measures))
        for peer in [*peers[begin:], *peers[:begin]]:
            for name in measures:
                await _one(servers, peer, name, turn=turn, size=size, found=found)
                advance(1)


async def _one(servers: Servers, peer: Peer, name: str, *, turn: int, size: Size, found: Comparison) -> None:
    log = servers.folder / f"{peer.name}.log"
    try:
        async with asyncio.timeout(longest_s(size)), scratch(servers) as space:
            figures = await MEASURES[name](peer, space, log, size)
    except (NotMeasured, ValueError) as error:
        found.failures.append(f"{name}: {error}")
    except TimeoutError:
        found.failures.append(f"{name}: {peer.name} was not done within {longest_s(size):.0f} s")
    except (httpx.HTTPError, asyncpg.PostgresError, OSError) as error:
        found.failures.append(f"{name}: {peer.name}: {type(error).__name__} {error}")
    else:
        found.rounds.append(Round(peer.name, name, turn + 1, figures))
