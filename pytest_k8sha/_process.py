"""The only module that starts programs, and the only one that ends them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess  # noqa: TID251 - this is the one place
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha.errors import ProgramFailed, ProgramUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

_PR_SET_PDEATHSIG = 1
_CLONE_NEWUTS, _CLONE_NEWUSER = 0x04000000, 0x10000000


@dataclass(frozen=True)
class Completed:
    """How a program ended. A negative ``code`` is the signal that ended it."""

    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class ProcessId:
    """A process that cannot be mistaken for a later one with the same number.

    ``created`` is in seconds since the epoch, as the kernel tells it; two processes with one pid differ in it.
    """

    pid: int
    created: float

    @classmethod
    def of(cls, pid: int) -> ProcessId | None:
        """The identity of a running process; None when there is none (a zombie is none)."""
        import psutil

        try:
            process = psutil.Process(pid)
            if process.status() == psutil.STATUS_ZOMBIE:
                return None
            return cls(pid, process.create_time())
        except psutil.NoSuchProcess:
            return None

    @classmethod
    def own(cls) -> ProcessId:
        identity = cls.of(os.getpid())
        assert identity is not None  # noqa: S101 - this process runs
        return identity

    @property
    def alive(self) -> bool:
        other = ProcessId.of(self.pid)
        # psutil's creation time may move by a clock tick between boots of the clock; pids are not reused that fast.
        return other is not None and abs(other.created - self.created) < 1.0

    def signal(self, number: int) -> bool:
        """Sends a signal if the process is still the same one; true when it was sent."""
        if not self.alive:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)
            return True
        return False

    def end(self, grace: float) -> bool:
        """SIGTERM, SIGKILL after ``grace`` seconds; true when the process is gone."""
        if self.signal(signal.SIGTERM) and not self.wait(grace):
            self.signal(signal.SIGKILL)
        return self.wait(5.0)

    def collect(self) -> None:
        """Takes the exit code of a child that `Program.forget` let go of, so that no zombie stays."""
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, os.WNOHANG)

    def wait(self, seconds: float) -> bool:
        """Waits for the end of a process that need not be a child; true when it is gone."""
        deadline = _clock.Deadline(seconds)
        while self.alive:
            if deadline.passed:
                return False
            _clock.pause(0.02)
        return True


def naming(path: Path, *, words: Sequence[str]) -> list[ProcessId]:
    """The processes whose command line names something at or below ``path``, and one of whose words ends with one of
    ``words``: how a program is found that was started and whose number was never written down."""
    import psutil

    place, found = str(path), []
    for process in psutil.process_iter(["cmdline", "create_time", "status"]):
        line = process.info["cmdline"] or []
        names_it = any(word == place or f"{place}/" in word for word in line)
        if names_it and any(word.endswith(tuple(words)) for word in line) and process.pid != os.getpid():
            found.append(ProcessId(process.pid, process.info["create_time"]))
    return found


class Program:
    """A program that this process started and that still runs, or has ended."""

    def __init__(self, popen: subprocess.Popen[bytes], name: str) -> None:
        self._popen = popen
        self.name = name
        self.id = ProcessId.of(popen.pid) or ProcessId(popen.pid, _clock.epoch())

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def code(self) -> int | None:
        """The exit code, negative for a signal; None while it runs."""
        return self._popen.poll()

    def forget(self) -> None:
        """Lets the program run on without this object; see `ProcessId.collect`."""
        self._popen.returncode = 0  # Popen warns of a program that runs when it is thrown away, and would wait for it

    def signal(self, number: int) -> None:
        if self.code is None:
            self._popen.send_signal(number)

    def wait(self, seconds: float) -> int | None:
        """The exit code, or None when it still runs after ``seconds``."""
        try:
            return self._popen.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def end(self, grace: float) -> int | None:
        """SIGTERM (and SIGCONT, should it be stopped), SIGKILL after ``grace`` seconds; the exit code."""
        self.signal(signal.SIGTERM)
        self.signal(signal.SIGCONT)
        if self.wait(grace) is None:
            self.signal(signal.SIGKILL)
        return self.wait(5.0)


def _arrangement(*, die_with_parent: bool, hostname: str | None) -> Callable[[], None] | None:
    """What the child does between the fork and the program's start."""
    if not sys.platform.startswith("linux") or not (die_with_parent or hostname):
        return None
    libc = ctypes.CDLL(None, use_errno=True)  # loaded before the fork: nothing may be imported after it
    name = hostname.encode() if hostname else b""

    def arrange() -> None:
        # Root may have a host name of its own; others need a user namespace for it, which some systems refuse.
        if name and (libc.unshare(_CLONE_NEWUTS) == 0 or libc.unshare(_CLONE_NEWUSER | _CLONE_NEWUTS) == 0):
            libc.sethostname(name, len(name))
        if die_with_parent:  # last, since a change of credentials takes it back
            libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)

    return arrange


