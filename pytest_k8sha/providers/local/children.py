"""The programs that a supervisor runs, one object each."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pytest_k8sha import _clock, _process
from pytest_k8sha.errors import UsageError

_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
"""Seconds before a program that ended by itself is started again: the kubelet does the same for a static pod. It is
needed: a controller manager that loses its lease ends, and expects to come back."""


@dataclass
class Child:
    """One program: what it was told to be, and what it is."""

    component: str
    member: int
    argv: list[str]
    log: str
    env: dict[str, str] = field(default_factory=dict)
    hostname: str = ""
    name: str = ""
    program: _process.Program | None = None
    wanted: bool = False
    frozen: bool = False
    ends: list[int] = field(default_factory=list)
    """The exit codes of the runs that nobody asked to end."""
    restart: _clock.Deadline | None = None

    @property
    def running(self) -> bool:
        return self.program is not None and self.program.code is None

    def start(self) -> None:
        """Starts the program unless it runs."""
        self.wanted, self.frozen, self.restart = True, False, None
        if self.running:
            return
        base = {key: os.environ[key] for key in ("PATH", "LANG", "SSL_CERT_FILE") if key in os.environ}
        self.program = _process.start(
            self.argv,
            log=Path(self.log),
            env={**base, **self.env},
            cwd=Path(self.log).parent,
            die_with_parent=True,
            detached=True,
            hostname=self.hostname or None,
        )

    def look(self) -> bool:
        """Notes an end that nobody asked for, and starts the program again after a pause; true when it has ended."""
        if not self.wanted or self.running:
            return False
        if self.restart is None and self.program is not None:
            self.ends.append(self.program.code or 0)
            self.frozen = False
            self.restart = _clock.Deadline(_PAUSES[min(len(self.ends), len(_PAUSES)) - 1])
            return True
        if self.restart is not None and self.restart.passed:
            self.start()
        return False

    def signal(self, number: int) -> None:
        if self.program is not None:
            self.program.signal(number)

    def freeze(self) -> None:
        if not self.running:
            raise UsageError("the program does not run, so it cannot be frozen", value=self.name)
        self.signal(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        self.signal(signal.SIGCONT)
        self.frozen = False

    async def end(self, grace: float) -> None:
        """SIGTERM, SIGKILL after ``grace`` seconds (0: at once); the program stays down."""
        self.wanted, self.restart = False, None
        if grace > 0:
            self.signal(signal.SIGTERM)
            self.signal(signal.SIGCONT)
            await self._gone(grace)
        self.signal(signal.SIGKILL)
        await self._gone(5.0)
        self.frozen = False

    async def _gone(self, seconds: float) -> None:
        deadline = _clock.Deadline(seconds)
        while self.running and not deadline.passed:
            await asyncio.sleep(0.01)

    def as_dict(self) -> dict[str, Any]:
        state = "stopped" if not self.wanted else "frozen" if self.frozen else "running" if self.running else "failed"
        program = self.program
        return {
            "name": self.name,
            "component": self.component,
            "member": self.member,
            "state": state,
            "pid": program.pid if program and self.running else None,
            "created": program.id.created if program and self.running else None,
            "ends": self.ends,
            "own_hostname": self._has_own_hostname(),
        }

    def _has_own_hostname(self) -> bool:
        if not self.hostname or not self.running or self.program is None:
            return False
        try:
            theirs, ours = (Path(f"/proc/{pid}/ns/uts").readlink() for pid in (self.program.pid, "self"))
        except OSError:
            return False
        return theirs != ours
