"""Rules over files and objects: what is read at all, and what every object of Chaos Mesh has in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_k8sha.chaos.lint import faults, legacy, network, orchestration, pods, selectors, structure, timing, values
from pytest_k8sha.chaos.lint.convert import replaced
from pytest_k8sha.chaos.lint.finding import Rule
from pytest_k8sha.chaos.lint.shapes import GROUP
from pytest_k8sha.chaos.lint.structure import nearest, said, short
from pytest_k8sha.chaos.lint.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_k8sha.chaos.lint.finding import Report, Severity
    from pytest_k8sha.chaos.lint.shapes import Bundle
    from pytest_k8sha.chaos.lint.tree import Node

UNREADABLE = Rule(
    "CHL-001",
    "error",
    "A file that cannot be read",
    "It does not exist, is not text, or is not YAML. Nothing in it was checked; the exit code is 2.",
    "mend the file, or leave it out",
)
TWICE = Rule(
    "CHL-002",
    "error",
    "A key that is given twice",
    "One of the two values is dropped, by kubectl in silence.",
    "remove one of the two",
)
NOT_AN_OBJECT = Rule(
    "CHL-003",
    "error",
    "A document that is no Kubernetes object",
    "An object is a mapping with apiVersion and kind, both texts. A document with neither is a warning only: it may be "
    "of another program.",
    "write apiVersion and kind",
)
NAME = Rule(
    "CHL-004",
    "error",
    "An object without a valid name",
    "metadata.name has at most 253 small letters, digits, '-' and '.'; the API server refuses any other.",
    "write metadata.name",
)
NOTHING = Rule(
    "CHL-005",
    "note",
    "A file without an object of Chaos Mesh",
    "Nothing in it was checked; that nothing was found proves nothing.",
    "leave the file out",
)
KIND = Rule(
    "CHL-006",
    "error",
    "A kind that Chaos Mesh does not have",
    "The API server refuses the object.",
    "write a kind that exists",
)
UNCHECKED = Rule(
    "CHL-007",
    "note",
    "A kind whose fields are not checked",
    "The linter knows the kind and has no rules for it; that nothing was found proves nothing.",
    "check the object against its CRD: give the CRDs with --schemas, or send it with dryRun=All",
)
VERSION = Rule(
    "CHL-008",
    "error",
    "A version that Chaos Mesh does not serve",
    "Every kind is served as chaos-mesh.org/v1alpha1, and as nothing else.",
    "write apiVersion: chaos-mesh.org/v1alpha1",
    fix="writes chaos-mesh.org/v1alpha1",
)
SAME = Rule(
    "CHL-020",
    "error",
    "Two objects of one kind, namespace and name",
    "The second one changes the first, and specs of Chaos Mesh cannot be changed: it is refused.",
    "give each object its own name",
)
DNS_SAME = Rule(
    "CHL-542",
    "error",
    "Two DNSChaos of one name in different namespaces",
    "The DNS server keeps its rules by name without namespace: the second replaces the first, and the end of one ends "
    "both.",
    "give each DNSChaos its own name",
)
ANNOTATION = Rule(
    "CHL-701",
    "warning",
    "An object that is paused or aborted from the start",
    "A paused experiment injects nothing while its duration, which counts from its creation, goes on; an aborted "
    "Workflow does not run.",
    "remove the annotation from the file",
)
STATUS = Rule(
    "CHL-702",
    "warning",
    "A status in a manifest",
    "The controller writes the status; one in a file is dropped, or is mistaken for what happened.",
    "remove status",
)

PAUSE = "experiment.chaos-mesh.org/pause"
ABORT = "workflow.chaos-mesh.org/abort"

RULES: dict[str, tuple[Callable[[Subject], Any], ...]] = {
    "PodChaos": (selectors.check, timing.check, pods.pod),
    "NetworkChaos": (selectors.check, timing.check, network.check),
    "IOChaos": (selectors.check, timing.check, faults.io),
    "StressChaos": (selectors.check, timing.check, pods.stress),
    "TimeChaos": (selectors.check, timing.check, pods.time),
    "DNSChaos": (selectors.check, timing.check, faults.dns),
    "HTTPChaos": (selectors.check, timing.check, faults.http),
    "KernelChaos": (selectors.check, timing.check, pods.kernel),
    "BlockChaos": (selectors.check, timing.check, faults.block),
    "JVMChaos": (selectors.check, timing.check, faults.jvm),
    "StatusCheck": (orchestration.status_check,),
}
"""What is asked of each kind besides its structure. Schedule and Workflow are walked by `check`."""


def objects(root: Node) -> list[Node]:
    """The objects of a document: itself, or the items of a list."""
    kind = root.text("kind") or ""
    items = root.get("items")
    if kind.endswith("List") and items is not None and isinstance(items.value, list):
        return [
            member for item in items.members for member in ([item] if item.text("kind") != "List" else objects(item))
        ]
    return [root]


def check(report: Report, root: Node, bundle: Bundle, *, shared: bool) -> tuple[str, str, str] | None:
    """Checks one object; gives its kind, namespace and name where it is one of Chaos Mesh."""
    if root.value is None:
        return None
    version, kind = root.text("apiVersion"), root.text("kind")
    if version is None or kind is None:
        what = f"{said(root)}" if not isinstance(root.value, dict) else "it has no apiVersion and kind"
        # With neither of the two it is a file of another program, met in a folder: no mistake of the manifests.
        meant = "apiVersion" in root.entries or "kind" in root.entries
        severity: Severity = "error" if meant else "warning"
        report.add(NOT_AN_OBJECT, root, f"an object of Kubernetes is needed: {what}", severity=severity)
        return None
    group, _, served = version.partition("/")
    if group != GROUP and group != "pingcap.com":
        return None
    legacy.check_object(report, root)
    if group == GROUP and served != "v1alpha1":
        node = root.get("apiVersion")
        edits = replaced(node, f"{GROUP}/v1alpha1") if node is not None else ()
        report.add(VERSION, node, f"{short(version)!r} is not served", edits=edits)
    name, namespace = _metadata(report, root)
    known = _kind(report, root, kind, bundle)
    if known is None:
        return None
    if root.entries.get("status") is not None:
        report.add(STATUS, root.entries["status"], "it is dropped", key=True)
    for field, node in root.entries.items():
        if field not in {"apiVersion", "kind", "metadata", "spec", "status"}:
            report.add(
                structure.UNKNOWN, node, "no field of an object; fields of the experiment are under spec", key=True
            )
    if known in bundle.unchecked:
        report.add(UNCHECKED, root.get("kind"), f"{known} is known and its fields are not checked")
        return known, namespace, name
    spec = root.get("spec")
    if spec is None:
        report.add(structure.MISSING, root, "'spec' is missing")
    else:
        subject = Subject(known, spec, root, report, bundle, namespace=namespace, shared=shared)
        _spec(subject, structured=False)
    return known, namespace, name


def _kind(report: Report, root: Node, kind: str, bundle: Bundle) -> str | None:
    if kind in bundle.names:
        return kind
    node = root.get("kind")
    same = [name for name in bundle.names if name.lower() == kind.lower()]
    if same and node is not None:
        report.add(
            legacy.KIND, node, f"the kind is {same[0]}", remedy=f"write kind: {same[0]}", edits=replaced(node, same[0])
        )
        return same[0]
    near = nearest(kind, bundle.names)
    hint = f"; did you mean {near!r}?" if near else ""
    report.add(KIND, node, f"{short(kind)!r} is no kind of {GROUP}{hint}", remedy=f"kinds: {', '.join(bundle.names)}")
    return None


def _metadata(report: Report, root: Node) -> tuple[str, str]:
    """Name and namespace of the object."""
    meta = root.get("metadata")
    name, generated = root.get("metadata", "name"), root.get("metadata", "generateName")
    if name is None and generated is None:
        report.add(NAME, meta or root, "metadata.name is missing")
    elif name is not None:
        if not isinstance(name.value, str):
            edits = replaced(name, f'"{name.raw}"') if name.raw.isalnum() else ()
            report.add(structure.QUOTE, name, f"a text is needed, not {said(name)}", edits=edits)
        elif not values.is_subdomain(name.value):
            report.add(NAME, name, f"{short(name.value)!r} cannot be the name of an object")
    for field in ("labels", "annotations"):
        node = root.get("metadata", field)
        for below in node.entries.values() if node is not None else ():
            if below.value is not None and not isinstance(below.value, str):
                plain = isinstance(below.value, int | float)
                edits = replaced(below, f'"{below.raw}"') if plain else ()
                rule = structure.QUOTE if plain else structure.TYPE
                report.add(rule, below, f"a text is needed, not {said(below)}", edits=edits)
    annotations = root.get("metadata", "annotations")
    for key in (PAUSE, ABORT):
        node = annotations.entries.get(key) if annotations is not None else None
        if node is not None and node.raw == "true":
            report.add(ANNOTATION, node, "the experiment would not begin", key=True)
    namespace = root.text("metadata", "namespace") or ""
    return (str(name.value) if name is not None else "", namespace)


def _spec(subject: Subject, *, structured: bool) -> None:
    """All rules of one spec and of those in it; ``structured`` when its structure was checked with its host's."""
    shape = subject.bundle.kinds[subject.kind]
    held = _held(subject)
    for inner in held:
        legacy.check(inner)
    if not structured:
        legacy.check(subject)
    for rule in RULES.get(subject.kind, ()):
        rule(subject)
    if not structured:
        _structure(subject, shape, held)
    for inner in held:
        _spec(inner, structured=True)


def _structure(subject: Subject, shape: Any, held: list[Subject]) -> None:
    # Rules of the inner specs that explain a field must have spoken before the structure of the whole is checked.
    for inner in held:
        if inner.kind == "NetworkChaos" and inner.action == "rate" and (action := inner.spec.get("action")) is not None:
            subject.report.explain(action)
    structure.check(subject.report, subject.spec, shape)


def _held(subject: Subject) -> list[Subject]:
    """The specs inside a Schedule or a Workflow, after the rules of the host."""
    report, bundle = subject.report, subject.bundle

    def inside(kind: str, spec: Node, host: Any) -> Subject:
        return Subject(kind, spec, subject.root, report, bundle, subject.namespace, host, subject.shared)

    held: list[tuple[str, Node]] = []
    if subject.kind == "Schedule":
        found = orchestration.schedule(subject, hosted=subject.host == "Workflow")
        held = [found] if found is not None else []
    if subject.kind == "Workflow":
        held = orchestration.workflow(subject)
    for kind, spec in held:
        if kind not in bundle.kinds:
            report.add(UNCHECKED, spec, f"{kind} is known and its fields are not checked", key=True)
    return [inside(kind, spec, subject.kind) for kind, spec in held if kind in bundle.kinds]
