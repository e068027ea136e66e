"""What the ``laundry dlq`` commands share: their options, and running with progress until done or Ctrl-C."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, TypeVar

import typer
from aio_pika.exceptions import AMQPError, DeliveryError
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from laundry import management
from laundry.display import console
from laundry_dead_letters.actions import Tally
from laundry_dead_letters.broker import Broker, connected
from laundry_dead_letters.errors import DeadLetterError
from laundry_events.topology import PLAN
from laundry_servers.errors import LaundryError

T = TypeVar("T")
QueueArgument = Annotated[
    str | None,
    typer.Argument(help="A queue or its dead-letter queue, for example task.submitted.", show_default=False),
]
Ids = Annotated[
    list[str] | None,
    typer.Option("--id", help="Only the message with this id; may be repeated.", show_default=False),
]
Reason = Annotated[
    str | None,
    typer.Option(help="Only letters with this reason or error class, as shown by list.", show_default=False),
]
Scan = Annotated[
    int,
    typer.Option(
        min=1, help="Look at no more than so many messages in a queue; they are held while the command runs."
    ),
]
AmqpUrl = Annotated[
    str | None,
    typer.Option(
        "--amqp-url",
        envvar="LAUNDRY_AMQP_URL",
        help="amqp://user:password@host:port/vhost of another broker than the local stack's; "
        "nodes with commas.",
        show_default=False,
        show_envvar=True,
    ),
]
By = Annotated[
    str | None,
    typer.Option("--by", help="Who decides; the operating system's user if not given.", show_default=False),
]
Limit = Annotated[
    int | None, typer.Option("--limit", min=1, help="At most this many, oldest first.", show_default=False)
]


def meant_queues(queue: str | None, ids: Sequence[str] | None) -> list[str]:
    """Return the selected main queues: the named one, or all when messages are selected by id."""
    names = {planned.name: planned.dead for planned in PLAN.queues if planned.dead}
    if queue is None:
        if ids:
            return list(names)
        raise LaundryError(f"Say which queue, or which message with --id. Queues: {', '.join(names)}")
    for name, dead in names.items():
        if queue in (name, dead):
            return [name]
    raise LaundryError(f"There is no queue {queue!r}. There are: {', '.join(names)}")


def perform(
    what: str,
    work: Callable[[Broker, Tally], Awaitable[T]],
    *,
    amqp_url: str | None,
    tally: Tally | None = None,
    done: str | None = None,
) -> T:
    """Run ``work`` with the broker and a progress bar; if it stops early, report what was done.

    Args:
        done: the participle for what ``work`` does to letters, when it changes anything ("sent back").
    """
    counted = tally or Tally()
    urls = management.amqp_urls(amqp_url)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )

    async def run() -> T:
        async with connected(urls) as broker:
            return await work(broker, counted)

    try:
        with bar:
            shown = bar.add_task(what, total=None)
            counted.tell = lambda now: bar.update(shown, completed=now.looked_at, total=now.waiting)
            return asyncio.run(run())
    except DeadLetterError as error:
        raise LaundryError(str(error)) from error
    except (AMQPError, OSError, TimeoutError, RuntimeError) as error:
        raise LaundryError(_stopped(what, error, counted, done)) from error
    except KeyboardInterrupt:
        if done:
            console.print(f"{counted.done:,} {done} so far; the rest is still in its queue.")
        raise
    finally:
        counted.tell = lambda _: None


def _stopped(what: str, error: Exception, tally: Tally, done: str | None) -> str:
    cause = f"{type(error).__name__} {error}".strip()
    if isinstance(error, DeliveryError):
        cause = (
            "the broker did not take the copy back (queue full or not bound; see: laundry topology verify)"
        )
    so_far = f" {tally.done:,} {done} before." if done else ""
    return f"Stopped while {what}: {cause}.{so_far} Nothing is lost: the rest is still there. Run it again."
