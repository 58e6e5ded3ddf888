"""The judge's verdicts: errors are no denials, no data is no pass, zero subjects never pass."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.errors import ApiError, Inconclusive, NotEvaluated
from pytest_k8sha.model import Verdict


def test_zero_subjects_never_pass() -> None:
    """A check that looked at nothing is inconclusive and says so."""
    verdict, reason = Judge().conclude()
    assert verdict is Verdict.INCONCLUSIVE
    assert "zero subjects" in reason


def test_only_subjects_to_which_the_rule_does_not_apply() -> None:
    """A rule that applies to no subject is not evaluated, not passed."""
    judge = Judge()
    judge.skip("a", "no quota")
    assert judge.conclude()[0] is Verdict.NOT_EVALUATED


def test_a_failed_control_proves_nothing() -> None:
    """When the positive control fails, denials that were seen do not make a pass."""
    judge = Judge()
    judge.ok("a", "denied")
    assert not judge.control(False, "the admin reads the secret")
    verdict, reason = judge.conclude()
    assert verdict is Verdict.INCONCLUSIVE
    assert "positive control" in reason


def test_a_seen_breach_survives_a_later_error() -> None:
    """What was seen to be broken stays failed, whatever happened later."""
    judge = Judge(rule="r")
    judge.bad("a", seen="open")
    verdict, reason = judge.conclude(ApiError(500, method="GET", path="/"))
    assert verdict is Verdict.FAILED
    assert "a: open" in reason


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (AssertionError("x"), Verdict.FAILED),
        (ApiError(403, method="GET", path="/"), Verdict.INCONCLUSIVE),
        (ApiError(500, method="GET", path="/"), Verdict.INCONCLUSIVE),
        (KeyError("a bug in the check"), Verdict.INCONCLUSIVE),
        (Inconclusive("no"), Verdict.INCONCLUSIVE),
        (NotEvaluated("no"), Verdict.NOT_EVALUATED),
    ],
)
def test_how_a_check_may_end(error: Exception, verdict: Verdict) -> None:
    """Only an assertion fails a check; every error leaves it open, even after subjects were fine."""
    judge = Judge()
    judge.ok("a")
    assert judge.conclude(error)[0] is verdict


@given(st.lists(st.sampled_from(["ok", "bad", "unsure", "skip"])))
def test_a_pass_needs_subjects_and_nothing_else(steps: list[str]) -> None:
    """For any course of a check: passed exactly when at least one subject is fine and none is bad or unsure."""
    judge = Judge()
    for step in steps:
        {
            "ok": lambda: judge.ok("s", ""),
            "bad": lambda: judge.bad("s", seen="b"),
            "unsure": lambda: judge.unsure("s", "u"),
            "skip": lambda: judge.skip("s", "n"),
        }[step]()
    verdict, _ = judge.conclude()
    assert (verdict is Verdict.PASSED) == ("ok" in steps and "bad" not in steps and "unsure" not in steps)
    assert (verdict is Verdict.FAILED) == ("bad" in steps)
