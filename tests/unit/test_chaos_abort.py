"""The words that end an experiment early, and what is shown meanwhile."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_k8sha.chaos.abort import Abort, ByHand, any_of
from pytest_k8sha.chaos.engine import Observation
from pytest_k8sha.cli.gameview import COLUMNS, sparkline
from pytest_k8sha.errors import UsageError
from pytest_k8sha.probes.sample import Outcome, Sample


def samples(*marks: str, every: float = 0.1) -> list[Sample]:
    """One sample for each mark, sent one after the other: ``ok``, ``error`` or ``missed``, each taking 10 ms."""
    found = []
    for k, mark in enumerate(marks):
        at = 100 + k * every
        sent, done = (0.0, 0.0) if mark == "missed" else (at, at + 0.01)
        found.append(Sample(k, at, sent, done, Outcome(mark)))
    return found


@pytest.mark.parametrize(
    ("text", "figure", "limit", "over"),
    [
        ("error_rate > 0.2", "error_rate", 0.2, 10),
        ("error_rate > 20%", "error_rate", 0.2, 10),
        ("downtime > 1.5s over 30s", "downtime", 1.5, 30),
        (" p99>500ms over 2m ", "p99", 0.5, 120),
    ],
)
def test_the_words_are_read(text: str, figure: str, limit: float, over: float) -> None:
    """Shares with and without a per cent sign, times with their unit, and how far back is looked."""
    (clause,) = Abort.parse(text).clauses
    assert (clause.figure, clause.limit, clause.over) == (figure, limit, over)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "error_rate < 20%",
        "error_rate > 20s",
        "error_rate > 100%",
        "error_rate > 20% over 0s",
        "error_rate > 1.2.3",
        "downtime > 5",
        "downtime > 5s; p99 > 1s",
        "p0 > 1s",
        "p100 > 1s",
        "x > 1s",
    ],
)
def test_what_cannot_be_meant_is_refused(text: str) -> None:
    """A condition that could never hold, or that is no sentence, is told before anything is touched."""
    with pytest.raises(UsageError):
        Abort.parse(text)


@settings(max_examples=50)
@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    """Nothing else comes of a text than a condition or a `UsageError`."""
    try:
        found = Abort.parse(text)
    except UsageError:
        return
    assert all(clause.limit >= 0 and clause.over > 0 for clause in found.clauses)


@pytest.mark.parametrize(
    ("text", "marks", "holds"),
    [
        ("error_rate > 20%", ["ok"] * 8 + ["error"] * 2, False),
        ("error_rate > 20%", ["ok"] * 7 + ["error"] * 3, True),
        ("error_rate > 20%", ["ok"] * 4, None),
        ("error_rate > 20%", ["missed"] * 50, None),
        ("error_rate > 20% over 1s", ["error"] * 50 + ["ok"] * 20, False),
        ("downtime > 500ms", ["ok"] * 5 + ["error"] * 10, True),
        ("downtime > 500ms", ["ok"] * 5 + ["error"] * 10 + ["ok"], False),
        ("downtime > 500ms", ["error"] * 20, True),
        ("p90 > 100ms", ["ok"] * 20, False),
        ("p90 > 100ms", ["ok"] * 8 + ["error"] * 2, True),
    ],
)
def test_it_holds_by_what_was_seen(text: str, marks: list[str], holds: bool | None) -> None:
    """By the last seconds alone; too few requests, and such as this machine missed, say nothing."""
    (clause,) = Abort.parse(text).clauses
    assert clause.look(samples(*marks)).holds is holds


def test_one_that_holds_is_enough() -> None:
    """Among several the one that holds counts first, then the one that is not known."""
    no, yes, unknown = (Observation(holds, str(holds)) for holds in (False, True, None))
    assert any_of([no, unknown, yes]).holds is True
    assert any_of([no, unknown]).holds is None
    assert any_of([no, no]).holds is False
    assert any_of([]).holds is None


def test_a_hand_aborts() -> None:
    """Once pressed it holds for good."""
    hand = ByHand()
    assert hand.look().holds is False
    hand.pressed.set()
    assert hand.look().holds is True


def test_the_sparkline_shows_the_last_minute() -> None:
    """A column a second; failures are seen although others in that second went well; what is older is left out."""
    drawn = sparkline(samples(*(["ok"] * 30 + ["error"] + ["ok"] * 9)), now=104.0)
    assert len(drawn) == COLUMNS
    assert drawn[-5:-1].count("!") == 1
    assert drawn[:-5] == "." * (COLUMNS - 5)
    assert set(sparkline([], now=1.0)) == {"."}
