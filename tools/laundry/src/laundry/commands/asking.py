"""Asking a person before something that cannot be taken back."""

import sys

import typer

from laundry_servers.errors import LaundryError


def confirmed(question: str) -> bool:
    """Ask on the terminal, or whoever writes to standard input. Raises LaundryError when nobody answers."""
    try:
        return typer.confirm(question)
    except typer.Abort:
        if at_a_terminal():
            raise
        raise LaundryError("Nobody answered, and nothing was done. Say that you mean it: --yes") from None


def at_a_terminal() -> bool:
    """Whether a person can type the answer."""
    return sys.stdin.isatty()
