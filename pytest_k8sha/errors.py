"""Every error that a user can meet.

    K8shaError
    ├── UsageError            what was asked for cannot be meant (exit code 2)
    │   └── FileProblems      all mistakes of one or more files, each with path, line and field
    ├── EnvironmentFailure    this machine or cluster cannot do it (exit code 3)
    │   ├── ProgramUnavailable
    │   ├── ChecksumMismatch
    │   ├── StartFailed       a program or a cluster did not come up; carries the tails of its logs
    │   └── ProgramFailed     a program ended with an error
    ├── ImpactRefused         a request above the cluster's ceiling; nothing was sent
    ├── RequestError          a request that did not succeed
    │   ├── ApiError          the server answered with a Status of 400 or more
    │   └── TransportError    no usable answer came: refused, reset, timed out, truncated
    ├── WaitTimeout           a deadline passed; carries what was last seen
    ├── Inconclusive          a check could not be judged
    └── NotEvaluated          a check does not apply here; carries the reason

An error says what was wrong, with which value, what is allowed, and the remedy.
"""

from __future__ import annotations

from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


class K8shaError(Exception):
    """The root of all errors of this project.

    ``problem`` is one sentence; ``value``, ``allowed`` and ``remedy`` are added to the message where they are given.
    """

    exit_code = 3
    retryable = False
    """Whether a wait may try again after this error (see `pytest_k8sha._wait`)."""

    def __init__(
        self, problem: str, *, value: object = None, allowed: Iterable[str] | None = None, remedy: str | None = None
    ) -> None:
        self.problem = problem
        self.value = value
        self.allowed = sorted(allowed) if allowed is not None else None
        self.remedy = remedy
        super().__init__(self._message())

    def _message(self) -> str:
        parts = [self.problem if self.value is None else f"{self.problem}: {self.value!r}"]
        if self.allowed is not None:
            near = get_close_matches(str(self.value), self.allowed, n=1) if self.value is not None else []
            hint = f"did you mean {near[0]!r}? " if near else ""
            parts.append(f"{hint}allowed: {', '.join(self.allowed) or 'nothing'}")
        if self.remedy:
            parts.append(f"remedy: {self.remedy}")
        return "; ".join(parts)

    def __reduce__(self) -> tuple[Any, ...]:
        # Errors cross process borders (xdist); keyword arguments would be lost by the default.
        return _rebuild, (type(self), self.args, self.__dict__.copy())


def _rebuild(cls: type[K8shaError], args: tuple[Any, ...], state: dict[str, Any]) -> K8shaError:
    error = cls.__new__(cls)
    Exception.__init__(error, *args)
    error.__dict__.update(state)
    return error


class UsageError(K8shaError):
    """What was asked for cannot be meant. Nothing has been changed."""

    exit_code = 2


@dataclass(frozen=True)
class FileProblem:
    """One mistake in a file. ``line`` counts from 1; 0 means that the line is not known."""

    path: str
    line: int
    field: str
    message: str

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        return f"{where}: {self.field}: {self.message}" if self.field else f"{where}: {self.message}"


class FileProblems(UsageError):
    """All mistakes of one or more files, reported together before any cluster is touched."""

    def __init__(self, problems: Iterable[FileProblem]) -> None:
        self.problems = list(problems)
        count = len(self.problems)
        super().__init__(
            f"{count} mistake{'s' if count != 1 else ''} in the input; nothing was changed\n"
            + "\n".join(f"  {problem}" for problem in self.problems)
        )


class EnvironmentFailure(K8shaError):
    """This machine or this cluster cannot do what was asked."""


class ProgramUnavailable(EnvironmentFailure):
    """A program was found nowhere in the documented order."""


class ChecksumMismatch(EnvironmentFailure):
    """A downloaded file is not the one that was published."""


class StartFailed(EnvironmentFailure):
    """Something did not come up in time. ``logs`` maps a log file's path to its last lines."""

    def __init__(self, problem: str, *, logs: Mapping[Path, str] | None = None, remedy: str | None = None) -> None:
        self.logs = {str(path): tail for path, tail in (logs or {}).items()}
        tails = "".join(f"\n--- the end of {path}\n{tail}" for path, tail in self.logs.items())
        super().__init__(problem + tails, remedy=remedy)


class ProgramFailed(EnvironmentFailure):
    """A program ended with an error or did not end in time."""


class ImpactRefused(K8shaError):
    """A request above the ceiling of its cluster. It was not sent."""


class RequestError(K8shaError):
    """A request that did not succeed."""


class ApiError(RequestError):
    """The server's answer had a status of 400 or more. ``reason`` and ``message`` are those of its Status object."""

    def __init__(
        self,
        status: int,
        *,
        method: str,
        path: str,
        reason: str = "",
        message: str = "",
        details: Mapping[str, Any] | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.status = status
        self.method = method
        self.path = path
        self.reason = reason
        self.message = message
        self.details = dict(details or {})
        self.retry_after = retry_after
        # 404 and 409 are what a cluster says while it converges; 429 and 5xx while it is busy or half up.
        self.retryable = status in {404, 409, 429} or status >= 500
        super().__init__(f"{method} {path} was answered with {status} {reason}: {message}")


class TransportError(RequestError):
    """No usable answer came. ``kind`` is one of refused, reset, timeout, truncated, tls, other."""

    retryable = True

    def __init__(self, kind: str, *, method: str, path: str, cause: str) -> None:
        self.kind = kind
        self.method = method
        self.path = path
        super().__init__(f"{method} {path} got no answer ({kind}): {cause}")


class WaitTimeout(K8shaError):
    """A deadline passed. ``last`` is the last observation, as text."""

    def __init__(self, what: str, *, waited: float, attempts: int, last: str) -> None:
        self.what = what
        self.waited = waited
        self.attempts = attempts
        self.last = last
        super().__init__(f"{what}: not so after {waited:.1f} s and {attempts} attempts; last seen: {last or 'nothing'}")


class Inconclusive(K8shaError):
    """A check could not be judged: neither that the promise holds nor that it is broken was seen."""


class NotEvaluated(K8shaError):
    """A check does not apply to this cluster or may not run on it; the message is the reason."""
