"""Rules over faults of files, blocks, DNS, HTTP and the Java virtual machine."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_k8sha.chaos.lint import timing
from pytest_k8sha.chaos.lint.finding import Rule
from pytest_k8sha.chaos.lint.network import NO_BLOCK, STRAY
from pytest_k8sha.chaos.lint.structure import short

if TYPE_CHECKING:
    from pytest_k8sha.chaos.lint.subject import Subject
    from pytest_k8sha.chaos.lint.tree import Node

ERRNO = Rule(
    "CHL-510",
    "error",
    "An IO fault without an error number",
    "errno 0 means success: nothing fails. The webhook refuses it.",
    "write errno, such as 5 (EIO), 28 (ENOSPC) or 30 (EROFS)",
)
VOLUME = Rule(
    "CHL-511",
    "error",
    "A volumePath that is not an absolute path",
    "volumePath is where the volume is mounted in the container. One that is no mount is never injected and then hangs "
    "when it is deleted.",
    "write the mountPath of a volume of the container",
)
OUTSIDE = Rule(
    "CHL-512",
    "error",
    "A path outside volumePath",
    "Only files below volumePath pass through the fault; nothing is injected.",
    "write a path below volumePath, as an absolute path",
)
PERCENT = Rule(
    "CHL-513",
    "error",
    "A percentage of calls that is not from 1 to 100",
    "Zero is admitted and injects nothing; less than zero or more than 100 is refused.",
    "write a percentage from 1 to 100",
)
METHOD = Rule(
    "CHL-514",
    "error",
    "An IO method that does not exist",
    "methods are names of file system calls in small letters; an unknown one is never hit.",
    "write names such as read, write, open, fsync",
)
MISTAKE = Rule(
    "CHL-515",
    "error",
    "A mistake that is not complete",
    "mistake needs filling, maxOccurrences and maxLength; without one of them no byte is changed.",
    "write filling: zero or random, maxOccurrences and maxLength",
)
WILDCARD = Rule(
    "CHL-540",
    "error",
    "A DNS pattern that is not valid",
    "The wildcard * may stand only at the end of a pattern; ? stands for one character. A URL is no name.",
    "write the names in full, or move * to the end",
)
EVERY_NAME = Rule(
    "CHL-541",
    "warning",
    "A DNSChaos for every name",
    "Without patterns every name fails, those that probes, sidecars and the Kubernetes API need included.",
    "write patterns",
)
NO_FAULT = Rule(
    "CHL-550",
    "error",
    "An HTTPChaos without a fault",
    "Without abort: true, delay, replace or patch it is admitted, reported as injected, and changes nothing.",
    "write abort: true, delay, replace or patch",
)
PORT = Rule(
    "CHL-551",
    "error",
    "An HTTPChaos without a port",
    "port is the port of the container, from 1 to 65535.",
    "write the port that the container listens on",
)
OTHER_SIDE = Rule(
    "CHL-552",
    "error",
    "A field of the other side of an HTTP exchange",
    "code and response_headers describe a response: on target: Request they are not known yet. A request has no code "
    "to replace, a response no path, method or query.",
    "write target: Response, or remove the field",
)
HTTP_METHOD = Rule(
    "CHL-553",
    "error",
    "An HTTP method that does not exist",
    "Methods are compared letter by letter and are written in capitals; the webhook refuses any other on requests.",
    "write GET, POST, PUT, DELETE, PATCH, HEAD, OPTIONS, TRACE or CONNECT",
)
BODY = Rule(
    "CHL-554",
    "error",
    "A patch of the body that cannot be applied",
    "patch.body.type is JSON, and its value must parse as JSON.",
    "write type: JSON and a value in JSON",
)
PAIR = Rule(
    "CHL-555",
    "error",
    "A header or query that is no pair",
    "patch.headers and patch.queries are lists of pairs [name, value].",
    "write [name, value]",
)
ABORT_FIRST = Rule(
    "CHL-556",
    "warning",
    "Faults beside abort: true",
    "abort ends the exchange; delay, replace and patch then have little or no effect.",
    "write two experiments",
)
BLOCK_LATENCY = Rule(
    "CHL-570",
    "error",
    "A BlockChaos without latency",
    "Without delay.latency nothing is injected.",
    "write delay.latency",
)
JVM_NEEDS = Rule(
    "CHL-580",
    "error",
    "A JVMChaos whose action lacks a field",
    "Each action needs its own fields; the object is refused, or injects nothing.",
    "write the fields that the action needs",
)
JVM_EITHER = Rule(
    "CHL-581",
    "error",
    "A JVMChaos with two values where one is needed",
    "stress takes cpuCount or memType, mysql takes exception or latency, not both.",
    "write two experiments",
)

IO_METHODS = frozenset(
    [
        "lookup",
        "forget",
        "getattr",
        "setattr",
        "readlink",
        "mknod",
        "mkdir",
        "unlink",
        "rmdir",
        "symlink",
        "rename",
        "link",
        "open",
        "read",
        "write",
        "flush",
        "release",
        "fsync",
        "opendir",
        "readdir",
        "releasedir",
        "fsyncdir",
        "statfs",
        "setxattr",
        "getxattr",
        "listxattr",
        "removexattr",
        "access",
        "create",
        "getlk",
        "setlk",
        "bmap",
    ]
)
HTTP_METHODS = frozenset(
    [
        "GET",
        "POST",
        "PUT",
        "DELETE",
        "PATCH",
        "HEAD",
        "OPTIONS",
        "TRACE",
        "CONNECT",
    ]
)
IO_BLOCKS = {"latency": "delay", "fault": "errno", "attrOverride": "attr", "mistake": "mistake"}
JVM_FIELDS = {
    "latency": ("class", "method", "latency"),
    "return": ("class", "method", "returnValue"),
    "exception": ("class", "method", "exception"),
    "ruleData": ("ruleData",),
    "mysql": ("mysqlConnectorVersion",),
}


def io(subject: Subject) -> None:
    """What is special to IOChaos."""
    report, spec, action = subject.report, subject.spec, subject.action
    action = {"delay": "latency", "errno": "fault"}.get(action, action)
    needed = IO_BLOCKS.get(action)
    for other, name in IO_BLOCKS.items():
        node = spec.get(name)
        if needed and other != action and node is not None:
            report.add(STRAY, node, f"it is not of action {action}", key=True)
    if action == "fault" and (spec.get("errno") is None or spec.number("errno") == 0):
        report.add(ERRNO, spec.get("errno") or spec.get("action"), "errno is missing or 0")
    elif needed and action != "fault" and spec.get(needed) is None:
        report.add(NO_BLOCK, spec.get("action"), f"action {action} needs {needed!r}")
    length = timing.parsed(report, spec.get("delay"))
    if length is not None and length <= 0:
        report.add(NO_BLOCK, spec.get("delay"), "a delay of zero or less delays nothing")
    _paths(subject)
    percent = spec.number("percent")
    if percent is not None and not 1 <= percent <= 100:
        report.add(PERCENT, spec.get("percent"), f"{percent} is not from 1 to 100")
    methods = spec.get("methods")
    for node in methods.members if methods is not None else []:
        if isinstance(node.value, str) and node.value not in IO_METHODS:
            report.add(METHOD, node, f"{short(node.value)!r} is no file system call")
    mistake = spec.get("mistake")
    if mistake is not None and isinstance(mistake.value, dict):
        missing = [n for n in ("filling", "maxOccurrences", "maxLength") if mistake.get(n) is None]
        if missing:
            report.add(MISTAKE, mistake, f"{', '.join(missing)} missing", key=True)


def _paths(subject: Subject) -> None:
    report, volume, path = subject.report, subject.spec.get("volumePath"), subject.spec.get("path")
    if volume is None or not isinstance(volume.value, str):
        return
    if not volume.value.startswith("/"):
        report.add(VOLUME, volume, f"{short(volume.value)!r} does not begin with /")
        return
    root = volume.value.rstrip("/")
    inside = (f"{root}/", "*")
    if path is not None and isinstance(path.value, str) and path.value:  # an empty path means every file
        if path.value == root or path.value.startswith(inside):
            return
        report.add(OUTSIDE, path, f"{short(path.value)!r} is not below {short(volume.value)!r}")


def dns(subject: Subject) -> None:
    """What is special to DNSChaos."""
    report, spec = subject.report, subject.spec
    patterns = spec.get("patterns")
    if patterns is None or not patterns.value:
        if "scope" not in spec.entries:
            report.add(EVERY_NAME, patterns or spec, "every name is hit", key=True)
        return
    for node in patterns.members:
        if not isinstance(node.value, str):
            continue
        if "*" in node.value[:-1]:
            report.add(WILDCARD, node, f"{short(node.value)!r} has a * before its end")
        elif "/" in node.value or ":" in node.value or " " in node.value or not node.value:
            report.add(WILDCARD, node, f"{short(node.value)!r} is no name")


def http(subject: Subject) -> None:
    """What is special to HTTPChaos."""
    report, spec = subject.report, subject.spec
    abort = spec.get("abort")
    aborts = abort is not None and abort.value is not False
    others = [n for n in ("delay", "replace", "patch") if spec.get(n) is not None]
    if not aborts and not others and (id(spec), "abort") not in report.excused:
        report.add(NO_FAULT, abort or spec.get("target") or spec, "it changes nothing")
    if aborts and others:
        report.add(ABORT_FIRST, spec.get(others[0]), "abort: true comes first", key=True)
    port = spec.get("port")
    if port is None or (spec.number("port") is not None and not 1 <= (spec.number("port") or 0) <= 65535):
        report.add(PORT, port or spec.get("target") or spec, "port is missing or not from 1 to 65535")
    length = timing.parsed(report, spec.get("delay"))
    if length is not None and length <= 0:
        report.add(NO_FAULT, spec.get("delay"), "a delay of zero or less delays nothing")
    wrong: dict[str, tuple[str, ...]] = {"Request": ("code", "response_headers", "replace.code")}
    wrong["Response"] = ("replace.path", "replace.method", "replace.queries", "patch.queries")
    for name in wrong.get(spec.text("target") or "", ()):
        node = spec.get(*name.split("."))
        if node is not None:
            report.add(OTHER_SIDE, node, f"target is {spec.text('target')}", key=True)
    for node in (spec.get("method"), spec.get("replace", "method")):
        if node is not None and isinstance(node.value, str) and node.value and node.value not in HTTP_METHODS:
            report.add(HTTP_METHOD, node, f"{short(node.value)!r} is no HTTP method")
    _patch(subject, spec.get("patch"))


def _patch(subject: Subject, patch: Node | None) -> None:
    if patch is None:
        return
    kind, value = patch.get("body", "type"), patch.get("body", "value")
    if kind is not None and isinstance(kind.value, str) and kind.value != "JSON":
        subject.report.add(BODY, kind, f"{short(kind.value)!r} is not JSON")
    elif value is not None and isinstance(value.value, str):
        try:
            json.loads(value.value)
        except (ValueError, RecursionError):
            subject.report.add(BODY, value, "it does not parse as JSON")
    for name in ("headers", "queries"):
        rows = patch.get(name)
        for row in rows.members if rows is not None else []:
            if isinstance(row.value, list) and len(row.value) != 2:
                subject.report.add(PAIR, row, f"{len(row.value)} values instead of a name and a value")


def block(subject: Subject) -> None:
    """What is special to BlockChaos."""
    report, spec = subject.report, subject.spec
    if spec.get("delay") is None:
        if subject.action == "delay":
            report.add(NO_BLOCK, spec.get("action"), "action delay needs the block 'delay'")
        return
    latency = spec.get("delay", "latency")
    length = timing.parsed(report, latency)
    timing.parsed(report, spec.get("delay", "jitter"))
    if latency is None or (length is not None and length <= 0):
        report.add(BLOCK_LATENCY, latency or spec.get("delay"), "there is no latency above zero", key=latency is None)


def jvm(subject: Subject) -> None:
    """What is special to JVMChaos."""
    report, spec, action = subject.report, subject.spec, subject.action
    place = spec.get("action")
    missing = [name for name in JVM_FIELDS.get(action, ()) if spec.get(name) is None]
    if missing and "flags" not in spec.entries:
        report.add(JVM_NEEDS, place, f"action {action} needs {', '.join(missing)}")
    either = {"stress": ("cpuCount", "memType"), "mysql": ("exception", "latency")}.get(action)
    if either is not None:
        given = [name for name in either if spec.get(name) is not None]
        if not given:
            report.add(JVM_NEEDS, place, f"action {action} needs {' or '.join(either)}")
        elif len(given) == 2:
            report.add(JVM_EITHER, spec.get(given[1]), f"action {action} takes {' or '.join(either)}", key=True)
    memory = spec.text("memType")
    if memory is not None and memory not in {"stack", "heap"}:
        report.add(JVM_NEEDS, spec.get("memType"), f"{short(memory)!r} is neither stack nor heap")
    version = spec.text("mysqlConnectorVersion")
    if version is not None and version not in {"5", "8"}:
        report.add(JVM_NEEDS, spec.get("mysqlConnectorVersion"), f"{short(version)!r} is neither 5 nor 8")
    for name in ("latency", "cpuCount"):
        number = spec.number(name)
        if number is not None and number <= 0 and name in {*JVM_FIELDS.get(action, ()), *(either or ())}:
            report.add(JVM_NEEDS, spec.get(name), f"{name} of {number} does nothing")
