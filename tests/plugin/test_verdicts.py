"""Verdicts as pytest shows them, on checks that need no cluster."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Inner

FOUR = """
@check("TST-VER-001", "things hold", severity="high", impact="observe", why="why one", remedy="mend it",
       controls=["SOC2:CC6.1"])
def test_passed(judge):
    judge.ok("thing a", "held")
    judge.measure("time", 1.5, "s", lo=1.0, hi=2.0)

@check("TST-VER-002", "secrets stay", severity="critical", impact="observe", why="it leaks",
       remedy="take the right away", controls=["SOC2:CC6.1", "PCI-4:7.2"])
def test_failed(judge):
    judge.ok("secret a", "denied")
    judge.bad("secret b", seen="the developer could list it")
    judge.bad("secret <script>", seen="the developer could get it", rule="own rule", remedy="own remedy")

@check("TST-VER-003", "an open question", severity="low", impact="observe")
def test_inconclusive(judge):
    judge.unsure("thing c", "the server answered 500")

@check("TST-VER-004", "does not apply", severity="low", impact="observe")
def test_not_evaluated(judge):
    raise NotEvaluated("there is no such feature here")

def test_ordinary(judge):
    judge.ok("x")
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_four_verdicts(inner: Inner, workers: int) -> None:
    """Each verdict has its category, letter, word and exit code; the record holds the same, with xdist as well."""
    inner.write(FOUR)
    result = inner.run("-ra", workers=workers)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*1 failed, 2 passed, 1 inconclusive, 1 not evaluated in*"])
    result.stdout.fnmatch_lines(["INCONCLUSIVE test_inner.py::test_inconclusive - TST-VER-003: thing c: *500"])
    result.stdout.fnmatch_lines(["NOT EVALUATED [[]1[]] TST-VER-004: there is no such feature here"])
    result.stdout.fnmatch_lines(["FAILED test_inner.py::test_failed - TST-VER-002: secret b: *"])
    assert inner.verdicts() == {
        "TST-VER-001": "passed",
        "TST-VER-002": "failed",
        "TST-VER-003": "inconclusive",
        "TST-VER-004": "not evaluated",
        "test_ordinary": "passed",
    }
    results = inner.results()
    assert results["TST-VER-001"]["measures"] == {"time": {"value": 1.5, "unit": "s", "lo": 1, "hi": 2}}
    assert results["TST-VER-002"]["subjects"]["failed"] == 2
    assert inner.lines("run.end")[0]["totals"] == {"passed": 2, "failed": 1, "inconclusive": 1, "not evaluated": 1}
    assert (inner.pytester.path / "out" / "index.html").exists()
    assert inner.left() == []


def test_words_and_letters(inner: Inner) -> None:
    """With -v the words, without it the letters."""
    inner.write(FOUR)
    verbose = inner.run("-v")
    verbose.stdout.fnmatch_lines(["*test_inconclusive INCONCLUSIVE*", "*test_not_evaluated NOT EVALUATED*"])
    inner.run().stdout.fnmatch_lines(["test_inner.py .FI-.*"])


def test_body_of_a_failure(inner: Inner) -> None:
    """A failure names check, subject, what was seen, rule, remedy, reason and controls, and shows no traceback."""
    inner.write(FOUR)
    result = inner.run("-k", "test_failed")
    result.stdout.fnmatch_lines(
        [
            "TST-VER-002  secrets stay",
            "no single cluster, severity critical: failed",
            "✕ secret b",
            "  seen     the developer could list it",
            "✕ secret <script>",
            "  rule     own rule",
            "  remedy   own remedy",
            "why      it leaks",
            "remedy   take the right away",
            "controls SOC2:CC6.1, PCI-4:7.2",
        ]
    )
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*def test_failed*")


