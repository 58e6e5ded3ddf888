"""The process of a probe: ``python -m pytest_k8sha.probes.sender ORDER FD``.

Sends request k at t0 + k * period on the monotonic clock, whether or not those before it were answered, and streams
each sample to a file. It is a process of its own so that nothing the test does can delay it, and it imports no more
than its target takes. It ends when its owner writes to the pipe FD, or is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import secrets
import select
import selectors
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from pytest_k8sha import _clock
from pytest_k8sha.probes.exchange import Names, Port, Result, Web, failure
from pytest_k8sha.probes.sample import Outcome

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OWNER_GONE = "owner gone"
HEAD_START = 0.02
"""Seconds between the start of the loop and the first request."""


class Asker(Protocol):
    """One kind of target."""

    async def ask(self, nonce: str) -> Result: ...


def asker(order: Mapping[str, Any]) -> Asker:
    """What asks a target, by the kind in its order."""
    kinds: dict[str, Callable[[Mapping[str, Any]], Asker]] = {"http": Web, "https": Web, "tcp": Port, "dns": Names}
    if order["kind"] == "api":
        from pytest_k8sha.probes.apicalls import Calls  # here, since it imports the Kubernetes client

        return Calls(order)
    return kinds[order["kind"]](order)


class _Precise(selectors.DefaultSelector):
    """The system's selector without epoll's rounding of a wait up to the next millisecond: `select` on the selector's
    own descriptor wakes to the microsecond."""

    def select(self, timeout: float | None = None) -> Any:
        if timeout is not None and timeout > 0:
            select.select([self.fileno()], [], [], timeout)
            timeout = 0
        return super().select(timeout)


class Sender:
    """``period`` and ``timeout`` are in seconds."""

    def __init__(self, target: Asker, *, period: float, timeout: float, out: int, keep: bool) -> None:
        self._target = target
        self._period = period
        self._timeout = timeout
        self._patience = max(period / 2, timeout / 10)
        self._out = out
        self._keep = keep
        self._tasks: set[asyncio.Task[None]] = set()
        self.reason = ""
        """Why it sends no more; empty while it does."""
        self._stopped = asyncio.Event()
        self._next: asyncio.TimerHandle | None = None

    async def run(self, head: Mapping[str, Any], pipe: int) -> None:
        """Sends until told to stop, and waits for what is under way."""
        loop = asyncio.get_running_loop()
        os.set_blocking(pipe, False)
        loop.add_reader(pipe, self._told, pipe)
        self._watch(os.getppid())
        t0 = _clock.now() + HEAD_START
        self._write({**head, "t0": t0, "period": self._period, "timeout": self._timeout, "pid": os.getpid()})
        self._arm(0, t0)
        await self._stopped.wait()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=self._timeout + 1)
        self._write({"end": self.reason, "at": _clock.now()})

    def _told(self, pipe: int) -> None:
        try:
            words = os.read(pipe, 64)
        except BlockingIOError:
            return
        asyncio.get_running_loop().remove_reader(pipe)
        self._end("stopped" if words else OWNER_GONE)

    def _watch(self, owner: int) -> None:
        """A process that the owner forked may hold the pipe open after its end."""
        if os.getppid() != owner:
            self._end(OWNER_GONE)
        elif not self.reason:
            asyncio.get_running_loop().call_later(1.0, self._watch, owner)

    def _end(self, reason: str) -> None:
        self.reason = self.reason or reason
        if self._next:
            self._next.cancel()
        self._stopped.set()

    def _arm(self, k: int, t0: float) -> None:
        loop = asyncio.get_running_loop()
        # The loop's clock is the monotonic one, but only `_clock` is asked for it.
        wait = t0 + k * self._period - _clock.now()
        self._next = loop.call_at(loop.time() + max(0.0, wait), self._tick, k, t0)

    def _tick(self, k: int, t0: float) -> None:
        """Sends request k, and says of those that this process slept over that they were missed."""
        now = _clock.now()
        while now - (scheduled := t0 + k * self._period) > self._period / 2:
            self._missed(k, scheduled, now)
            k += 1
        if scheduled <= now:
            self._send(k, scheduled)
            k += 1
        self._arm(k, t0)

    def _missed(self, k: int, scheduled: float, now: float) -> None:
        self._write([k, scheduled, 0, 0, Outcome.MISSED, "", "", f"{(now - scheduled) * 1000:.1f} ms late"])

    def _send(self, k: int, scheduled: float) -> None:
        task = asyncio.create_task(self._sample(k, scheduled))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _sample(self, k: int, scheduled: float) -> None:
        nonce = secrets.token_hex(6)
        sent = _clock.now()
        if sent - scheduled > self._period / 2:
            self._missed(k, scheduled, sent)
            return
        try:
            async with asyncio.timeout(self._timeout):
                result = await self._target.ask(nonce)
        except Exception as error:  # noqa: BLE001 - whatever it is, the sample says so
            result = failure(error)
        done = _clock.now()
        if result.outcome is Outcome.TIMEOUT and done - sent - self._timeout > self._patience:
            # This process slept, and the answer may have waited for it.
            result = Result(Outcome.MISSED, detail=f"{(done - sent - self._timeout) * 1000:.1f} ms late to give it up")
        if result.outcome is Outcome.MISSED:
            self._write([k, scheduled, 0, 0, Outcome.MISSED, "", "", result.detail])
            return
        line = [k, scheduled, sent, done, result.outcome, nonce, result.instance, result.detail]
        self._write([*line, result.raw] if self._keep else line)

    def _write(self, line: Any) -> None:
        rest = json.dumps(line, separators=(",", ":")).encode() + b"\n"
        while rest:
            rest = rest[os.write(self._out, rest) :]


def main(order_file: str, pipe: str) -> int:
    order = json.loads(Path(order_file).read_text())
    target = order["target"]
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -10)  # where it may, it goes before the load that the test makes
    out = os.open(order["samples"], os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    asks = asker(target)
    gc.collect()
    gc.freeze()  # what is there now stays; the collector need not walk over it while samples are due

    async def probe() -> str:
        sender = Sender(
            asks, period=1 / order["rate"], timeout=order["timeout"], out=out, keep=bool(target.get("keep"))
        )
        await sender.run({"target": target["name"], "rate": order["rate"]}, int(pipe))
        return sender.reason

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(_Precise())) as runner:
        reason = runner.run(probe())
    if reason == OWNER_GONE:
        # Nobody else removes it now, and it may hold keys. Samples that are to be kept lie elsewhere.
        shutil.rmtree(Path(order_file).parent, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
