"""Rules over durations: those that do not parse, never end, or have no effect."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha.chaos.lint import values
from pytest_k8sha.chaos.lint.convert import replaced
from pytest_k8sha.chaos.lint.finding import Rule
from pytest_k8sha.chaos.lint.structure import short
from pytest_k8sha.chaos.lint.subject import ONE_SHOT

if TYPE_CHECKING:
    from pytest_k8sha.chaos.lint.finding import Report
    from pytest_k8sha.chaos.lint.subject import Subject
    from pytest_k8sha.chaos.lint.tree import Node

DURATION = Rule(
    "CHL-301",
    "error",
    "A duration that does not parse",
    "Durations are Go durations: numbers with ns, us, ms, s, m or h, such as 1m30s. There is no day, and no number "
    "without a unit. The webhook refuses any other.",
    "write a Go duration, such as 90s or 24h",
)
FOREVER = Rule(
    "CHL-302",
    "error",
    "A duration that never ends: TimeChaos",
    "TimeChaos has no validator for duration. One that does not parse is admitted, and the experiment never expires.",
    "write a Go duration, such as 90s or 24h",
)
ABSENT = Rule(
    "CHL-303",
    "warning",
    "An experiment without duration",
    "It lasts until somebody deletes it, also when whoever started it has died.",
    "write duration",
)
POD_FAILURE = Rule(
    "CHL-304",
    "error",
    "pod-failure without duration",
    "It is admitted and lasts for ever: the pod keeps its broken image until the object is deleted.",
    "write duration, such as 30s",
)
UNUSED = Rule(
    "CHL-305",
    "warning",
    "A duration that has no effect",
    "pod-kill and container-kill happen once; there is nothing that a duration could end.",
    "remove duration",
)
NOT_POSITIVE = Rule(
    "CHL-306",
    "error",
    "A duration of zero or less",
    "The experiment is over before it begins, or the field counts as absent.",
    "write a duration above zero",
)
ONE_UNIT = Rule(
    "CHL-307",
    "error",
    "A latency with more than one unit",
    "latency and jitter of NetworkChaos take one number and one unit, without a sign: 1m30s and 0 are refused.",
    "write one unit, such as 90s or 0ms",
    fix="writes the same time in one unit",
)
LONG = Rule(
    "CHL-308",
    "warning",
    "A duration longer than a day",
    "Such an experiment outlives the people and the run that started it.",
    "write a shorter duration, or a Schedule",
)
EMPTY = Rule(
    "CHL-309",
    "error",
    "A duration that is an empty text",
    "It is admitted, counts as absent, and the experiment never expires.",
    "write a duration",
)


def check(subject: Subject) -> None:
    """The duration of an experiment."""
    report, spec = subject.report, subject.spec
    node = spec.get("duration")
    if subject.host == "Workflow":
        return  # it must have none there; the rules of Workflow say so
    once = subject.kind == "PodChaos" and subject.action in ONE_SHOT
    if node is None:
        if subject.kind == "PodChaos" and subject.action == "pod-failure":
            report.add(POD_FAILURE, spec.get("action"), "without duration it lasts until it is deleted")
        elif not once:
            said = "it lasts until it is deleted"
            if subject.host == "Schedule":
                said = "each run lasts until it is deleted, and with Forbid there is no second one"
            report.add(ABSENT, spec, said, key=True)
        return
    if once:
        report.add(UNUSED, node, f"{subject.action} happens once", key=True)
        return
    if node.value == "":
        report.add(EMPTY, node, "an empty duration counts as none: the experiment never expires")
        return
    if isinstance(node.value, str):
        rule = FOREVER if subject.kind == "TimeChaos" else DURATION
        length = parsed(report, node, rule)
        if length is not None and length <= 0:
            report.add(NOT_POSITIVE, node, f"{node.value!r} is over at once")
        elif length is not None and length > values.DAY:
            report.add(LONG, node, f"{node.value!r} is longer than a day")


def parsed(report: Report, node: Node | None, rule: Rule = DURATION) -> int | None:
    """Nanoseconds of a duration; None where there is none, and a finding where it does not parse."""
    if node is None or not isinstance(node.value, str):
        return None
    length = values.duration(node.value)
    if length is None:
        why = ""
        if values.number(node.value) is not None:
            why = "; it has no unit"
        elif node.value[-1:] in {"d", "w"} and values.number(node.value[:-1]) is not None:
            why = "; the longest unit is h"
        elif " " in node.value:
            why = "; it must have no space"
        report.add(rule, node, f"{short(node.value)!r} is no Go duration{why}")
    return length


def single(report: Report, node: Node | None) -> int | None:
    """Nanoseconds of a duration that must have one unit; a finding where it has more or does not parse."""
    if node is None or not isinstance(node.value, str):
        return None
    length = parsed(report, node)
    if length is not None and not values.one_unit(node.value):
        edits = replaced(node, f'"{values.in_one_unit(length)}"') if length >= 0 else ()
        report.add(ONE_UNIT, node, f"{node.value!r} has not exactly one number and one unit", edits=edits)
    return length
