"""What a store is to the ledger: it takes payloads by number, and says what it holds."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from pytest_k8sha import _clock
from pytest_k8sha.errors import Inconclusive, K8shaError
from pytest_k8sha.recovery.ledger import Outcome

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from pytest_k8sha.recovery.ledger import Ledger


@dataclass(frozen=True)
class Record:
    """Something that a store holds. ``seq`` is the number it is kept under; None where that cannot be told."""

    seq: int | None
    payload: bytes


class Writer(Protocol):
    """A store that payloads are written to, each under a number of its own, and read back from."""

    def write(self, seq: int, payload: bytes) -> Outcome:
        """*ok* only when the store acknowledged, *fail* only when it said that it did not take it, else *info*.

        An error that it raises counts as *info*.
        """

    def read(self) -> list[Record]:
        """Everything that is there, what nobody wrote included. Raises `K8shaError` when it cannot be read: an answer
        that did not come is no empty store."""


class LedgerWriter:
    """Writes at a fixed rate in the background, each write in a thread of its own turn: a write that hangs does not
    hold up the next ones, as long as a thread is free.

    ``rate`` is in writes a second, ``threads`` how many writes may be on their way, ``size`` the bytes of each body.
    ``missed`` counts turns that were over before a thread was free: the loss is then measured more coarsely.
    """

    def __init__(self, ledger: Ledger, store: Writer, *, rate: float = 10.0, threads: int = 8, size: int = 0) -> None:
        self._ledger, self._store = ledger, store
        self._period, self._size = 1.0 / rate, size
        self._stop = threading.Event()
        self._turn = threading.Lock()
        self._number = 0
        self._began = 0.0
        self._failure: BaseException | None = None
        self.missed = 0
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]

    def __enter__(self) -> Self:
        self._began = _clock.now()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()
        if error is None and self._failure is not None:
            raise Inconclusive(f"the ledger's writer broke off: {self._failure}") from self._failure

    def stop(self, timeout: float = 60.0) -> None:
        """Ends the writing and waits ``timeout`` seconds for what is on its way. Idempotent.

        Raises `Inconclusive` when a write does not end: its outcome would come after the comparison.
        """
        self._stop.set()
        deadline = _clock.Deadline(timeout)
        for thread in self._threads:
            thread.join(deadline.left)
        if any(thread.is_alive() for thread in self._threads):
            raise Inconclusive(f"a write of the ledger {self._ledger.path} did not end within {timeout:g} s")

    def _work(self) -> None:
        while not self._stop.is_set():
            with self._turn:  # one thread waits for the next turn, the others write or wait for theirs
                due = self._began + self._number * self._period
                late = _clock.now() - due
                if late >= self._period:  # every thread was busy: those turns are over
                    self.missed += int(late / self._period)
                    self._number += int(late / self._period)
                elif self._stop.wait(max(0.0, -late)):
                    return
                self._number += 1
            try:
                with self._ledger.write("x" * self._size) as attempt:
                    attempt.outcome = self._try(attempt.seq, attempt.payload)
            except BaseException as error:  # noqa: BLE001 - told by `__exit__`; a thread has nobody else to tell
                self._failure = error
                self._stop.set()

    def _try(self, seq: int, payload: bytes) -> Outcome:
        try:
            return self._store.write(seq, payload)
        except K8shaError:
            return Outcome.INFO
