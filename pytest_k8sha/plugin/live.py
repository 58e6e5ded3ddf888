"""Registers the hooks that a process needs once the plugin is in use."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

from pytest_k8sha.plugin.terminal import Terminal
from pytest_k8sha.plugin.verdicts import Verdicts

if TYPE_CHECKING:
    from types import FrameType

    from pytest_k8sha.plugin.results import Results
    from pytest_k8sha.plugin.session import Session


def register(session: Session) -> None:
    """Called once a process, from `pytest_k8sha.plugin.session.activate`."""
    manager = session.config.pluginmanager
    manager.register(Verdicts(session), "k8sha-verdicts")
    if session.role == "worker":
        from pytest_k8sha.plugin.turns import Turns
        from pytest_k8sha.plugin.xdist import Worker

        manager.register(Worker(session), "k8sha-worker")
        manager.register(Turns(session), "k8sha-turns")
        return
    from pytest_k8sha.plugin.results import Results

    results = Results(session)
    manager.register(results, "k8sha-results")
    manager.register(Terminal(session, results), "k8sha-terminal")
    manager.register(End(session, results), "k8sha-end")
    if manager.hasplugin("xdist"):
        from pytest_k8sha.plugin.xdist import Controller

        manager.register(Controller(session), "k8sha-controller")
    if manager.hasplugin("html"):
        from pytest_k8sha.plugin.html import Html

        manager.register(Html(), "k8sha-html")


class End:
    """The end of a run: teardown, the last line of the record, the report. Also after Ctrl-C and SIGTERM."""

    def __init__(self, session: Session, results: Results) -> None:
        self.session = session
        self.results = results
        self.done = False
        self.interrupted = False
        self._before: Any = None
        with suppress(ValueError):  # not the main thread: then signals are somebody else's affair
            if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                self._before = signal.signal(signal.SIGTERM, self._terminate)
        self._owner = os.getpid()

    def _terminate(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the signal's signature
        if os.getpid() != self._owner:  # a forked child is not the run
            raise SystemExit(128 + number)
        raise KeyboardInterrupt("SIGTERM")

    def pytest_keyboard_interrupt(self) -> None:
        self.interrupted = True

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, exitstatus: int) -> None:
        # xdist's controller has ended its workers by now, and every fixture is torn down.
        self.finish(int(exitstatus))

    def pytest_unconfigure(self) -> None:
        self.interrupted = self.interrupted or not self.done
        self.finish(int(pytest.ExitCode.INTERRUPTED))
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
            self._before = None

    def finish(self, status: int) -> None:
        """Takes down what the run made; idempotent."""
        if self.done:
            return
        self.done = True
        self.interrupted = self.interrupted or status == pytest.ExitCode.INTERRUPTED
        from pytest_k8sha.plugin import provision

        clean = False
        try:
            if self.session.begun:
                self.results.before_end()
                good = status in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}
                clean = provision.dismiss(self.session, failed=not good)
        finally:
            self.results.end(status, interrupted=self.interrupted)
            if self.session.begun:
                self.session.folder.close(clean=clean)
