"""etcd from outside: each member by itself, what they think of each other, and the room that is left. Only reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_k8sha.errors import K8shaError
from pytest_k8sha.workloads.model import Seen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_k8sha.kube.etcd import Etcd, Member, Status

VOTERS = 3
"""The fewest voting members of which one may be lost (https://etcd.io/docs/v3.6/faq/#what-is-failure-tolerance)."""

FULL = 0.8
"""The share of its quota from which a store counts as nearly full. At all of it etcd raises NOSPACE, and nothing can be
written until somebody compacts, defragments and disarms (https://etcd.io/docs/v3.6/op-guide/maintenance/#space-quota);
etcd's own mixin alerts at 80 % in one of its rules and 95 % in the other."""

_MIB = 2**20


@dataclass
class Look:
    """What one member said, or why it said nothing."""

    place: int
    url: str
    status: Status | None = None
    members: list[Member] = field(default_factory=list)
    alarms: list[tuple[str, str]] = field(default_factory=list)
    problem: str = ""

    def __str__(self) -> str:
        return f"etcd member {self.place} at {self.url.removeprefix('https://')}"


def look(etcd: Etcd) -> list[Look]:
    """Each member asked by itself: its status, its list of members, the alarms, and a read by quorum."""
    found = []
    for place, url in enumerate(etcd.urls):
        one = Look(place, url)
        try:
            one.status = etcd.status(place)
            one.members = etcd.members(place)
            one.alarms = etcd.alarms(place)
            etcd.healthy(place)
        except K8shaError as error:
            one.problem = str(error)
        found.append(one)
    return found


def answered(found: list[Look]) -> bool:
    """Whether any member told its status. If none did, it is this machine that cannot ask."""
    return any(one.status for one in found)


def judge_members(found: list[Look]) -> Iterator[Seen]:
    """Each member answers, reads by a quorum, votes, and is of one mind with the others about leader and members."""
    rule = "each member of etcd answers, votes, and names the same leader and the same members as the others"
    leaders = {one.status.leader for one in found if one.status}
    lists = {frozenset(m.id for m in one.members) for one in found if one.members}
    known = {m.id: m for one in found for m in one.members}
    for one in found:
        wrong = [one.problem] if one.problem else []
        if one.status:
            wrong += [f"it reports: {text}" for text in one.status.errors]
            if one.status.leader == "0":
                wrong.append("it knows of no leader")
            elif len(leaders) > 1:
                wrong.append(
                    f"it follows {one.status.leader}, and others {', '.join(sorted(leaders - {one.status.leader}))}"
                )
            if len(lists) > 1:
                wrong.append(f"its list of members is another one: {', '.join(m.name or m.id for m in one.members)}")
        yield Seen(
            str(one),
            ok=not wrong,
            seen="; ".join(wrong) or _said(one),
            rule=rule,
            remedy="read the log of that etcd; compare `etcdctl endpoint status --cluster` with `etcdctl member list`",
        )
    asked = {one.status.member for one in found if one.status}
    for member in known.values():
        if member.id not in asked and all(one.status for one in found):
            what = (
                "it never started" if not member.name else f"nobody answers for {', '.join(member.client_urls) or 'it'}"
            )
            yield Seen(
                f"etcd member {member.name or member.id}",
                ok=False,
                seen=f"it is in the list of members{' as a learner' if member.learner else ''}, and {what}",
                rule=rule,
                remedy=f"start it, or take it out: etcdctl member remove {member.id}",
            )


def _said(one: Look) -> str:
    status = one.status
    assert status is not None  # noqa: S101 - one without is wrong
    role = "leads" if status.leader == status.member else "learns" if status.learner else "follows"
    return f"{status.version}, {role} in term {status.term}, index {status.index}"


def judge_voters(found: list[Look]) -> Iterator[Seen]:
    """Three voting members or more, and an odd number: a learner votes for nothing, an even one adds no tolerance."""
    members = {m.id: m for one in found for m in one.members}
    voters = sorted(m.name or m.id for m in members.values() if not m.learner)
    learners = sorted(m.name or m.id for m in members.values() if m.learner)
    lost = (len(voters) - 1) // 2
    said = f"{len(voters)} voting: {', '.join(voters)}"
    if learners:
        said += f"; {len(learners)} learning, who counts for no quorum: {', '.join(learners)}"
    even = len(voters) % 2 == 0
    yield Seen(
        "etcd",
        ok=len(voters) >= VOTERS and not even,
        seen=f"{said}; {lost} may be lost" + (", no more than with one member less" if even else ""),
        rule=f"{VOTERS} voting members or more, an odd number, so that one may be lost",
        remedy="promote the learner (etcdctl member promote) or add a member, until there are 3 or 5 that vote",
    )


def judge_space(found: list[Look]) -> Iterator[Seen]:
    """No alarm is raised, and each store is below `FULL` of its quota. Without a quota of its own etcd tells 2 GiB."""
    raised = {(member, alarm) for one in found for member, alarm in one.alarms}
    for one in found:
        if one.status is None:
            yield Seen(str(one), None, f"it does not answer (see AVL-ETC-001): {one.problem}")
            continue
        status = one.status
        quota = status.quota or 2 * 2**30
        wrong = [f"the alarm {alarm} is raised" for member, alarm in sorted(raised) if member == status.member]
        share = status.size / quota
        said = f"{status.size / _MIB:.1f} of {quota / _MIB:.0f} MiB ({share:.0%}), {status.in_use / _MIB:.1f} in use"
        if share >= FULL:
            wrong.append(f"{said}: above {FULL:.0%}")
        yield Seen(
            str(one),
            ok=not wrong,
            seen="; ".join(wrong) or said,
            rule=f"no alarm is raised and less than {FULL:.0%} of the quota is used",
            remedy="etcdctl compact REVISION, then etcdctl defrag --cluster, then etcdctl alarm disarm; find what "
            "fills it (apiserver_storage_objects), and raise --quota-backend-bytes up to 8 GiB",
        )
