"""``laundry compare``: what was not chosen, measured beside what was. One line for each comparison."""

import typer

from laundry_lab.commands.compare_approaches import approaches
from laundry_lab.commands.compare_peers import peers
from laundry_lab.commands.compare_queues import queues

app = typer.Typer(no_args_is_help=True, add_completion=False, help="What was not chosen, measured beside us.")
app.command()(approaches)
app.command()(peers)
app.command()(queues)


@app.callback()
def _several() -> None:
    """Keep each comparison a word of its own."""
