"""Windows and figures hold the truth, compared with services whose course is known exactly."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_k8sha.errors import UsageError
from pytest_k8sha.model import Verdict
from pytest_k8sha.probes.interval import Interval, covered
from pytest_k8sha.probes.objective import Objective
from pytest_k8sha.probes.outage import Fault, Outage
from pytest_k8sha.probes.sample import Outcome, Sample
from pytest_k8sha.probes.windows import course, quantile

TICK = 0.01
"""Times in these tests are whole numbers of ticks, so that the brute force can walk over all of them."""


def sample(k: int, sent: float, took: float, outcome: Outcome = Outcome.OK, scheduled: float | None = None) -> Sample:
    return Sample(k, sent if scheduled is None else scheduled, sent, sent + took, outcome)


def probed(
    down: list[tuple[int, int]], ticks: int, every: int, took: list[int], skipped: frozenset[int] = frozenset()
) -> list[Sample]:
    """What a probe sees of a service that is down in the half-open spans ``down`` (ticks): a request is judged at one
    moment between its sending and its end, and fails when the service is down then."""
    samples = []
    for k, sent in enumerate(range(0, ticks, every)):
        if k in skipped:
            samples.append(Sample(k, sent * TICK, 0, 0, Outcome.MISSED))
            continue
        lasts = took[k % len(took)]
        moment = sent + lasts // 2
        fails = any(begin <= moment < end for begin, end in down)
        samples.append(sample(k, sent * TICK, lasts * TICK, Outcome.REFUSED if fails else Outcome.OK))
    return samples


spans = st.lists(st.tuples(st.integers(30, 900), st.integers(1, 200)), max_size=3)


def disjoint(found: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans (begin, length) as (begin, end), those that touch made one."""
    merged: list[tuple[int, int]] = []
    for begin, length in sorted(found):
        if merged and begin <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], begin + length))
        else:
            merged.append((begin, begin + length))
    return merged


@settings(max_examples=150)
@given(
    st.tuples(st.integers(30, 900), st.integers(0, 400)),
    st.integers(2, 20),
    st.lists(st.integers(0, 25), min_size=1, max_size=7),
    st.frozensets(st.integers(3, 300), max_size=40),
)
def test_one_outage_lies_in_the_interval(
    outage: tuple[int, int], every: int, took: list[int], skipped: frozenset[int]
) -> None:
    """Whatever the rate, the latencies (requests overtake one another), and the samples that were missed, an outage of
    any length from nothing on lies within longest and total; it is never cut short by what was not seen."""
    begin, length = outage
    found = course(probed([(begin, begin + length)], 1500, every, took, skipped))
    assert found.longest.lo - 1e-9 <= length * TICK <= found.longest.hi + 1e-9
    assert found.total.lo - 1e-9 <= length * TICK <= found.total.hi + 1e-9


@settings(max_examples=100)
@given(spans, st.integers(2, 10))
def test_flaps_are_separate_windows(down: list[tuple[int, int]], every: int) -> None:
    """Each window that was seen is one outage, and the longest of them lies in `longest`."""
    truth = [span for span in disjoint(down) if span[1] - span[0] > every]
    gaps_seen = all(b[0] - a[1] > every for a, b in pairwise(truth))
    if not truth or not gaps_seen:
        return
    found = course(probed(truth, 1500, every, [0]))
    assert len(found.windows) == len(truth)
    for window, (begin, end) in zip(found.windows, truth, strict=True):
        assert begin * TICK in Interval(window.start.lo - 1e-9, window.start.hi + 1e-9)
        assert end * TICK in Interval(window.end.lo - 1e-9, window.end.hi + 1e-9)
        assert window.duration.width <= 2 * every * TICK + 1e-9
    longest = max(end - begin for begin, end in truth) * TICK
    assert found.longest.lo - 1e-9 <= longest <= found.longest.hi + 1e-9
    assert found.total.lo - 1e-9 <= sum(e - b for b, e in truth) * TICK <= found.total.hi + 1e-9


moments = st.tuples(st.integers(0, 60), st.integers(0, 30), st.booleans())


@settings(max_examples=60)
@given(st.lists(moments, min_size=1, max_size=14, unique_by=lambda drawn: drawn[0]))
def test_longest_is_what_no_success_contradicts(drawn: list[tuple[int, int, bool]]) -> None:
    """The upper end of `longest` is the longest outage that begins after a success was sent and contains none whole:
    compared with a walk over all pairs of moments."""
    samples = [sample(k, sent, took, Outcome.OK if ok else Outcome.TIMEOUT) for k, (sent, took, ok) in enumerate(drawn)]
    found = course(samples).longest
    good = [s for s in samples if s.ok]
    if not good:
        assert found.hi == math.inf
        return
    last, first = max(s.sent for s in good), min(s.sent for s in good)
    if any(not s.ok and (s.sent <= first or s.sent >= last) for s in samples):
        return  # open at an end: unbounded, see below
    best = 0.0
    for begin in {s.sent for s in good}:
        later = [s.done for s in good if s.sent > begin]
        best = max(best, min(later) - begin if later else 0.0)
    assert found.hi == pytest.approx(max(best, found.lo))


