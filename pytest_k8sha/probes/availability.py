"""``with availability("http://…", rate=20) as probe:`` - a probe that runs beside a test and says how long it hurt."""

from __future__ import annotations

import json
import math
import os
import sys
import tempfile
import threading
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from pytest_k8sha import _clock, _process
from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import Inconclusive, StartFailed, UsageError, WaitTimeout
from pytest_k8sha.probes.objective import FASTEST, Objective
from pytest_k8sha.probes.outage import STEADY_COUNT, STEADY_SECONDS, Fault, Outage
from pytest_k8sha.probes.sample import Outcome, SampleFile
from pytest_k8sha.probes.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.probes.sample import Sample
    from pytest_k8sha.safety.journal import Journal

SLOWEST = 1.0
START_DEADLINE = 30.0
"""Seconds for the probe's process to send its first request, on a machine that is busy as well."""
STOP_DEADLINE = 30.0
"""Seconds for the probe's process to end after it was told to and its last request was given up."""
SETTLE = 10.0
"""Seconds for the target's first success."""


@dataclass
class Mark:
    """A fault while it is made: see `Probe.fault`."""

    fault: Fault

    def injected(self) -> None:
        """The injection is over, and the fault holds; the end of the block is then when it was taken back."""
        self.fault.end = _clock.now()


class Probe:
    """A running probe. Made by `availability`; use it as a context manager.

    Entering waits for the target's first success, so that no fault is made on what was down before: it raises
    `Inconclusive` when there is none within ``settle`` seconds, and `StartFailed` when the probe's process does not
    come up.
    """

    def __init__(
        self,
        target: Target,
        *,
        rate: float,
        timeout: float,
        objective: Objective | None,
        settle: float,
        samples: Path | None,
        journal: Journal | None,
    ) -> None:
        self.target = target
        self.rate = rate
        self.timeout = timeout
        self.objective = objective
        self.faults: list[Fault] = []
        self.path = samples
        """The file of the samples; None where none is kept."""
        self.digest = ""
        """SHA-256 of that file, when the probe has ended."""
        self.began = 0.0
        """The moment on the monotonic clock from which samples count."""
        self.started = ""
        """The date and time of that moment, ISO 8601."""
        self._settle = settle
        self._journal = journal
        self._stack = ExitStack()
        self._file: SampleFile | None = None
        self._program: _process.Program | None = None
        self._pipe = -1
        self._broken = ""
        self._reading = threading.Lock()

    def __enter__(self) -> Self:
        with self._stack as stack:
            self._start(stack)
            if self._settle > 0:
                self._await_success()
            self.began = self.began or _clock.now()
            self.started = _clock.wall().isoformat(timespec="milliseconds")
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.close()

    @contextmanager
    def fault(self, name: str) -> Iterator[Mark]:
        """Marks what is done in the block as a fault, on the clock of the samples.

        The injection lies within the block, or until `Mark.injected` is called; then the end of the block is when the
        fault was taken back.
        """
        fault = Fault(name, _clock.now())
        self.faults.append(fault)
        mark = Mark(fault)
        try:
            yield mark
        finally:
            if fault.end is None:
                fault.end = _clock.now()
            else:
                fault.undone = _clock.now()

    def samples(self) -> list[Sample]:
        """All samples so far, from the first success on. May be asked by several threads."""
        if self._file is None:
            return []
        with self._reading:
            if self._program is not None:
                self._file.more()
            return [s for s in self._file.samples if (s.sent or s.scheduled) >= self.began]

    def outage(self) -> Outage:
        """What the samples come to; within the block, those that are there so far."""
        found = sorted(self.samples(), key=lambda s: s.k)
        return Outage(found, tuple(self.faults), self.objective, self._broken, self.began)

    def await_recovery(self, timeout: float = 60.0) -> None:
        """Waits until the service has been up for good again since the last fault, so that its recovery can be judged.

        Raises `WaitTimeout` when it has not within ``timeout`` seconds.
        """
        wanted = f"{self.target.name} has answered {STEADY_COUNT} times in a row over {STEADY_SECONDS:g} s"
        since = self.faults[-1].end if self.faults else None

        def steady() -> list[Sample]:
            found = [s for s in self.samples() if s.outcome is not Outcome.MISSED and s.sent >= (since or 0.0)]
            # By when they were sent, as `Outage.recovery_of` counts: what waited for a frozen server is answered late.
            last = max((s.sent for s in found if not s.ok), default=-math.inf)
            return sorted((s for s in found if s.ok and s.sent > last), key=lambda s: s.done)

        def enough(found: list[Sample]) -> bool:
            return len(found) >= STEADY_COUNT and found[-1].done - found[0].sent >= STEADY_SECONDS

        eventually(
            steady,
            what=wanted,
            timeout=timeout,
            accept=enough,
            describe=lambda found: f"{len(found)} successes in a row; {self._last()}",
        )

    def judge(self, judge: Judge, subject: object = "") -> None:
        """Findings and measures by the probe's objective, and the timeline of the report.

        Raises `UsageError` when the probe has no objective.
        """
        from pytest_k8sha.probes.timeline import judge as by

        by(self, self.outage(), judge, str(subject or self.target.name))

    def _start(self, stack: ExitStack) -> None:
        order = stack.enter_context(self.target.opened(self.rate))
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="k8sha-probe-")))
        path = self.path or folder / "samples.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        order_file, log = folder / "order.json", folder / "log"
        order_file.touch(mode=0o600)  # headers may carry credentials
        target = {**order, "timeout": self.timeout, "private": str(folder)}
        order_file.write_text(
            json.dumps({"target": target, "rate": self.rate, "timeout": self.timeout, "samples": str(path)})
        )
        self._file = SampleFile(path, self.target.parse)
        entry = self._journal.intent("process", place=str(folder), role="probe") if self._journal else 0
        inner, self._pipe = os.pipe()
        try:
            self._program = _process.start(
                [sys.executable, "-m", "pytest_k8sha.probes.sender", order_file, str(inner)],
                log=log,
                detached=True,  # Ctrl-C is for the test; the probe sees that its owner is gone by the pipe
                pass_fds=[inner],
            )
        finally:
            os.close(inner)
        stack.callback(self._end, entry, log)
        if self._journal:
            self._journal.made(entry, pid=self._program.pid, created=self._program.id.created)
        self._await_first(log)

    def _await_first(self, log: Path) -> None:
        def first() -> bool:
            if self._program is not None and self._program.code is not None:
                raise StartFailed(f"the probe of {self.target.name} ended at once", logs={log: log.read_text()[-2000:]})
            assert self._file is not None  # noqa: S101 - set when it was started
            self._file.more()
            return bool(self._file.head)

        what = f"the probe of {self.target.name} sends its first request"
        eventually(first, what=what, timeout=START_DEADLINE, interval=0.02)

    def _await_success(self) -> None:
        def success() -> float:
            assert self._file is not None  # noqa: S101 - as above
            self._file.more()
            return min((s.sent for s in self._file.samples if s.ok), default=0.0)

        try:
            self.began = eventually(success, timeout=self._settle, interval=0.02, describe=lambda _: self._last())
        except WaitTimeout as error:
            raise Inconclusive(
                f"{self.target.name} was never up: no success within {error.waited:.1f} s; {error.last}",
                remedy="make the target answer before the fault is made",
            ) from error

    def _last(self) -> str:
        samples = self._file.samples if self._file else []
        if not samples:
            return "no request is done yet"
        last = samples[-1]
        return f"last seen: {last.outcome}{f' ({last.detail})' if last.detail else ''}"

    def _end(self, entry: int, log: Path) -> None:
        """Has the process send no more, waits for what is under way, and reads the rest."""
        assert self._program is not None  # noqa: S101 - only called when it was started
        assert self._file is not None  # noqa: S101 - as above
        with ExitStack() as stack:
            stack.callback(os.close, self._pipe)
            how = "died"
            if self._program.code is None:
                os.write(self._pipe, b"stop")
                if self._program.wait(self.timeout + STOP_DEADLINE) is None:
                    self._program.end(grace=1.0)
                    how = f"did not stop within {STOP_DEADLINE:g} s"
        self._file.more()
        if not self._file.end:
            last = max((s.done for s in self._file.samples), default=0.0)
            said = log.read_text(errors="replace").strip().splitlines()[-1:] if log.exists() else []
            why = "; ".join([f"exit code {self._program.code}", *said])
            since = max(0.0, last - self.began)
            self._broken = f"the probe's process {how} ({why}); nothing is known from {since:.1f} s on"
        self._program = None
        if self._file.path.exists():
            self.digest = self._file.digest()
        if self._journal and entry:
            self._journal.gone([entry])


