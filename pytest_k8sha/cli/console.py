"""What a command shows: results on the standard output, progress on the standard error."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from pytest_k8sha import _clock

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pytest_k8sha.providers.base import Progress


def say(text: str = "") -> None:
    """A line of the result."""
    click.echo(text)


def note(text: str) -> None:
    """A line for the person at the terminal, which a program does not read."""
    click.echo(text, err=True)


def dump(data: Any) -> None:
    """The result for a program: one JSON document."""
    click.echo(json.dumps(data, indent=1, ensure_ascii=False, default=str))


@contextmanager
def working(what: str) -> Iterator[Progress]:
    """Gives a function that shows what is going on, with the seconds since the start.

    On a terminal a moving line tells that work goes on; elsewhere there are plain lines. Usable from several threads.
    """
    clock, lock = _clock.Deadline(0), threading.Lock()
    if not sys.stderr.isatty():

        def plain(text: str) -> None:
            with lock:
                click.echo(f"{clock.spent:7.1f} s  {text}", err=True)

        yield plain
        return

    from rich.console import Console
    from rich.markup import escape

    console = Console(stderr=True, highlight=False)
    with console.status(escape(what)) as status:

        def moving(text: str) -> None:
            with lock:
                console.print(f"[dim]{clock.spent:7.1f} s[/dim]  {escape(text)}")
                status.update(escape(text))

        yield moving


def table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table; on a pipe its columns are as wide as they need to be, so that no text is cut."""
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    made = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        made.add_column(column, overflow="fold")
    for row in rows:
        made.add_row(*(Text(str(cell)) for cell in row))
    wide = None if sys.stdout.isatty() else 200
    Console(width=wide, highlight=False).print(made)
