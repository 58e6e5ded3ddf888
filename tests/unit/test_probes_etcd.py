"""What is made of the answers of etcd's members, of certificates, and of goals."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.errors import UsageError
from pytest_k8sha.kube.etcd import Member, Status
from pytest_k8sha.model import Verdict
from pytest_k8sha.probes import certificates, etcd, goals
from pytest_k8sha.probes.listening import Answer, Certificate
from pytest_k8sha.providers.base import Listener

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def three(*, learners: int = 0, count: int = 3) -> list[etcd.Look]:
    """Members that agree; the last ``learners`` only learn."""
    members = [
        Member(f"{n + 1:x}", f"member-{n}", n >= count - learners, (f"https://c{n}",), (f"https://p{n}",))
        for n in range(count)
    ]
    return [
        etcd.Look(
            n,
            f"https://c{n}",
            Status(f"{n + 1:x}", "1", "3.6.1", 2, 9, 10 * 2**20, 2**20, 100 * 2**20, members[n].learner, ()),
            list(members),
        )
        for n in range(count)
    ]


def bad(found: list[etcd.Look], judge: object) -> list[str]:
    return [f"{one.subject}: {one.seen}" for one in judge(found) if one.ok is False]  # type: ignore[operator]


def test_three_that_agree_are_well() -> None:
    """Three voting members of one mind, with room, keep all three rules."""
    assert bad(three(), etcd.judge_members) == []
    assert bad(three(), etcd.judge_voters) == []
    assert bad(three(), etcd.judge_space) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"leader": "0"}, "it knows of no leader"),
        ({"leader": "2"}, "it follows 2, and others 1"),
        ({"errors": ("etcdserver: mvcc: database space exceeded",)}, "it reports: etcdserver: mvcc"),
    ],
)
def test_one_that_disagrees_is_named(change: dict[str, object], said: str) -> None:
    """A member without a leader, with another one, or with errors breaks the rule."""
    found = three()
    found[2].status = replace(found[2].status, **change)  # type: ignore[type-var]
    assert any("etcd member 2" in text and said in text for text in bad(found, etcd.judge_members))


def test_silence_and_another_list_are_told() -> None:
    """A member that does not answer, and one that knows other members, are named."""
    found = three()
    found[1] = etcd.Look(1, "https://c1", problem="refused")
    found[2].members = found[2].members[:2]
    told = bad(found, etcd.judge_members)
    assert any("etcd member 1" in text and "refused" in text for text in told)
    assert any("its list of members is another one" in text for text in told)


def test_a_member_that_nobody_answers_for() -> None:
    """A learner that never started is in the list and nowhere else."""
    found = three(count=2)
    for one in found:
        one.members.append(Member("ff", "", True, (), ("https://p9",)))
    assert bad(found, etcd.judge_members) == [
        "etcd member ff: it is in the list of members as a learner, and it never started"
    ]


@pytest.mark.parametrize(
    ("count", "learners", "ok"),
    [(1, 0, False), (2, 0, False), (3, 0, True), (3, 1, False), (4, 0, False), (5, 0, True)],
)
def test_learners_and_even_numbers_do_not_count(count: int, learners: int, ok: bool) -> None:
    """Three or five that vote; a learner is none, and a fourth adds no tolerance."""
    assert (bad(three(count=count, learners=learners), etcd.judge_voters) == []) is ok


def test_an_alarm_and_a_nearly_full_store() -> None:
    """An alarm is told of the member that raised it, and 80 % of the quota is too much."""
    found = three()
    found[0].alarms = [("2", "NOSPACE")]
    found[2].status = replace(found[2].status, size=80 * 2**20)  # type: ignore[type-var]
    told = bad(found, etcd.judge_space)
    assert [text.partition(" at ")[0] for text in told] == ["etcd member 1", "etcd member 2"]
    assert "NOSPACE" in told[0]
    assert "above 80%" in told[1]


def certificate(begins: timedelta, ends: timedelta) -> Answer:
    listener = Listener("etcd", 1, "127.0.0.1", 2379)
    return Answer(listener, Certificate("CN=etcd", NOW + begins, NOW + ends, 7))


@pytest.mark.parametrize(
    ("begins", "ends", "verdict"),
    [(-1, 30, "passed"), (-1, 29.99, "failed"), (-400, -1, "failed"), (1, 400, "failed")],
)
def test_a_certificate_is_valid_for_long_enough(begins: float, ends: float, verdict: str) -> None:
    """Thirty days are enough, a moment less is not; neither is one that has expired or is not valid yet."""
    judge = Judge()
    answer = certificate(timedelta(days=begins), timedelta(days=ends))
    certificates.judge(judge, [answer], NOW.timestamp(), goals.seconds("30d"))
    assert [str(finding.verdict) for finding in judge.findings] == [verdict]


def test_a_program_that_does_not_answer_leaves_it_open() -> None:
    """No handshake is no pass; only a kubelet that this machine does not reach is passed over."""
    judge = Judge()
    answers = [
        Answer(Listener("etcd", 0, "127.0.0.1", 1), problem="refused"),
        Answer(Listener("kubelet", -1, "10.0.0.1", 10250, node="a"), problem="no answer within 2 s"),
    ]
    certificates.judge(judge, answers, NOW.timestamp(), 1.0)
    assert judge.conclude()[0] is Verdict.INCONCLUSIVE
    assert [str(f.verdict) for f in judge.findings] == ["inconclusive", "not evaluated"]


@given(st.integers(0, 10**6), st.sampled_from(sorted(goals.UNITS)))
def test_a_time_is_read_with_its_unit(number: int, unit: str) -> None:
    """A number with a unit is so many of them; the same number without one is refused."""
    assert goals.seconds(f"{number}{unit}") == number * goals.UNITS[unit]
    with pytest.raises(UsageError, match="has no unit"):
        goals.seconds(str(number))


def test_goals_are_named() -> None:
    """What is given takes the place of a default; an unknown name is told with those that there are."""
    found = goals.read(["election=3s", "certificate = 60d"])
    assert (found["election"], found["certificate"]) == (3.0, 60 * 86400.0)
    assert found["takeover"] == 25.0
    for wrong in ("elections=3s", "election"):
        with pytest.raises(UsageError, match="allowed: "):
            goals.read([wrong])
