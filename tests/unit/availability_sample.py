"""A record of the availability suite whose probes saw services of known course, for the report's tests.

``python -m tests.unit.availability_sample FOLDER`` writes it, an earlier one, and the report that compares them.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.probes import timeline
from pytest_k8sha.probes.objective import Objective
from pytest_k8sha.probes.outage import Fault, Outage
from pytest_k8sha.probes.sample import Outcome, Sample
from pytest_k8sha.probes.target import Target
from pytest_k8sha.record.chain import Record


@dataclass
class Course:
    """A service that is down in the spans ``down`` (seconds), as a probe of ``rate`` a second sees it."""

    subject: str
    objective: str
    seconds: float
    down: tuple[tuple[float, float, Outcome], ...] = ()
    faults: tuple[Fault, ...] = ()
    rate: float = 20.0
    latency: float = 0.02
    sleeps: tuple[float, float] | None = None
    """When the probe's own machine slept."""

    def samples(self) -> list[Sample]:
        chance = Random(self.subject)  # noqa: S311 - a course that is the same each time
        found = []
        for k in range(int(self.seconds * self.rate)):
            due = k / self.rate
            if self.sleeps and self.sleeps[0] <= due < self.sleeps[1]:
                found.append(Sample(k, due, 0, 0, Outcome.MISSED, detail="12.0 ms late"))
                continue
            sent = due + 0.0004
            bad = next((kind for begin, end, kind in self.down if begin <= sent < end), None)
            after = min((sent - end for _, end, _ in self.down if sent >= end), default=99.0)
            took = self.latency * (1 + chance.random() + 6 * max(0.0, 1 - after))
            if bad is not None:
                took = 1.0 if bad is Outcome.TIMEOUT else 0.001
            instance = f"web-{k % 3}"
            found.append(Sample(k, due, sent, sent + took, bad or Outcome.OK, "0" * 12, instance if not bad else ""))
        return found


COURSES = {
    "AVL-SVC-001": Course(
        "Service shop/web",
        "downtime <= 5s, recovery <= 10s, p99 < 300ms",
        40,
        down=((8.1, 9.6, Outcome.REFUSED),),
        faults=(Fault("one pod of web is killed", 8.0, 8.05, 8.6),),
    ),
    "AVL-SVC-002": Course(
        "Service shop/cart",
        "downtime <= 5s, error_rate < 1%",
        60,
        down=((11.0, 24.5, Outcome.TIMEOUT), (26.0, 26.4, Outcome.RESET)),
        faults=(Fault("node west-node-2 is stopped", 10.0, 10.4, 40.0), Fault("a late reboot", 40.0, 40.2)),
    ),
    "AVL-CTL-003": Course(
        "writes to the API",
        "longest <= 1s",
        30,
        down=((9.2, 9.9, Outcome.ERROR),),
        faults=(Fault("the etcd leader is killed", 9.0, 9.02, 12.0),),
        sleeps=(9.8, 10.9),
    ),
    "AVL-SVC-003": Course("Service shop/search", "error_rate <= 0%", 15, rate=50),
}  # fmt: skip


@dataclass
class Probe:
    """What `timeline` needs of a probe."""

    target: Target
    rate: float
    timeout: float
    objective: Objective
    started: str = "2026-03-02T08:00:00.000+00:00"
    path: Path | None = Path("samples/probe-0f3a.jsonl")
    digest: str = "3f" * 32


def judged(course: Course) -> Judge:
    """What a check makes of a course."""
    objective = Objective.parse(course.objective)
    probe = Probe(Target("http://203.0.113.7:8080/"), course.rate, 1.0, objective)
    judge = Judge(rule="the service stays up")
    outage = Outage(course.samples(), course.faults, objective)
    timeline.judge(probe, outage, judge, course.subject)  # type: ignore[arg-type]
    return judge


def result(check: str, course: Course, n: int) -> dict[str, Any]:
    """The data of one result line, as the plugin writes it."""
    judge = judged(course)
    verdict, reason = judge.conclude()
    return {
        "check": check,
        "title": f"{course.subject} stays up",
        "suite": "availability",
        "severity": "high",
        "impact": "disrupt",
        "controls": ["SOC2:A1.2"],
        "why": "Users notice.",
        "remedy": "Add replicas and a preStop.",
        "cluster": "west",
        "nodeid": f"suites/availability/test_x.py::test_{n}[west]",
        "verdict": str(verdict),
        "reason": reason,
        "duration": course.seconds,
        "started": f"2026-03-02T08:{n:02d}:00.000+00:00",
        "findings": [finding.as_dict() for finding in judge.findings],
        "subjects": dict(judge.count()),
        "measures": {measure.name: measure.as_dict() for measure in judge.measures},
        "timelines": judge.timelines,
    }


def write(path: Path, courses: dict[str, Course], run: str) -> Path:
    """A record with one result for each course."""
    with Record(path) as record:
        record.append("run.start", {"run": run, "owner": "ci", "argv": ["k8sha", "run"], "clusters": ["west"]})
        for n, (check, course) in enumerate(courses.items()):
            record.append("result", result(check, course, n))
        record.append("run.end", {"exitstatus": 1, "duration": 150.0, "interrupted": False})
    return path


def earlier() -> dict[str, Course]:
    """The run before: cart was down for less, search made an error, and a check existed that is gone."""
    cart, search = COURSES["AVL-SVC-002"], COURSES["AVL-SVC-003"]
    better = Course(**{**vars(cart), "down": ((11.0, 13.0, Outcome.TIMEOUT),)})
    worse = Course(**{**vars(search), "down": ((5.0, 5.5, Outcome.RESET),)})
    return {**COURSES, "AVL-SVC-002": better, "AVL-SVC-003": worse, "AVL-OLD-001": COURSES["AVL-SVC-001"]}


if __name__ == "__main__":
    from pytest_k8sha.reports import make

    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("record.jsonl", "earlier.jsonl"):
        (folder / name).unlink(missing_ok=True)
    before = write(folder / "earlier.jsonl", earlier(), "r-earlier")
    made = make([write(folder / "record.jsonl", COURSES, "r-now")], folder, earlier=[before])
    sys.stdout.write(f"{made}\n")