ENDS = """
@pytest.fixture
def broken():
    raise RuntimeError("the fixture broke")

@pytest.fixture
def asserts():
    assert 1 == 2

@pytest.fixture
def untidy():
    yield
    raise RuntimeError("the teardown broke")

@check("TST-END-001", "t", severity="low", impact="observe")
def test_setup_error(judge, broken): pass

@check("TST-END-002", "t", severity="low", impact="observe")
def test_setup_assert(judge, asserts): pass

@check("TST-END-003", "t", severity="low", impact="observe")
def test_teardown_error(judge, untidy): judge.ok("x")

@check("TST-END-004", "t", severity="low", impact="observe")
def test_assertion(judge):
    seen = {"a": 1}
    assert seen == {"a": 2}

@check("TST-END-005", "t", severity="low", impact="observe")
def test_nothing(): pass

@check("TST-END-006", "t", severity="low", impact="observe")
def test_crash(judge):
    judge.ok("x")
    raise KeyError("a bug")

@check("TST-END-007", "t", severity="low", impact="observe")
def test_bad_then_crash(judge):
    judge.bad("y", seen="broken")
    raise KeyError("a bug")

@check("TST-END-008", "t", severity="low", impact="observe")
def test_skip(judge): pytest.skip("not today")

@check("TST-END-009", "t", severity="low", impact="observe")
def test_fail(judge): pytest.fail("on purpose")

@check("TST-END-010", "t", severity="low", impact="observe")
def test_control(judge):
    judge.ok("x")
    judge.control(False, "the owner reads the secret")

@check("TST-END-011", "t", severity="low", impact="observe")
@pytest.mark.skip(reason="marked")
def test_marked(judge): pass

@check("TST-END-012", "t", severity="low", impact="observe")
@pytest.mark.xfail(reason="known")
def test_known(judge): assert False
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_how_a_check_ends(inner: Inner, workers: int) -> None:
    """Whatever ends a check leads to an honest verdict: a set-up error is open, zero subjects never pass, a breach that
    was seen stays one, and a teardown changes nothing."""
    inner.write(ENDS)
    result = inner.run("-ra", workers=workers)
    assert inner.verdicts() == {
        "TST-END-001": "inconclusive",
        "TST-END-002": "inconclusive",
        "TST-END-003": "passed",
        "TST-END-004": "failed",
        "TST-END-005": "inconclusive",
        "TST-END-006": "inconclusive",
        "TST-END-007": "failed",
        "TST-END-008": "not evaluated",
        "TST-END-009": "failed",
        "TST-END-010": "inconclusive",
        "TST-END-011": "not evaluated",
        "TST-END-012": "failed",
    }
    result.stdout.fnmatch_lines(["*3 failed, 1 passed, 1 xfailed, 5 inconclusive, 2 not evaluated in*"])
    result.stdout.no_fnmatch_line("*ERROR at*")
    # pytest's rewriting of assertions is kept
    result.stdout.fnmatch_lines(["*assert {'a': 1} == {'a': 2}*"])
    # an error of the check itself shows where it happened, a judged failure does not
    result.stdout.fnmatch_lines(["*KeyError: 'a bug'*"])
    result.stdout.fnmatch_lines(["left behind: *test_teardown_error*the teardown broke*"])
    teardowns = inner.lines("teardown")
    assert len(teardowns) == 1
    assert "the teardown broke" in teardowns[0]["problem"]


def test_only_a_teardown_fails(inner: Inner) -> None:
    """A teardown that fails turns neither the verdict nor the exit code."""
    inner.write(ENDS)
    result = inner.run("-k", "teardown_error")
    assert result.ret == 0
    result.assert_outcomes(passed=1)


ORDINARY = """
def test_fails(judge_not_asked_for=None): assert 1 == 2

def test_not_evaluated(run): raise NotEvaluated("no such thing")

@pytest.fixture
def broken(run): raise RuntimeError("broke")

def test_error(broken): pass

def test_uses_run(run): assert run.id.startswith("r")

@pytest.fixture
def cluster(): return "mine"

