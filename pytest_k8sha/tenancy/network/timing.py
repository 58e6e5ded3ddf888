"""How long the network takes to do what a single policy says: each policy of a tenant is taken away and written again,
while a way that depends on it alone is watched. The tenants are the run's own, and so are their policies."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import RequestError
from pytest_k8sha.tenancy.network import policy as written
from pytest_k8sha.tenancy.network.agent import Agent
from pytest_k8sha.tenancy.network.ground import CONTROL
from pytest_k8sha.tenancy.network.places import UDP, Pod
from pytest_k8sha.tenancy.network.settle import CONVERGENCE, stopwatch
from pytest_k8sha.tenancy.network.survey import Rules
from pytest_k8sha.tenancy.network.table import Ask, Expected, Route

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.tenancy.network.places import Address
    from pytest_k8sha.tenancy.network.policy import Policy
    from pytest_k8sha.tenancy.network.settle import Enforced
    from pytest_k8sha.tenancy.network.survey import Survey
    from pytest_k8sha.tenancy.network.table import Cell, Table

MOST = 8
"""So many policies of one tenant are timed; the others are named."""


@dataclass(frozen=True)
class Timed:
    """One policy. ``way`` depends on it alone; ``towards`` is what the policy makes of it. ``problem`` says why a time
    could not be taken."""

    policy: str
    way: Cell
    towards: Expected
    written: Enforced | None = None
    removed: Enforced | None = None
    problem: str = ""

    @property
    def late(self) -> list[str]:
        """The changes that the network did not follow in the time that it was watched."""
        return [
            f"{change}: {time}, and {self.way} was not {towards}"
            for change, time, towards in (
                ("removed", self.removed, _other(self.towards)),
                ("written", self.written, self.towards),
            )
            if time and time.hi is None
        ]

    def rows(self) -> list[dict[str, Any]]:
        pairs = (("written", self.written), ("removed", self.removed))
        return [
            {
                "policy": self.policy,
                "change": change,
                "way": str(self.way),
                "until it is": str(self.towards if change == "written" else _other(self.towards)),
                "after at least (s)": round(found.lo, 3),
                "after at most (s)": None if found.hi is None else round(found.hi, 3),
            }
            for change, found in pairs
            if found
        ]


def judge_times(judge: Judge, survey: Survey) -> None:
    """Every policy that decides something by itself is enforced in time when it is written, and no longer when it is
    gone; each time is a measure."""
    with ThreadPoolExecutor(max(1, len(survey.owner))) as pool:
        found = [one for part in pool.map(lambda space: _tenant(judge, survey, space), survey.owner) for one in part]
    for one in found:
        if one.problem:
            judge.unsure(f"policy {one.policy}", one.problem)
            continue
        judge.that(not one.late, f"policy {one.policy}", seen="; ".join(one.late) or f"enforced after {one.written}")
        for change, time in (("enforce", one.written), ("give up", one.removed)):
            if time and time.hi is not None:
                judge.measure(f"time to {change} {one.policy}", round(time.hi, 3), "s", time.lo, time.hi)
    judge.table("time to enforce", [row for one in found for row in one.rows()])


def _tenant(judge: Judge, survey: Survey, namespace: str) -> list[Timed]:
    """The policies of one tenant one after the other, for each is watched with all the others in force."""
    mine = [policy for policy in survey.rules.policies if policy.namespace == namespace]
    found: list[Timed] = []
    for number, policy in enumerate(sorted(mine, key=str)):
        if number >= MOST:
            judge.skip(f"policy {policy}", f"only {MOST} policies of a tenant are timed")
            continue
        pivot = turning(survey.table, survey.rules, survey.every_node, policy)
        if pivot is None:
            judge.skip(f"policy {policy}", "no way that was looked at depends on it alone")
        elif any(one.late for one in found):
            judge.skip(f"policy {policy}", "not timed, since another of the tenant's was not enforced in time")
        else:
            found.append(_time(survey, policy, *pivot))
    return found


def turning(table: Table, rules: Rules, nodes: Sequence[Address], policy: Policy) -> tuple[Cell, Expected] | None:
    """A way that was seen as the policies say, and that would turn without this one; and what this one makes of it. One
    packet without an answer is best, so UDP is asked for first."""
    without = Rules([p for p in rules.policies if p is not policy], rules.admin)
    ways = [
        cell
        for cell in table
        if (cell.route is Route.POD_IP and cell.ask is Ask.ECHO) or cell.ask is Ask.DNS
        if policy.namespace in {place.namespace.name for place in (cell.source, cell.target) if isinstance(place, Pod)}
    ]
    for cell in sorted(ways, key=lambda c: (c.protocol != UDP, c.placement != "other node")):
        promise = table.promises[cell].expected
        if promise is Expected.UNDEFINED or table.works(cell) is not True:
            continue
        if without.promises([cell], nodes)[cell].expected is _other(promise):
            return cell, promise
    return None


def _time(survey: Survey, policy: Policy, way: Cell, towards: Expected) -> Timed:
    policies = survey.ground.cluster.resource(written.API_VERSION, "NetworkPolicy")
    agent = Agent(survey.ground.cluster.client, way.source, CONTROL)
    try:
        body = _again(policies.get(policy.name, policy.namespace))
        try:
            gone = _watch(agent, way, lambda: policies.delete(policy.name, policy.namespace), _other(towards))
        finally:
            back = _watch(agent, way, lambda: policies.create(body, policy.namespace), towards)
    except RequestError as error:
        return Timed(str(policy), way, towards, problem=f"the change could not be watched: {error}")
    return Timed(str(policy), way, towards, back, gone)


def _watch(agent: Agent, way: Cell, change: Callable[[], object], towards: Expected) -> Enforced:
    return stopwatch(agent, way, change, towards=towards, longest=CONVERGENCE)


def _again(obj: dict[str, Any]) -> dict[str, Any]:
    """The object as it can be written once more."""
    meta = {key: obj["metadata"][key] for key in ("name", "labels", "annotations") if key in obj["metadata"]}
    return {"metadata": meta, "spec": obj["spec"]}


def _other(expected: Expected) -> Expected:
    return Expected.BLOCKED if expected is Expected.OPEN else Expected.OPEN