def start(
    argv: Sequence[str | Path],
    *,
    log: Path | None = None,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    die_with_parent: bool = False,
    detached: bool = False,
    hostname: str | None = None,
    pass_fds: Sequence[int] = (),
) -> Program:
    """Starts a program in the background; both its outputs are appended to ``log``.

    ``die_with_parent``: the kernel kills it when the calling *thread* ends (Linux only), so call it from a thread that
    lives as long as the process. ``detached``: a session of its own, out of reach of the terminal's Ctrl-C.
    ``hostname``: the host name that the program sees, where the system allows it (Linux only; otherwise the real one).
    ``pass_fds``: open files that the program inherits under the same numbers.
    Raises `ProgramUnavailable` when there is no such program.
    """
    words = [str(word) for word in argv]
    with contextlib.ExitStack() as stack:
        out: Any = stack.enter_context(log.open("ab")) if log else subprocess.DEVNULL
        try:
            popen = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                start_new_session=detached,
                preexec_fn=_arrangement(die_with_parent=die_with_parent, hostname=hostname),
                pass_fds=tuple(pass_fds),
            )
        except OSError as error:
            raise ProgramUnavailable(
                f"{words[0]} could not be started ({error.strerror})", remedy="see `k8sha doctor`"
            ) from error
    return Program(popen, words[0])


def run(
    argv: Sequence[str | Path],
    *,
    timeout: float,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdin: bytes | None = None,
    check: bool = True,
) -> Completed:
    """Runs a program to its end and returns its outputs as text. ``timeout`` is in seconds.

    Raises `ProgramFailed` when it does not end in time or, with ``check``, when its exit code is not 0, and
    `ProgramUnavailable` when there is no such program.
    """
    words = [str(word) for word in argv]
    try:
        done = subprocess.run(
            words,
            input=stdin or b"",
            capture_output=True,
            timeout=timeout,
            env=dict(env) if env is not None else None,
            cwd=cwd,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ProgramFailed(f"{words[0]} did not end within {timeout:g} s", value=" ".join(words)) from error
    except OSError as error:
        raise ProgramUnavailable(f"{words[0]} could not be started ({error.strerror})") from error
    result = Completed(done.returncode, done.stdout.decode("utf-8", "replace"), done.stderr.decode("utf-8", "replace"))
    if check and result.code != 0:
        raise ProgramFailed(f"{words[0]} ended with {result.code}: {result.stderr.strip()[-2000:]}")
    return result


def interactive(
    argv: Sequence[str | Path],
    *,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    stdout_to_stderr: bool = False,
) -> tuple[int, bool]:
    """Runs a program on this process's own terminal; returns its exit code and whether this process was interrupted.

    A Ctrl-C reaches the program as well; this waits for its end, so that its teardown is not cut short. A SIGTERM to
    this process is passed on as a Ctrl-C. With ``stdout_to_stderr`` the program's standard output goes to ours for
    errors.
    """
    popen = subprocess.Popen(
        [str(word) for word in argv],
        env=dict(env) if env is not None else None,
        cwd=cwd,
        stdout=sys.stderr.fileno() if stdout_to_stderr else None,
    )

    interrupted = False

    def pass_on(*_: object) -> None:
        nonlocal interrupted
        interrupted = True
        if popen.returncode is None:
            popen.send_signal(signal.SIGINT)

    before = signal.signal(signal.SIGTERM, pass_on)
    try:
        while True:
            try:
                return popen.wait(), interrupted
            except KeyboardInterrupt:
                interrupted = True
    finally:
        signal.signal(signal.SIGTERM, before)
