"""Waiting: deadlines, what is retried, and what a time-out tells."""

from __future__ import annotations

import pytest

from pytest_k8sha._clock import Deadline
from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import ApiError, TransportError, WaitTimeout


def api_error(status: int, **more: object) -> ApiError:
    return ApiError(status, method="GET", path="/x", reason="R", message="m", **more)  # type: ignore[arg-type]


class Sequence:
    """Returns or raises one value after the other, the last one for ever."""

    def __init__(self, *values: object) -> None:
        self.values = list(values)
        self.calls = 0

    def __call__(self) -> object:
        value = self.values[min(self.calls, len(self.values) - 1)]
        self.calls += 1
        if isinstance(value, BaseException):
            raise value
        return value


@pytest.mark.parametrize("status", [404, 409, 429, 500, 503])
def test_what_a_converging_cluster_says_is_retried(status: int) -> None:
    """404, 409, 429 and 5xx are *not yet*."""
    probe = Sequence(api_error(status), "there")
    assert eventually(probe, timeout=2, interval=0.001) == "there"
    assert probe.calls == 2


@pytest.mark.parametrize("status", [400, 401, 403, 422])
def test_a_refusal_ends_the_wait_at_once(status: int) -> None:
    """A 401 or 403 does not get better by waiting; it is raised as it is, at the first attempt."""
    probe = Sequence(api_error(status))
    with pytest.raises(ApiError):
        eventually(probe, timeout=2, interval=0.001)
    assert probe.calls == 1


def test_no_connection_and_assertions_are_retried() -> None:
    """A connection that fails and an assertion that does not hold yet are *not yet*."""
    probe = Sequence(TransportError("refused", method="GET", path="/", cause="no"), AssertionError("no"), False, 7)
    assert eventually(probe, timeout=2, interval=0.001) == 7


def test_a_timeout_tells_what_was_last_seen() -> None:
    """The error names the condition, the attempts, the time and the last observation."""
    deadline = Deadline(5)
    with pytest.raises(WaitTimeout) as caught:
        eventually(Sequence(1, 2), what="three", timeout=0.05, interval=0.01, accept=lambda v: v == 3)
    assert "three" in str(caught.value)
    assert caught.value.last == "2"
    assert caught.value.attempts > 1
    assert 0.05 <= deadline.spent < 1


def test_a_timeout_tells_the_last_error() -> None:
    """When only errors came, the last one is in the message."""
    with pytest.raises(WaitTimeout, match="503"):
        eventually(Sequence(api_error(503)), timeout=0.02, interval=0.005)


def test_the_servers_retry_after_is_honoured() -> None:
    """A wait that the server asks for is kept, within the deadline."""
    deadline = Deadline(5)
    assert eventually(Sequence(api_error(429, retry_after=0.3), "x"), timeout=2, interval=0.001) == "x"
    assert deadline.spent >= 0.3
