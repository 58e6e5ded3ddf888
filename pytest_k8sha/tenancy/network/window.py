"""The first moments of a pod, judged: policies exist, a new pod starts, and dials or is dialled before anything else.

The API promises that a new pod is isolated before it starts, and that what is allowed may come later
(https://kubernetes.io/docs/concepts/services-networking/network-policies/#pod-lifecycle).
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pytest_k8sha.tenancy.network.ground import CONTROL, LABEL
from pytest_k8sha.tenancy.network.newcomer import arrive, leave
from pytest_k8sha.tenancy.network.settle import settle
from pytest_k8sha.tenancy.network.survey import Rules, lift, unlift
from pytest_k8sha.tenancy.network.table import Ask, Listener, cells

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.tenancy.network.newcomer import Attempt, Pairs
    from pytest_k8sha.tenancy.network.survey import Survey

REPEATS = 2
"""So many new pods dial from each node; one is dialled."""


def judge_window(judge: Judge, survey: Survey) -> None:
    """New pods of a tenant and the pods of its neighbours do not reach each other: both ends have policies."""
    pairs = [(mine, other) for mine in survey.owner for other in survey.owner if mine != other]
    _judge(judge, survey, leaving=pairs, coming=pairs)


def judge_alone(judge: Judge, survey: Survey) -> None:
    """The same towards and from pods that have no policy, so that the new pod's own isolation is all there is."""
    leaving = [(mine, survey.outside) for mine in survey.owner]
    _judge(judge, survey, leaving=leaving, coming=[(survey.outside, mine) for mine in survey.owner])


def _judge(judge: Judge, survey: Survey, *, leaving: Pairs, coming: Pairs) -> None:
    """Each way twice: with the policies lifted, which is the control, and with the policies in force."""
    ground, cluster = survey.ground, survey.ground.cluster
    delays = {t.namespace: t.expects.start_delay for t in survey.tenants}

    def attempts(labels: Mapping[str, str], repeats: int) -> list[Attempt]:
        with ThreadPoolExecutor(2) as pool:
            out = pool.submit(leave, cluster, ground, leaving, labels, delays, repeats=repeats)
            into = pool.submit(arrive, cluster, ground, coming, labels, delays)
            return out.result() + into.result()

    lift(cluster, survey.owner, ground.mark)
    try:
        _await_lifted(survey, [*leaving, *coming])
        control = attempts({LABEL: ground.mark}, 1)
    finally:
        unlift(cluster, survey.owner)
    quick = {cell: promise for cell, promise in survey.table.promises.items() if cell.ask is not Ask.SLOW}
    settle(ground.eyes(), quick, lifted=survey.lifted.table.seen)
    works = {attempt.way for attempt in control if attempt.through}
    for attempt in attempts({}, REPEATS):
        if attempt.through:
            judge.bad(attempt.subject, seen=f"got through in its first moments: {attempt.detail}")
        elif attempt.through is None:
            judge.unsure(attempt.subject, attempt.detail)
        elif attempt.way not in works:
            judge.unsure(attempt.subject, "a new pod does not get through with the policies lifted either")
        else:
            judge.ok(attempt.subject, f"did not get through: {attempt.detail}")


def _await_lifted(survey: Survey, pairs: Pairs) -> None:
    ground = survey.ground
    ways = [
        cell
        for mine, other in pairs
        for cell in cells(ground.pods[mine], [Listener(p, (("TCP", CONTROL),)) for p in ground.pods[other]])
    ]
    rules = Rules.of(ground.cluster)
    settle(ground.eyes(), rules.promises(ways, survey.every_node))