def test_own_fixture(cluster): assert cluster == "mine"
"""


def test_ordinary_tests_keep_their_meaning(inner: Inner) -> None:
    """Tests that are no checks end as pytest says, not evaluated is a skip, a project's own `cluster` is its own."""
    inner.write(ORDINARY)
    result = inner.run("-rs")
    result.assert_outcomes(passed=2, failed=1, errors=1, skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED [[]1[]] test_inner.py:*: no such thing"])
    assert inner.verdicts() == {
        "test_not_evaluated": "not evaluated",
        "test_error": "inconclusive",
        "test_uses_run": "passed",
    }


@pytest.mark.parametrize("workers", [0, 2])
def test_junit(inner: Inner, workers: int) -> None:
    """JUnit XML carries check, verdict, severity and controls as properties, and escapes what it is given."""
    inner.write(FOUR)
    inner.run("--junitxml=junit.xml", workers=workers)
    cases = {c.get("name"): c for c in ET.parse(inner.pytester.path / "junit.xml").iter("testcase")}  # noqa: S314
    properties = {p.get("name"): p.get("value") for p in cases["test_failed"].iter("property")}
    assert properties["k8sha.check"] == "TST-VER-002"
    assert properties["k8sha.verdict"] == "failed"
    assert properties["k8sha.severity"] == "critical"
    assert properties["k8sha.controls"] == "SOC2:CC6.1 PCI-4:7.2"
    failure = cases["test_failed"].find("failure")
    assert failure is not None
    assert "secret <script>" in (failure.text or "")
    assert cases["test_inconclusive"].find("failure") is not None
    assert cases["test_not_evaluated"].find("skipped") is not None


def test_html(inner: Inner) -> None:
    """pytest-html has columns for verdict, check and cluster; no name becomes markup."""
    inner.write(FOUR.replace("thing a", "<script>alert(1)</script>"))
    inner.run("--html=report.html", "--self-contained-html", apart=True)
    text = (inner.pytester.path / "report.html").read_text()
    assert "TST-VER-002" in text
    assert "not evaluated" in text
    assert "<script>alert(1)" not in text


@pytest.mark.parametrize(("option", "ran"), [("-x", 2), ("--maxfail=2", 3)])
def test_stopping_early(inner: Inner, option: str, ran: int) -> None:
    """-x and --maxfail count what is inconclusive as they count failures."""
    inner.write(FOUR)
    inner.run(option)
    assert len(inner.verdicts()) == ran


def test_last_failed(inner: Inner) -> None:
    """--lf runs again what failed or was inconclusive, --ff runs it first."""
    inner.write(FOUR)
    inner.run("--lf")
    again = inner.run("--lf", "-v")
    again.stdout.fnmatch_lines(["*rerun previous 2 failures", "*1 failed, 1 inconclusive in*"])
    first = inner.run("--ff", "-v")
    names = [line.split("::")[1].split()[0] for line in first.outlines if line.startswith("test_inner.py::")]
    assert names[:2] == ["test_failed", "test_inconclusive"]


def test_traceback_on_request(inner: Inner) -> None:
    """--k8sha-traceback shows the Python side of a failed assertion."""
    inner.write(ENDS)
    result = inner.run("-k", "test_assertion", "--k8sha-traceback")
    result.stdout.fnmatch_lines(['>       assert seen == {"a": 2}'])


def test_without_terminal(inner: Inner) -> None:
    """With -p no:terminal the record and the exit code are the same."""
    inner.write(FOUR)
    assert inner.run("-p", "no:terminal", apart=True).ret == 1
    assert len(inner.verdicts()) == 5


def test_result_hook(inner: Inner) -> None:
    """A conftest hears of each result."""
    inner.write(FOUR, conftest="def pytest_k8sha_result(result): print('HEARD', result['check'], result['verdict'])")
    result = inner.run("-s")
    result.stdout.fnmatch_lines(["*HEARD TST-VER-002 failed"])


def test_crashed_worker(inner: Inner) -> None:
    """A worker that dies leaves its check inconclusive; the others are judged."""
    inner.write(
        FOUR
        + """
@check("TST-VER-009", "dies", severity="low", impact="observe")
def test_dies(judge):
    import os
    os._exit(7)
"""
    )
    result = inner.run("-ra", workers=2)
    assert inner.verdicts()["TST-VER-009"] == "inconclusive"
    assert inner.verdicts()["TST-VER-001"] == "passed"
    result.stdout.fnmatch_lines(["INCONCLUSIVE *test_dies*TST-VER-009: the worker process ended while this test ran"])
