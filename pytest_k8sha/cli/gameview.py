"""What `k8sha chaos run` shows while it runs: on a terminal a picture that moves, elsewhere plain lines."""

from __future__ import annotations

import os
import select
import sys
import threading
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Self

from pytest_k8sha import _clock
from pytest_k8sha.cli import console

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType

    from rich.console import RenderableType

    from pytest_k8sha.chaos.abort import ByHand
    from pytest_k8sha.chaos.experiment import Phase
    from pytest_k8sha.chaos.order import Order
    from pytest_k8sha.probes.availability import Probe
    from pytest_k8sha.probes.sample import Sample

KEY = "a"
COLUMNS, SECOND = 60, 1.0
"""The sparkline has so many columns, each so many seconds wide."""
BARS = "▁▂▃▄▅▆▇█"
DOWN, NONE = "!", "."


class View:
    """A context manager. ``hand`` is pressed by the key."""

    def __init__(self, cluster: str, orders: Sequence[Order], probe: Probe | None, hand: ByHand) -> None:
        self._cluster, self._orders, self._probe, self._hand = cluster, orders, probe, hand
        self._phases: list[tuple[str, Phase]] = []
        self._said = ""
        self._stack = ExitStack()
        self._moving = sys.stderr.isatty()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            if self._moving:
                from rich.console import Console
                from rich.live import Live

                shown = Console(stderr=True, highlight=False)
                stack.enter_context(Live(get_renderable=self.render, console=shown, refresh_per_second=4))
                if sys.stdin.isatty():
                    stack.enter_context(listening(self._hand))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    def say(self, text: str) -> None:
        """What goes on besides the phases."""
        self._said = text
        if not self._moving:
            console.note(text)

    def tell(self, order: Order, phase: Phase) -> None:
        """A phase has begun or ended; from `pytest_k8sha.chaos.trial.Trial`."""
        if phase.ended is None:
            self._phases.append((order.name, phase))
            self._said = ""
        if not self._moving:
            how = "…" if phase.ended is None else f"{'done' if phase.ok else 'failed'}: {phase.said}"
            console.note(f"{order.name}: {phase.name} {how}")

    def render(self) -> RenderableType:
        """The picture of this moment."""
        from rich.console import Group
        from rich.table import Table
        from rich.text import Text

        names = ", ".join(f"{order.name} ({order.title})" for order in self._orders)
        table = Table(box=None, pad_edge=False)
        for column in ("experiment", "phase", "", "seconds", "seen"):
            table.add_column(column, overflow="fold")
        for name, phase in self._phases[-12:]:
            mark = {True: "✓", False: "✗", None: "…"}[phase.ok]
            took = "" if phase.ended is None else f"{phase.ended - phase.began:.1f}"
            table.add_row(*(Text(cell) for cell in (name, phase.name, mark, took, phase.said)))
        lines: list[RenderableType] = [Text(f"{self._cluster}: {names}", style="bold"), table]
        lines += [Text(line) for line in self._probe_lines()]
        if self._said:
            lines.append(Text(self._said))
        asked = self._hand.pressed.is_set()
        lines.append(
            Text("aborting: the fault is being taken back" if asked else f"{KEY} aborts and takes it back", "dim")
        )
        return Group(*lines)

    def _probe_lines(self) -> list[str]:
        if self._probe is None:
            return []
        samples = self._probe.samples()
        outage = self._probe.outage()
        figures = f"error rate {100 * outage.error_rate.hi:.1f} %, downtime {outage.total} s"
        left = budget_left(self._probe)
        return [f"{sparkline(samples, _clock.now())}  {self._probe.target.name}", f"{figures}{left and '; ' + left}"]


def sparkline(samples: Sequence[Sample], now: float) -> str:
    """The last minute, a column a second: how long requests took, ``!`` where one failed, ``.`` without any."""
    columns: list[list[Sample]] = [[] for _ in range(COLUMNS)]
    for sample in samples:
        place = COLUMNS - 1 - int((now - (sample.sent or sample.scheduled)) / SECOND)
        if 0 <= place < COLUMNS and sample.sent:
            columns[place].append(sample)
    slowest = max((s.done - s.sent for column in columns for s in column if s.ok), default=0.0) or 1.0
    marks = []
    for column in columns:
        if not column:
            marks.append(NONE)
        elif any(not s.ok for s in column):
            marks.append(DOWN)
        else:
            took = max(s.done - s.sent for s in column)
            marks.append(BARS[min(len(BARS) - 1, int(took / slowest * len(BARS)))])
    return "".join(marks)


def budget_left(probe: Probe) -> str:
    """What the objective still allows, by the worse end of each figure; empty without an objective."""
    if probe.objective is None:
        return ""
    outage = probe.outage()
    told = [
        f"{clause.figure} left {max(0.0, clause.limit - outage.figure(clause).hi):.1f} s"
        for clause in probe.objective.clauses
        if clause.figure in {"downtime", "longest"}
    ]
    if outage.budget_used is not None:
        told.append(f"budget left {max(0.0, 100 * (1 - outage.budget_used.hi)):.0f} %")
    return ", ".join(told)


@contextmanager
def listening(hand: ByHand) -> Iterator[None]:
    """Presses ``hand`` when the key is hit, for the time of the block; the terminal is as before afterwards."""
    import termios
    import tty

    file, over = sys.stdin.fileno(), threading.Event()
    before = termios.tcgetattr(file)

    def listen() -> None:
        while not over.is_set():
            ready, _, _ = select.select([file], [], [], 0.2)
            if ready and KEY in os.read(file, 64).decode(errors="replace").lower():
                hand.pressed.set()

    tty.setcbreak(file)
    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(timeout=2)
        termios.tcsetattr(file, termios.TCSADRAIN, before)
