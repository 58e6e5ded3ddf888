"""Rules over NetworkChaos, whose webhook lets through most of what can go wrong."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytest_k8sha.chaos.lint import timing, values
from pytest_k8sha.chaos.lint.convert import replaced
from pytest_k8sha.chaos.lint.finding import Rule
from pytest_k8sha.chaos.lint.structure import short

if TYPE_CHECKING:
    from pytest_k8sha.chaos.lint.finding import Report
    from pytest_k8sha.chaos.lint.subject import Subject
    from pytest_k8sha.chaos.lint.tree import Node

NO_BLOCK = Rule(
    "CHL-401",
    "error",
    "An action without what it needs",
    "The webhook does not look at the block of the action: the object is admitted, never injects, and then cannot be "
    "deleted, because deleting it must apply it first.",
    "write the block of the action",
)
STRAY = Rule(
    "CHL-402",
    "error",
    "A block that is not of the action",
    "Chaos Mesh applies every block that it finds, or none of it; the action does not choose. `action: delay` with a "
    "`loss:` block does both.",
    "remove the block, or write action: netem where several are meant",
)
RATE = Rule(
    "CHL-403",
    "error",
    "The action rate",
    "NetworkChaos has no action rate; a rate block belongs to action: netem.",
    "write action: netem and keep the rate block",
    fix="writes action: netem",
)
DIRECTION = Rule(
    "CHL-404",
    "error",
    "direction: from or both without target",
    "Other than a partition, the actions need a target to know whose packets are meant; the webhook refuses it.",
    "write target, or direction: to",
)
EXTERNAL = Rule(
    "CHL-405",
    "error",
    "externalTargets with direction: from or both",
    "Nothing can be injected on the far side of an address outside the cluster; other than for a partition the webhook "
    "refuses it.",
    "write direction: to",
)
ALONE = Rule(
    "CHL-406",
    "warning",
    "A partition from everybody",
    "Without target and externalTargets a partition drops all traffic of the pods, probes and DNS included.",
    "write target, or allow this rule in a comment when all traffic is meant",
)
BAD_RATE = Rule(
    "CHL-407",
    "error",
    "A rate that does not parse",
    "A rate is a whole number above zero with bit, kbit, mbit, gbit, tbit or bps, kbps, mbps, gbps, tbps.",
    "write a rate such as 1mbps",
)
PERCENT = Rule(
    "CHL-408",
    "error",
    "A percentage that is no number from 0 to 100",
    "loss, duplicate, corrupt, reorder and correlation are numbers from 0 to 100, without a per cent sign, as texts.",
    'write a number such as "25"',
)
NOTHING = Rule(
    "CHL-409",
    "error",
    "A fault of zero",
    "It is admitted, reported as injected, and changes nothing.",
    "write a value above zero",
)
ADDRESS = Rule(
    "CHL-410",
    "error",
    "An external target that is no address",
    "An external target is an IPv4 address, a CIDR or a host name, with a port at most; no scheme and no path.",
    "write the host or the address alone",
)
DEVICE = Rule(
    "CHL-411",
    "warning",
    "targetDevice without target",
    "There is no far side whose device it could name; it has no effect.",
    "remove targetDevice, or write target",
)
SELF = Rule(
    "CHL-412",
    "warning",
    "The target is the same as the selector",
    "The pods are cut off from themselves, not from another service.",
    "select the far side in target",
)
JITTER = Rule(
    "CHL-413",
    "warning",
    "A jitter above the latency",
    "Delays below zero count as zero: the mean delay is not the latency that the file says.",
    "write a jitter of at most the latency",
)
NO_GAP = Rule(
    "CHL-414",
    "warning",
    "A correlation or a jitter that has no effect",
    "netem uses correlation of a delay only together with a jitter.",
    "write a jitter, or remove correlation",
)

BLOCKS = ("delay", "loss", "duplicate", "corrupt", "rate", "bandwidth")
NETEM = ("delay", "loss", "duplicate", "corrupt", "rate")

_IPV4 = r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)"
_ADDRESS = re.compile(rf"{_IPV4}(?:/(?:3[0-2]|[12]?\d))?(?::\d{{1,5}})?\Z")
_HOST = re.compile(
    r"[A-Za-z0-9](?:[-A-Za-z0-9_]*[A-Za-z0-9])?(?:\.[A-Za-z0-9](?:[-A-Za-z0-9_]*[A-Za-z0-9])?)*\.?(?::\d{1,5})?\Z"
)
_DIGITS = re.compile(r"[\d.:/]+\Z")


def check(subject: Subject) -> None:
    """Everything that is special to NetworkChaos."""
    _action(subject)
    _targets(subject)
    _blocks(subject.report, subject.spec)


def _action(subject: Subject) -> None:
    report, spec, action = subject.report, subject.spec, subject.action
    node = spec.get("action")
    given = [name for name in BLOCKS if spec.get(name) is not None]
    if action == "rate" and node is not None:
        report.explain(node)
        report.add(RATE, node, "there is no action rate", edits=replaced(node, "netem"))
        return
    allowed = {"netem": NETEM, "partition": ()}.get(action, (action,))
    if action == "netem":
        if not set(given) & set(NETEM):
            report.add(NO_BLOCK, node, f"action netem needs one of the blocks {', '.join(NETEM)}")
    elif action in BLOCKS and action not in given:
        report.add(NO_BLOCK, node, f"action {action} needs the block {action!r}")
    elif action not in {*BLOCKS, "partition"}:
        return
    for name in given:
        if name not in allowed:
            report.add(STRAY, spec.get(name), f"it is not of action {action}, and is applied or ignored", key=True)


def _targets(subject: Subject) -> None:
    report, spec = subject.report, subject.spec
    direction, target, external = spec.get("direction"), spec.get("target"), spec.get("externalTargets")
    other_than_partition = subject.action != "partition"
    if direction is not None and direction.value in ("from", "both") and other_than_partition:
        if target is None:
            report.add(DIRECTION, direction, f"direction {direction.value} needs target")
        if external is not None:
            report.add(EXTERNAL, external, f"direction is {direction.value}", key=True)
    if not other_than_partition and target is None and (external is None or not external.members):
        report.add(ALONE, spec.get("action"), "without target and externalTargets all traffic is dropped")
    if spec.get("targetDevice") is not None and target is None:
        report.add(DEVICE, spec.get("targetDevice"), "there is no target", key=True)
    if target is not None:
        ours, theirs = spec.get("selector"), target.get("selector")
        if ours is not None and theirs is not None and ours.value and ours.plain() == theirs.plain():
            report.add(SELF, theirs, "it is the same as spec.selector", key=True)
    for node in external.members if external is not None else []:
        text = node.value
        if isinstance(text, str) and not (_ADDRESS if _DIGITS.match(text) else _HOST).match(text):
            hint = "; it has a scheme or a path" if "/" in text and not _DIGITS.match(text) else ""
            report.add(ADDRESS, node, f"{short(text)!r} is no address, CIDR or host name{hint}")


def _blocks(report: Report, spec: Node) -> None:
    delay = spec.get("delay")
    if delay is not None:
        latency = timing.single(report, delay.get("latency"))
        jitter = timing.single(report, delay.get("jitter"))
        if latency == 0 and not jitter:
            report.add(NOTHING, delay.get("latency"), "a delay of zero")
        if latency and jitter and jitter > latency:
            report.add(JITTER, delay.get("jitter"), f"{delay.text('jitter')} is above {delay.text('latency')}")
        _percent(report, delay.get("correlation"))
        if values.number(delay.text("correlation") or "0") and not jitter and delay.get("jitter") is None:
            report.add(NO_GAP, delay.get("correlation"), "there is no jitter to correlate", key=True)
        _percent(report, delay.get("reorder", "reorder"))
        _percent(report, delay.get("reorder", "correlation"))
    for name in ("loss", "duplicate", "corrupt"):
        amount = spec.get(name, name)
        if _percent(report, amount) == 0:
            report.add(NOTHING, amount, f"{name} of zero")
        _percent(report, spec.get(name, "correlation"))
    for name in ("rate", "bandwidth"):
        rate = spec.get(name, "rate")
        if rate is not None and isinstance(rate.value, str):
            if not values.is_rate(rate.value):
                report.add(BAD_RATE, rate, f"{short(rate.value)!r} is no rate")
            elif values.rate_number(rate.value) == 0:
                report.add(BAD_RATE, rate, "a rate of zero is no rate")


def _percent(report: Report, node: Node | None) -> float | None:
    if node is None or not isinstance(node.value, str):
        return None
    number = values.number(node.value)
    if number is None or not 0 <= number <= 100:
        hint = "; write it without %" if node.value.strip().endswith("%") else ""
        report.add(PERCENT, node, f"{short(node.value)!r} is no number from 0 to 100{hint}")
        return None
    return number