def test_the_formulas_of_a_window() -> None:
    """start in [s(last OK), d(first failure)], end in [s(last failure), d(first OK)], by hand."""
    found = course(
        [
            sample(0, 0.0, 0.02),
            sample(1, 0.1, 0.01, Outcome.REFUSED),
            sample(2, 0.2, 0.01, Outcome.REFUSED),
            sample(3, 0.3, 0.03),
        ]
    )
    (window,) = found.windows
    assert (window.start.lo, window.start.hi) == pytest.approx((0.0, 0.11))
    assert (window.end.lo, window.end.hi) == pytest.approx((0.2, 0.33))
    assert (window.duration.lo, window.duration.hi) == pytest.approx((0.09, 0.33))


def test_no_end_is_no_bound() -> None:
    """An outage that began before the first sample or did not end has no upper bound; no success is no bound either."""
    ok, bad = sample(1, 0.1, 0.01), sample(0, 0.0, 0.01, Outcome.RESET)
    late = sample(2, 0.2, 0.01, Outcome.TIMEOUT)
    assert course([bad, ok]).total.hi == course([ok, late]).longest.hi == course([bad, late]).longest.hi == math.inf
    assert course([]).longest == Interval(0, math.inf)
    assert course([sample(0, 0, 0.01), ok]).longest.hi == pytest.approx(0.11)


def steady(n: int, every: float = 0.1, start: float = 0.0, outcome: Outcome = Outcome.OK) -> list[Sample]:
    return [sample(round((start + i * every) / every), start + i * every, 0.01, outcome) for i in range(n)]


def test_recovery_counts_from_the_fault_to_the_last_failure_and_beyond() -> None:
    """[s(last failure) - inject_end, d(first OK after it) - inject_start]; a flap that follows belongs to the fault."""
    course_ = [*steady(10), *steady(10, start=1.0, outcome=Outcome.REFUSED), *steady(5, start=2.0)]
    course_ += [*steady(2, start=2.5, outcome=Outcome.REFUSED), *steady(20, start=2.7)]
    outage = Outage(course_, [Fault("kill", 0.95, 1.05)])
    assert outage.recovery is not None
    assert (outage.recovery.lo, outage.recovery.hi) == pytest.approx((2.6 - 1.05, 2.71 - 0.95))
    assert len(outage.windows) == 2


def test_recovery_that_is_not_for_good_has_no_bound() -> None:
    """Two successes after the last failure are no recovery yet."""
    outage = Outage([*steady(10), *steady(5, start=1.0, outcome=Outcome.REFUSED), *steady(2, start=1.5)])
    assert outage.recovery_of(Fault("kill", 0.95, 1.05)).hi == math.inf
    calm = Outage([*steady(30)], [Fault("nothing", 1.0, 1.1)])
    assert calm.recovery == Interval(0, 0)


def test_a_target_that_was_never_up_is_inconclusive() -> None:
    """No success: nothing could fail, whatever the objective."""
    outage = Outage(steady(50, outcome=Outcome.REFUSED))
    assert outage.verdict("downtime <= 1s, error_rate < 1%") is Verdict.INCONCLUSIVE
    assert "never answered" in outage.judgements("downtime <= 1s")[0].reason
    assert Outage([]).verdict("availability >= 99%") is Verdict.INCONCLUSIVE


def test_a_probe_that_died_passes_nothing() -> None:
    """What was seen to fail has failed; what was not seen is not passed."""
    calm = Outage(steady(500), broken="the probe's process died")
    assert calm.verdict("downtime <= 5s") is Verdict.INCONCLUSIVE
    assert calm.verdict("error_rate < 1%") is Verdict.INCONCLUSIVE
    bad = Outage([*steady(5), *steady(50, start=0.5, outcome=Outcome.REFUSED), *steady(5, start=5.5)], broken="died")
    assert bad.verdict("downtime <= 1s") is Verdict.FAILED


