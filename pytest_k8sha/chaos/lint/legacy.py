"""Manifests of Chaos Mesh 1.x, which 2.x reads and does not mean: each field with the way that 2.x writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha.chaos.lint.convert import Edits, removed, renamed, replaced, to_schedule, wrapped
from pytest_k8sha.chaos.lint.finding import Rule

if TYPE_CHECKING:
    from pytest_k8sha.chaos.lint.finding import Report
    from pytest_k8sha.chaos.lint.subject import Subject
    from pytest_k8sha.chaos.lint.tree import Node

GROUP = Rule(
    "CHL-101",
    "error",
    "The group pingcap.com of versions before 1.0",
    "Chaos Mesh has had the group chaos-mesh.org since 1.0; an object of the old group is refused.",
    "write apiVersion: chaos-mesh.org/v1alpha1",
    fix="writes chaos-mesh.org/v1alpha1",
)
SCHEDULER = Rule(
    "CHL-102",
    "error",
    "scheduler.cron of 1.x",
    "2.x removed the field from every kind. With kubectl's default validation it is dropped, and the experiment runs "
    "once and in silence instead of by the clock.",
    "wrap the experiment in a Schedule",
    fix="makes the object a Schedule with concurrencyPolicy: Forbid, as 1.x never ran twice at a time",
)
CONTAINER = Rule(
    "CHL-103",
    "error",
    "containerName of 1.x",
    "2.x reads a list, containerNames. The old field is dropped, and the first container is hit instead of the one "
    "that was meant.",
    "write containerNames: [NAME]",
    fix="writes containerNames: [NAME]",
)
SCOPE = Rule(
    "CHL-104",
    "error",
    "scope of a 1.x DNSChaos",
    "2.x has patterns of names instead. Without them every name is hit.",
    "remove scope: all; for inner or outer list the names in patterns",
    fix="removes scope: all, which is what 2.x does without patterns",
)
HTTP = Rule(
    "CHL-105",
    "error",
    "A field of a 1.x HTTPChaos",
    "2.x redesigned the kind: it has target and port, and abort, delay, replace and patch instead of an action.",
    "write target: Request or Response, port, and the fault as abort: true, delay, replace or patch",
    fix="writes abort: true for action: abort; target and port are for a person to decide",
)
JVM = Rule(
    "CHL-106",
    "error",
    "A field of a 1.x JVMChaos",
    "2.x redesigned the kind: class and method and one value for each action instead of target, flags and matchers.",
    "write action: latency, return, exception, stress, gc, ruleData or mysql, with class and method",
)
KIND = Rule(
    "CHL-107",
    "error",
    "A kind in the spelling of 1.x, or with other capital letters",
    "Kinds are compared letter by letter; the API server knows no such kind.",
    "write the kind as 2.x does",
    fix="writes the kind as 2.x does",
)
IO = Rule(
    "CHL-108",
    "error",
    "A field or an action of a 1.x IoChaos",
    "2.x has latency and fault instead of delay and errno, and volumePath instead of layer and configName.",
    "write action: latency or fault, and volumePath",
    fix="writes the new action and removes layer and configName; volumePath is for a person to decide",
)
ANNOTATION = Rule(
    "CHL-109",
    "error",
    "An annotation of the group pingcap.com",
    "Chaos Mesh reads annotations of chaos-mesh.org only; the old one has no effect.",
    "write the annotation with chaos-mesh.org",
    fix="writes the annotation with chaos-mesh.org",
)
RENAMED = Rule(
    "CHL-110",
    "error",
    "A field that 2.x has under another name or in another form",
    "The old field is dropped and has no effect.",
    "write the field as 2.x does",
    fix="writes the new name where the value stays the same",
)

JVM_ACTIONS = {
    "delay": "action: latency with class, method and latency in milliseconds",
    "oom": "action: stress with memType: heap",
    "cfl": "action: stress with cpuCount",
    "ccf": "no action of 2.x; action: ruleData takes a Byteman rule",
    "tde": "action: exception with class, method and exception",
    "cpf": "no action of 2.x; action: ruleData takes a Byteman rule",
    "tpf": "no action of 2.x; action: ruleData takes a Byteman rule",
    "psql": "no action of 2.x; action: ruleData takes a Byteman rule",
    "script": "action: ruleData with a Byteman rule",
}
"""Actions of a 1.x JVMChaos and what 2.x has for them."""


def check_object(report: Report, root: Node) -> None:
    """The group of the object and of its annotations."""
    version = root.get("apiVersion")
    if version is not None and str(version.value).startswith("pingcap.com/"):
        report.add(GROUP, version, f"{version.value} is of versions before 1.0", edits=replaced(version, _VERSION))
    annotations = root.get("metadata", "annotations")
    for name, node in annotations.entries.items() if annotations is not None else ():
        prefix, slash, rest = name.partition("/")
        if slash and prefix.endswith("pingcap.com"):
            new = f"{prefix.removesuffix('pingcap.com')}chaos-mesh.org/{rest}"
            report.add(
                ANNOTATION, node, "has no effect in 2.x", key=True, remedy=f"write {new}", edits=renamed(node, new)
            )


_VERSION = "chaos-mesh.org/v1alpha1"


def check(subject: Subject) -> None:
    """The fields of 1.x in the spec of any kind."""
    _scheduler(subject)
    _container(subject)
    by_kind = {"DNSChaos": _dns, "HTTPChaos": _http, "JVMChaos": _jvm, "IOChaos": _io}
    by_kind |= {"StressChaos": _stress, "TimeChaos": _time}
    if subject.kind in by_kind:
        by_kind[subject.kind](subject)


def _scheduler(subject: Subject) -> None:
    report, spec = subject.report, subject.spec
    if subject.kind in {"Schedule", "Workflow", "StatusCheck"}:
        return
    for name in ("scheduler", "cron", "schedule"):
        node = spec.entries.get(name)
        if node is None:
            continue
        report.explain(node)
        cron = node.text("cron") or (node.value if isinstance(node.value, str) else None) or "CRON"
        if subject.host:
            said = f"an experiment in a {subject.host} has no {name}"
            report.add(SCHEDULER, node, said, key=True, remedy=f"remove it; the {subject.host} says when it runs")
            continue
        edits = () if subject.shared or name != "scheduler" else to_schedule(report, subject.root, subject.kind)
        said = "2.x drops this field: the experiment would run once, at once"
        remedy = f'write kind: Schedule with schedule: "{cron}", type: {subject.kind}, and this spec under its block'
        report.add(SCHEDULER, node, said, key=True, remedy=remedy, edits=edits)


def _container(subject: Subject) -> None:
    node = subject.spec.entries.get("containerName")
    if node is None:
        return
    subject.report.explain(node)
    if subject.kind in {"NetworkChaos", "HTTPChaos"}:
        said = f"{subject.kind} hits the whole pod; it takes no container"
        subject.report.add(CONTAINER, node, said, key=True, remedy="remove the field")
        return
    there = "containerNames" in subject.spec.entries
    if not there:
        subject.report.excuse(subject.spec, "containerNames")
    edits = () if there or not isinstance(node.value, str) else (*renamed(node, "containerNames"), *wrapped(node))
    said = "2.x drops this field and hits the first container"
    name = node.value if isinstance(node.value, str) else "NAME"
    subject.report.add(CONTAINER, node, said, key=True, remedy=f"write containerNames: [{name}]", edits=edits)


def _dns(subject: Subject) -> None:
    node = subject.spec.entries.get("scope")
    if node is None:
        return
    subject.report.explain(node)
    same = node.value == "all" and "patterns" not in subject.spec.entries and not subject.shared
    remedy = "remove it: without patterns every name is hit" if same else "list the names that are meant in patterns"
    edits = removed(subject.report, subject.spec, node) if same else ()
    subject.report.add(SCOPE, node, "2.x drops this field and hits every name", key=True, remedy=remedy, edits=edits)


def _http(subject: Subject) -> None:
    report, spec = subject.report, subject.spec
    remedies = {
        "percent": "remove it: 2.x hits every request that path, method and headers match",
        "headers": "write request_headers",
        "action": "write the fault itself: abort: true, delay, replace or patch",
    }
    for name, remedy in remedies.items():
        node = spec.entries.get(name)
        if node is None:
            continue
        report.explain(node)
        edits: Edits = ()
        if name == "action" and node.value == "abort" and "abort" not in spec.entries:
            edits = (*renamed(node, "abort"), *replaced(node, "true"))
            report.excuse(spec, "abort")
        elif name == "headers" and isinstance(node.value, dict) and "request_headers" not in spec.entries:
            edits = renamed(node, "request_headers")
        report.add(HTTP, node, "2.x has no such field and drops it", key=True, remedy=remedy, edits=edits)


def _jvm(subject: Subject) -> None:
    report, spec = subject.report, subject.spec
    for name in ("flags", "matchers", "matcher", "target"):
        node = spec.entries.get(name)
        if node is not None:
            report.explain(node)
            report.add(JVM, node, "2.x has no such field and drops it", key=True)
    action = spec.get("action")
    if action is not None and isinstance(action.value, str) and action.value in JVM_ACTIONS:
        report.explain(action)
        report.add(JVM, action, f"{action.value!r} is an action of 1.x", remedy=f"write {JVM_ACTIONS[action.value]}")


def _io(subject: Subject) -> None:
    report, spec = subject.report, subject.spec
    for name in ("layer", "configName", "addr"):
        node = spec.entries.get(name)
        if node is not None:
            report.explain(node)
            edits = () if name == "addr" or subject.shared else removed(report, spec, node)
            remedy = "remove it; volumePath says where the fault is"
            report.add(IO, node, "2.x has no such field and drops it", key=True, remedy=remedy, edits=edits)
    action = spec.get("action")
    new = {"delay": "latency", "errno": "fault"}.get(str(action.value)) if action is not None else None
    if action is not None and (new or action.value == "mixed"):
        report.explain(action)
        remedy = f"write action: {new}" if new else "write two experiments, one with latency and one with fault"
        edits = replaced(action, new) if new else ()
        report.add(IO, action, f"{action.value!r} is an action of 1.x", remedy=remedy, edits=edits)


def _stress(subject: Subject) -> None:
    node = subject.spec.get("stressors", "vm")
    if node is not None:
        subject.report.explain(node)
        said = "2.x drops this field; it is named memory"
        subject.report.add(RENAMED, node, said, key=True, remedy="write memory", edits=renamed(node, "memory"))


def _time(subject: Subject) -> None:
    node = subject.spec.get("timeOffset")
    if node is not None and isinstance(node.value, dict):
        subject.report.explain(node)
        seconds = node.number("sec")
        remedy = f'write timeOffset: "{seconds}s"' if seconds is not None else "write one duration, such as -10m"
        subject.report.add(RENAMED, node, "2.x takes one duration, not sec and nsec", key=True, remedy=remedy)