def availability(
    target: str | Target,
    *,
    rate: float = 20.0,
    timeout: float = 1.0,
    objective: str | None = None,
    settle: float = SETTLE,
    samples: Path | str | None = None,
    journal: Journal | None = None,
) -> Probe:
    """A probe of a service from this machine, open loop: request k is sent at t0 + k / ``rate``, whatever became of
    those before it, and given up after ``timeout`` seconds.

    ``target`` is ``http(s)://…``, ``tcp://…``, ``dns://…``, or a `Target`. ``objective`` is such as ``downtime <= 5s,
    error_rate < 0.1%``. ``settle`` is how long the first success may take; 0 waits for none. ``samples`` is a file to
    keep them in, one line each; without it they go when the probe ends. ``journal`` is where its process is noted.

    Raises `UsageError` for a rate outside 1 to 1,000 a second, an objective that cannot be read, and one that this rate
    and time-out cannot resolve.
    """
    if not SLOWEST <= rate <= FASTEST:
        raise UsageError("a probe sends 1 to 1,000 samples a second", value=rate)
    if not 0 < timeout <= 60:
        raise UsageError("a request is given up after more than 0 and at most 60 seconds", value=timeout)
    wanted = Objective.parse(objective) if objective is not None else None
    if wanted:
        wanted.fit(rate, timeout)
    path = Path(samples) if samples else None
    if path and path.exists():
        raise UsageError("the file for the samples exists already", value=str(path))
    return Probe(
        target if isinstance(target, Target) else Target(target),
        rate=rate,
        timeout=timeout,
        objective=wanted,
        settle=settle,
        samples=path,
        journal=journal,
    )