def test_rates_need_enough_requests() -> None:
    """Without an error, 100 requests do not show a rate below 0.1 %, nor a p99.9."""
    outage = Outage(steady(100))
    assert outage.verdict("error_rate < 0.1%") is Verdict.INCONCLUSIVE
    assert outage.verdict("availability >= 99.9%") is Verdict.INCONCLUSIVE
    assert outage.verdict("p99.9 < 1s") is Verdict.INCONCLUSIVE
    assert outage.verdict("error_rate <= 1%, p99 < 1s, availability >= 99%") is Verdict.PASSED
    assert outage.verdict("error_rate <= 0%") is Verdict.PASSED


def test_missed_samples_are_said_and_count_for_neither_side() -> None:
    """A few change no rate; many leave rates open; a gap of them widens the downtime that may have been."""
    missed = [Sample(k, k * 0.1, 0, 0, Outcome.MISSED) for k in range(50, 80)]
    outage = Outage([*steady(50), *missed, *steady(50, start=8.0)])
    assert outage.missed == 30
    assert outage.error_rate == Interval(0, 0)
    assert outage.verdict("error_rate <= 1%") is Verdict.INCONCLUSIVE
    assert outage.longest.hi == pytest.approx(8.01 - 4.9)
    assert outage.verdict("longest <= 2s") is Verdict.INCONCLUSIVE
    assert outage.verdict("longest <= 4s") is Verdict.PASSED


def test_latency_counts_failures_as_never_answered() -> None:
    """A quick refusal is no quick answer; the upper end counts from the moment that was due."""
    samples = [sample(k, k + 0.02, 0.1, scheduled=k) for k in range(98)]
    samples += [sample(k, k, 0.001, Outcome.REFUSED) for k in (98, 99)]
    outage = Outage(samples)
    found = outage.latency(0.98)
    assert (found.lo, found.hi) == pytest.approx((0.1, 0.12))
    assert outage.latency(0.99).lo == math.inf
    with pytest.raises(UsageError, match="between 0 and 1"):
        outage.latency(99)


def test_the_error_budget() -> None:
    """Two failures of a thousand are twice the budget of 99.9 %."""
    samples = [*steady(998), *steady(2, start=99.8, outcome=Outcome.ERROR)]
    used = Outage(samples, objective=Objective.parse("availability >= 99.9%")).budget_used
    assert used is not None
    assert used.lo == pytest.approx(2.0)
    assert Outage(samples, objective=Objective.parse("downtime <= 5s")).budget_used is None
    assert Outage(samples, objective=Objective.parse("error_rate <= 0%")).budget_used == Interval(1, math.inf)


def test_recovery_without_a_fault_is_refused() -> None:
    """There is nothing to recover from."""
    with pytest.raises(UsageError, match="needs a fault"):
        Outage(steady(50)).verdict("recovery <= 5s")
    with pytest.raises(UsageError, match="no objective"):
        Outage(steady(50)).verdict()


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 20)), max_size=8))
def test_the_length_of_a_union(drawn: list[tuple[int, int]]) -> None:
    """`covered` counts each unit once, compared with a set of units."""
    found = [(begin, begin + length) for begin, length in drawn]
    units = {unit for begin, end in found for unit in range(begin, end)}
    assert covered(found) == len(units)


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.01, 0.999))
def test_the_quantile_is_the_nearest_rank(values: list[float], share: float) -> None:
    """At least the share of the values do not exceed it, and it is one of them."""
    found = quantile(sorted(values), share)
    assert found in values
    assert sum(1 for v in values if v <= found) >= share * len(values) - 1e-6


bounds = st.tuples(st.integers(-50, 50), st.integers(0, 50)).map(lambda t: Interval(t[0], t[0] + t[1]))


@given(bounds, bounds, st.integers(1, 9), st.integers(-20, 20))
def test_interval_arithmetic_holds_every_pair(a: Interval, b: Interval, divisor: int, floor: int) -> None:
    """Sum and difference are exactly the hull of what all pairs of values give."""
    pairs = [(x, y) for x in range(int(a.lo), int(a.hi) + 1) for y in range(int(b.lo), int(b.hi) + 1)]
    assert (a + b).lo == min(x + y for x, y in pairs)
    assert (a + b).hi == max(x + y for x, y in pairs)
    assert (a - b).lo == min(x - y for x, y in pairs)
    assert (a - b).hi == max(x - y for x, y in pairs)
    assert all(x / divisor in a / divisor for x, _ in pairs)
    assert all(max(x, floor) in a.at_least(floor) for x, _ in pairs)


@pytest.mark.parametrize(("lo", "hi"), [(1.0, 0.0), (math.nan, 1.0), (0.0, math.nan)])
def test_no_interval_is_backwards(lo: float, hi: float) -> None:
    """Neither are there intervals of what is not a number."""
    with pytest.raises(ValueError, match="no interval"):
        Interval(lo, hi)
