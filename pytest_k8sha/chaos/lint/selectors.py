"""Rules over ``selector``, ``mode`` and ``value``: whom an experiment hits, and whether it can hit anybody."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_k8sha.chaos.lint import values
from pytest_k8sha.chaos.lint.finding import Rule

if TYPE_CHECKING:
    from pytest_k8sha.chaos.lint.finding import Report
    from pytest_k8sha.chaos.lint.subject import Subject
    from pytest_k8sha.chaos.lint.tree import Node

NAMESPACES = Rule(
    "CHL-201",
    "warning",
    "A selector without namespaces",
    "The mutating webhook fills in the object's own namespace. Where it does not run, the selector ranges over every "
    "namespace of the cluster.",
    "write selector.namespaces",
)
VALUE = Rule(
    "CHL-202",
    "error",
    "A mode whose value is missing or out of range",
    'fixed needs a whole number above 0, the two percent modes a whole number from 1 to 100, each as a text ("2").',
    "write value as a text in the range",
)
UNUSED_VALUE = Rule(
    "CHL-203",
    "warning",
    "A value that the mode does not use",
    "The modes one and all ignore value; the file reads as if fewer or more pods were hit.",
    "remove value, or choose fixed or fixed-percent",
)
NOBODY = Rule(
    "CHL-204",
    "warning",
    "random-max-percent may choose nobody",
    "The share is drawn from 0 up to value, zero included: the experiment then injects nothing and says nothing.",
    "write mode: fixed-percent, or fixed with a number",
)
EVERYBODY = Rule(
    "CHL-205",
    "warning",
    "A selector that takes every pod",
    "Without labels, fields, expressions, nodes or pods the selector takes every pod of its namespaces.",
    "name the pods by labelSelectors",
)
OVERRIDDEN = Rule(
    "CHL-206",
    "warning",
    "pods beside other selectors",
    "selector.pods overrides every other filter: the others have no effect.",
    "keep pods alone, or remove it",
)
SYSTEM = Rule(
    "CHL-207",
    "error",
    "A fault in a system namespace",
    "A fault in the control plane, the network or Chaos Mesh itself takes away the means to recover from it.",
    "select pods of the application",
)
CONTRADICTION = Rule(
    "CHL-208",
    "error",
    "A selector that can match no pod",
    "Its conditions exclude each other. With no target Chaos Mesh writes one event and does nothing more: no error, no "
    "second try.",
    "remove one of the conditions",
)
EXPRESSION = Rule(
    "CHL-209",
    "error",
    "An expression that is not valid",
    "operator is In, NotIn, Exists or DoesNotExist; the first two need values, the others forbid them.",
    "write a valid operator and its values",
)
PHASE = Rule(
    "CHL-210",
    "error",
    "A phase in which no fault can be injected",
    "Faults are injected into running containers. An experiment on pods in another phase never injects, and then hangs "
    "when it is deleted.",
    "write podPhaseSelectors: [Running] or leave it out",
)
FIELD = Rule(
    "CHL-211",
    "error",
    "A field that pods cannot be selected by",
    "Pods have few selectable fields; Chaos Mesh's list fails on any other one.",
    "select by metadata.name, metadata.namespace, spec.nodeName, status.phase, … or by labels",
)
LABEL = Rule(
    "CHL-212",
    "error",
    "A key or value that no label can have",
    "Label values have at most 63 letters, digits, '-', '_' and '.'; a key may have a DNS prefix and '/'.",
    "write a valid label",
)
NO_CONTAINERS = Rule(
    "CHL-213",
    "warning",
    "containerNames that are ignored",
    "KernelChaos takes the field and does not use it: the whole pod is hit.",
    "remove containerNames",
)
NO_NAMES = Rule(
    "CHL-214",
    "error",
    "A list of the selector that is empty",
    "pods with no name in any namespace select nobody, or fall back to everybody.",
    "name the pods, or remove pods",
)
UNION = Rule(
    "CHL-215",
    "note",
    "nodes beside nodeSelectors",
    "The two are added, not intersected: pods on any of the nodes of either are taken.",
    "use one of the two",
)
NAME = Rule(
    "CHL-216",
    "error",
    "A name that no namespace, pod or node can have",
    "Names are lower-case DNS labels; nothing is found under this one.",
    "write the name as `kubectl get` shows it",
)

SYSTEM_NAMESPACES = frozenset(
    [
        "calico-system",
        "cert-manager",
        "chaos-mesh",
        "chaos-testing",
        "cilium",
        "gatekeeper-system",
        "istio-system",
        "kyverno",
        "linkerd",
        "local-path-storage",
        "longhorn-system",
        "metallb-system",
        "rook-ceph",
        "tigera-operator",
    ]
)
PHASES = {"Pending", "Running", "Succeeded", "Failed", "Unknown"}
OPERATORS = {"In", "NotIn", "Exists", "DoesNotExist"}
FIELDS = frozenset(
    [
        "metadata.name",
        "metadata.namespace",
        "spec.nodeName",
        "spec.restartPolicy",
        "spec.schedulerName",
        "spec.serviceAccountName",
        "spec.hostNetwork",
        "status.phase",
        "status.podIP",
        "status.podIPs",
        "status.nominatedNodeName",
    ]
)
FILTERS = ("labelSelectors", "expressionSelectors", "annotationSelectors", "fieldSelectors", "nodes", "nodeSelectors")


def is_system(namespace: str) -> bool:
    """Whether a namespace belongs to the cluster rather than to an application."""
    return namespace.startswith(("kube-", "openshift-")) or namespace in SYSTEM_NAMESPACES


def check(subject: Subject) -> None:
    """The selector of an experiment, its mode and value, and for NetworkChaos those of its target."""
    _mode(subject.report, subject.spec)
    selector = subject.spec.get("selector")
    if selector is not None and isinstance(selector.value, dict):
        _selector(subject, selector, subject.spec, hits=True)
    target = subject.spec.get("target")
    if subject.kind == "NetworkChaos" and target is not None:
        _mode(subject.report, target)
        chosen = target.get("selector")
        if chosen is not None and isinstance(chosen.value, dict):
            # The far side carries rules of its own only when traffic from it is meant.
            _selector(subject, chosen, target, hits=subject.spec.text("direction") in {"from", "both"})
    containers = subject.spec.get("containerNames")
    if containers is not None and subject.kind == "KernelChaos":
        subject.report.add(NO_CONTAINERS, containers, "KernelChaos does not use it", key=True)


def _mode(report: Report, holder: Node) -> None:
    mode, value = holder.text("mode"), holder.get("value")
    if mode in {"one", "all"}:
        if value is not None:
            report.add(UNUSED_VALUE, value, f"mode {mode} ignores it", key=True)
        return
    if mode not in {"fixed", "fixed-percent", "random-max-percent"}:
        return
    place = value or holder.get("mode")
    given = value.value if value is not None else None
    if given is None:
        report.add(VALUE, place, f"mode {mode} needs a value")
    elif isinstance(given, str):
        number = int(given) if re.fullmatch(r"[+-]?[0-9]{1,18}", given, re.ASCII) else None
        high = None if mode == "fixed" else 100
        if number is None:
            report.add(VALUE, place, f"{given[:40]!r} is no whole number")
        elif number < 1 or (high is not None and number > high):
            report.add(VALUE, place, f"{given!r} is not {'at least 1' if high is None else 'from 1 to 100'}")
    if mode == "random-max-percent":
        report.add(NOBODY, holder.get("mode"), "a share of zero can be drawn")


def _selector(subject: Subject, selector: Node, holder: Node, *, hits: bool) -> None:
    report = subject.report
    pods = selector.get("pods")
    others = [name for name in FILTERS if (node := selector.get(name)) is not None and node.value]
    _namespaces(subject, selector, pods, hits=hits)
    if pods is not None and isinstance(pods.value, dict):
        _pods(report, pods, others)
    elif not others:
        mode = holder.text("mode")
        if mode == "all" or (mode == "fixed-percent" and holder.text("value") == "100"):
            report.add(EVERYBODY, selector, "it names no property of a pod, and the mode takes all", key=True)
    nodes, node_selectors = selector.get("nodes"), selector.get("nodeSelectors")
    if nodes is not None and node_selectors is not None:
        report.add(UNION, node_selectors, "is added to nodes", key=True)
    for node in nodes.members if nodes is not None else []:
        if isinstance(node.value, str) and not values.is_subdomain(node.value):
            report.add(NAME, node, f"{node.value[:60]!r} cannot be the name of a node")
    _fields(report, selector)
    _phases(report, selector)
    _labels(report, selector)


def _namespaces(subject: Subject, selector: Node, pods: Node | None, *, hits: bool) -> None:
    report = subject.report
    namespaces = selector.get("namespaces")
    if namespaces is None or not namespaces.value:
        if pods is None or not pods.value:
            own = f"{subject.namespace!r}" if subject.namespace else "the object's own namespace"
            said = f"the webhook fills in {own}; without the webhook every namespace is meant"
            report.add(NAMESPACES, namespaces or selector, said, key=True)
            if hits and is_system(subject.namespace):
                report.add(SYSTEM, namespaces or selector, f"{own} is a system namespace", key=True)
        return
    for node in namespaces.members:
        if isinstance(node.value, str):
            if not values.is_subdomain(node.value):
                report.add(NAME, node, f"{node.value[:60]!r} cannot be the name of a namespace")
            elif hits and is_system(node.value):
                report.add(SYSTEM, node, f"{node.value!r} is a system namespace")


def _pods(report: Report, pods: Node, others: list[str]) -> None:
    if pods.value and others:
        report.add(OVERRIDDEN, pods, f"it overrides {', '.join(others)}", key=True)
    names = [name for node in pods.entries.values() for name in node.members]
    if not names and not any(node.value and not isinstance(node.value, list) for node in pods.entries.values()):
        report.add(NO_NAMES, pods, "it names no pod", key=True)
    for namespace, node in pods.entries.items():
        if is_system(namespace):
            report.add(SYSTEM, node, f"{namespace!r} is a system namespace", key=True)
        elif not values.is_subdomain(namespace):
            report.add(NAME, node, f"{namespace[:60]!r} cannot be the name of a namespace", key=True)
    for name in names:
        if isinstance(name.value, str) and not values.is_subdomain(name.value):
            report.add(NAME, name, f"{name.value[:60]!r} cannot be the name of a pod")


def _fields(report: Report, selector: Node) -> None:
    fields = selector.get("fieldSelectors")
    if fields is None:
        return
    for name, node in fields.entries.items():
        if name not in FIELDS:
            report.add(FIELD, node, f"pods cannot be selected by {name[:60]!r}", key=True)
    limits = {"metadata.namespace": selector.get("namespaces")}
    if selector.get("nodeSelectors") is None:
        limits["spec.nodeName"] = selector.get("nodes")
    for name, allowed in limits.items():
        wanted = fields.get(name)
        if wanted is not None and allowed is not None and allowed.texts and wanted.value not in allowed.texts:
            said = f"{wanted.raw!r} is not in {allowed.name}: {', '.join(allowed.texts)}"
            report.add(CONTRADICTION, wanted, said)
    phase = fields.get("status.phase")
    if phase is not None and phase.value != "Running":
        report.add(PHASE, phase, f"pods in phase {phase.raw!r} take no fault")


def _phases(report: Report, selector: Node) -> None:
    phases = selector.get("podPhaseSelectors")
    if phases is None or not phases.texts:
        return
    wanted = {p for p in phases.texts if not p.startswith("!")}
    unwanted = {p.removeprefix("!") for p in phases.texts if p.startswith("!")}
    for node in phases.members:
        bare = str(node.value).removeprefix("!")
        if bare not in PHASES:
            report.add(PHASE, node, f"{bare[:40]!r} is no phase: {', '.join(sorted(PHASES))}")
    if (wanted and wanted <= PHASES and "Running" not in wanted) or "Running" in unwanted:
        report.add(PHASE, phases, "running pods are left out", key=True)


def _labels(report: Report, selector: Node) -> None:
    """Conditions on the same label, taken together: what each allows, forbids and requires."""
    allowed: dict[str, set[str]] = {}
    forbidden: dict[str, set[str]] = {}
    present: dict[str, Node] = {}
    absent: dict[str, Node] = {}
    labels = selector.get("labelSelectors")
    for key, node in labels.entries.items() if labels is not None else ():
        if not values.is_label_key(key):
            report.add(LABEL, node, f"{key[:80]!r} cannot be the key of a label", key=True)
        if isinstance(node.value, str):
            if not values.is_label_value(node.value):
                report.add(LABEL, node, f"{node.value[:80]!r} cannot be the value of a label")
            allowed[key] = {node.value}
            present[key] = node
    expressions = selector.get("expressionSelectors")
    for node in expressions.members if expressions is not None else []:
        named, operator = node.text("key"), node.text("operator")
        if named is None or operator is None:
            continue
        key = named
        chosen = node.get("values")
        listed = set(chosen.texts) if chosen is not None else set()
        if not _expression(report, node, key, operator, chosen):
            continue
        if operator == "In":
            allowed[key] = allowed.get(key, listed) & listed
        if operator == "NotIn":
            forbidden.setdefault(key, set()).update(listed)
        if operator in {"In", "Exists"}:
            present.setdefault(key, node)
        if operator == "DoesNotExist":
            absent[key] = node
    for key, node in absent.items():
        if key in present:
            report.add(CONTRADICTION, node, f"the label {key!r} must be there and must not be there")
    for key, choices in allowed.items():
        if not choices - forbidden.get(key, set()):
            report.add(CONTRADICTION, present.get(key), f"no value of the label {key!r} meets every condition")


def _expression(report: Report, node: Node, key: str, operator: str, chosen: Node | None) -> bool:
    """Reports an expression that is not valid; whether it is."""
    place = node.get("operator")
    if operator not in OPERATORS:
        same = [o for o in OPERATORS if o.lower() == operator.lower()]
        hint = f"; did you mean {same[0]!r}?" if same else ""
        report.add(EXPRESSION, place, f"{operator[:40]!r} is none of {', '.join(sorted(OPERATORS))}{hint}")
        return False
    listed = chosen.members if chosen is not None else []
    if operator in {"In", "NotIn"} and not listed:
        report.add(EXPRESSION, place, f"{operator} needs values")
        return False
    if operator in {"Exists", "DoesNotExist"} and listed:
        report.add(EXPRESSION, chosen, f"{operator} takes no values", key=True)
        return False
    if not values.is_label_key(key):
        report.add(LABEL, node.get("key"), f"{key[:80]!r} cannot be the key of a label")
        return False
    for value in listed:
        if isinstance(value.value, str) and not values.is_label_value(value.value):
            report.add(LABEL, value, f"{value.value[:80]!r} cannot be the value of a label")
    return True
