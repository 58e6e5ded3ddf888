"""Which way shows the time of a single policy: one that turns when that policy alone is taken away."""

from __future__ import annotations

from pytest_k8sha.tenancy.network.settle import Enforced
from pytest_k8sha.tenancy.network.survey import Rules
from pytest_k8sha.tenancy.network.table import Expected, Listener, Outcome, Seen, Table, cells
from pytest_k8sha.tenancy.network.timing import Timed, turning
from tests.unit.network_worlds import CACHE, DENY, NODE1, NODE2, OTHER, WEB, policy

NODES = [NODE1, NODE2]
WAYS = cells([CACHE, OTHER], [Listener(WEB, (("TCP", 8080), ("UDP", 8080)))])
ALLOW = policy(name="allow", podSelector={}, ingress=[{"from": [{"podSelector": {}}]}], egress=[{}])


def table(rules: Rules, *, works: bool = True) -> Table:
    lifted = {cell: Seen(Outcome.OPEN if works else Outcome.BLOCKED) for cell in WAYS}
    return Table(rules.promises(WAYS, NODES), {}, lifted)


def test_an_allowance_opens_a_way_of_its_own() -> None:
    """Beside a default deny the way between a tenant's pods depends on the policy that allows it; UDP comes first."""
    rules = Rules([DENY, ALLOW])
    found = turning(table(rules), rules, NODES, ALLOW)
    assert found
    way, towards = found
    assert (way.source, way.protocol, towards) == (CACHE, "UDP", Expected.OPEN)


def test_a_default_deny_beside_others_decides_nothing_alone() -> None:
    """What another policy isolates as well stays isolated; alone, the same policy closes a way."""
    rules = Rules([DENY, ALLOW])
    assert turning(table(rules), rules, NODES, DENY) is None
    alone = Rules([DENY])
    found = turning(table(alone), alone, NODES, DENY)
    assert found
    assert found[1] is Expected.BLOCKED


def test_a_way_that_never_works_shows_nothing() -> None:
    """Silence on a way that is silent with the policies lifted has no time."""
    rules = Rules([DENY])
    assert turning(table(rules, works=False), rules, NODES, DENY) is None


def test_what_was_not_followed_is_late() -> None:
    """A change without an upper bound is told with the way and what it should have become; rows hold both changes."""
    timed = Timed("acme/p", WAYS[0], Expected.BLOCKED, Enforced(9.5, None, 99), Enforced(0.0, 0.1, 5))
    (late,) = timed.late
    assert "not within 9.5 s" in late
    assert "was not blocked" in late
    rows = timed.rows()
    assert [(row["change"], row["until it is"], row["after at most (s)"]) for row in rows] == [
        ("written", "blocked", None),
        ("removed", "open", 0.1),
    ]
    assert Timed("acme/p", WAYS[0], Expected.OPEN, Enforced(0, 1, 5), Enforced(0, 1, 5)).late == []
