"""Waiting on a condition with a deadline; a time-out says what was last seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pytest_k8sha import _clock
from pytest_k8sha.errors import K8shaError, WaitTimeout

if TYPE_CHECKING:
    from collections.abc import Callable

    from tenacity import RetryCallState

T = TypeVar("T")


def eventually(
    probe: Callable[[], T],
    *,
    what: str = "",
    timeout: float = 30.0,
    interval: float = 0.1,
    growth: float = 1.5,
    accept: Callable[[T], bool] = bool,
    describe: Callable[[T], str] = repr,
) -> T:
    """Calls ``probe`` until ``accept`` says yes to what it returns, and returns that.

    A `K8shaError` that is retryable (404, 409, 429, 5xx, no connection) and an ``AssertionError`` count as *not yet*;
    any other error, 401 and 403 among them, ends the wait at once. ``timeout`` and ``interval`` are seconds; the
    interval grows by half at each attempt (``growth``; 1 where the moment is measured), up to ten times its start or
    two seconds, whichever is less, and the server's Retry-After is honoured. Raises `WaitTimeout` with the last
    observation.
    """
    import tenacity

    deadline = _clock.Deadline(timeout)
    longest = max(interval, min(interval * 10, 2.0))

    def not_yet(error: BaseException) -> bool:
        return isinstance(error, AssertionError) or (isinstance(error, K8shaError) and error.retryable)

    def pause(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        wanted = getattr(error, "retry_after", None) or 0.0
        grown: float = interval * growth ** min(state.attempt_number - 1, 20)
        return min(max(min(grown, longest), wanted), deadline.left)

    def give_up(state: RetryCallState) -> T:
        outcome = state.outcome
        error = outcome.exception() if outcome else None
        last = str(error or "") or (describe(outcome.result()) if outcome and not error else repr(error))
        name = what or getattr(probe, "__name__", "the condition")
        raise WaitTimeout(name, waited=deadline.spent, attempts=state.attempt_number, last=last) from error

    return tenacity.Retrying(
        stop=lambda _: deadline.passed,
        wait=pause,
        sleep=_clock.pause,
        retry=tenacity.retry_if_exception(not_yet) | tenacity.retry_if_result(lambda value: not accept(value)),
        retry_error_callback=give_up,
    )(probe)
