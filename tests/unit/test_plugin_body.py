"""The text of a failed check."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha.plugin.body import SHOWN, Body, compose


def result(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "check": "TST-BOD-001",
        "title": "it holds",
        "severity": "high",
        "cluster": "east",
        "nodeid": "test_a.py::test_a[east]",
        "verdict": "failed",
        "reason": "a: b",
        "why": "",
        "remedy": "",
        "controls": [],
        "findings": [],
        "subjects": {},
    }
    return {**data, **changes}


def finding(number: int = 0, **changes: str) -> dict[str, str]:
    return {"subject": f"s{number}", "verdict": "failed", "seen": "x", "rule": "", "remedy": "", **changes}


def test_many_subjects_are_bounded() -> None:
    """Twenty subjects are shown and the rest is counted, those that the record left out included."""
    text = compose(result(findings=[finding(n) for n in range(30)], subjects={"failed": 3000}))
    assert text.count("✕ ") == SHOWN
    assert "… and 2980 more; the record holds them" in text


def test_only_findings_of_the_verdict() -> None:
    """A failure shows what failed, not what passed beside it."""
    text = compose(result(findings=[finding(1), finding(2, verdict="passed")]))
    assert "s1" in text
    assert "s2" not in text


def test_reason_without_findings() -> None:
    """Without a finding the reason stands in its place."""
    assert "seen     the server is away" in compose(result(verdict="inconclusive", reason="the server is away"))


def test_message_is_one_line() -> None:
    """pytest's short summary gets one line that begins with the check."""
    body = Body.of(result(reason="a\nb\n  c"), "text")
    assert body.reprcrash.message == "TST-BOD-001: a b c"
    assert str(body) == "text"


@given(st.text(), st.text(), st.text())
def test_any_text(subject: str, seen: str, reason: str) -> None:
    """Nothing that a cluster can say breaks the text, and every line break in it is ours or the cluster's."""
    text = compose(result(findings=[finding(subject=subject, seen=seen)], reason=reason), "trace")
    assert text.startswith("TST-BOD-001  it holds\n")
    assert text.endswith("trace")
