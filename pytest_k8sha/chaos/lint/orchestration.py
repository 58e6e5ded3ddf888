"""Rules over what starts experiments: Schedule, Workflow and StatusCheck."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from pytest_k8sha.chaos.lint import cron, timing, values
from pytest_k8sha.chaos.lint.convert import removed
from pytest_k8sha.chaos.lint.finding import Edit, Rule
from pytest_k8sha.chaos.lint.structure import nearest, short
from pytest_k8sha.chaos.lint.subject import BLOCKS, ONE_SHOT

if TYPE_CHECKING:
    from pytest_k8sha.chaos.lint.subject import Subject
    from pytest_k8sha.chaos.lint.tree import Node

CRON = Rule(
    "CHL-601",
    "error",
    "A schedule that does not parse",
    "schedule is cron with five fields, six with seconds first, or @every DURATION, @hourly, @daily, …; the day of the "
    "week is 0 to 6.",
    'write a schedule such as "@every 10m" or "0 3 * * 1"',
)
NO_BLOCK = Rule(
    "CHL-602",
    "error",
    "A type without its block",
    "A Schedule and a template hold the experiment in a field named after its kind: podChaos for PodChaos. Without it "
    "nothing can be started.",
    "write the block of the type",
)
STRAY = Rule(
    "CHL-603",
    "error",
    "A block that is not of the type",
    "Only the block of the type is used, or the webhook refuses the object.",
    "remove the block, or change the type",
)
POLICY = Rule(
    "CHL-604",
    "warning",
    "A Schedule without concurrencyPolicy",
    "The default is Forbid: while a run has not ended, the next ones are left out in silence.",
    "write concurrencyPolicy: Forbid or Allow",
)
LONG_NAME = Rule(
    "CHL-605",
    "error",
    "A name that is too long for its children",
    "A Schedule adds six characters to its name for each run: 57 at most, and 51 for a Workflow in it.",
    "write a shorter name",
)
OVERLAP = Rule(
    "CHL-606",
    "warning",
    "A run that lasts longer than the interval",
    "With Forbid every second run or more is left out; with Allow faults lie on top of each other.",
    "write a longer interval or a shorter duration",
)
NEVER = Rule(
    "CHL-607",
    "error",
    "A schedule that never comes",
    "There is no such day, or no such interval.",
    "write a day that exists",
)
TYPE = Rule(
    "CHL-609",
    "error",
    "A type that does not exist",
    "type and templateType are kinds of experiments, letter by letter, or for templates Serial, Parallel, Suspend, "
    "Task, Schedule and StatusCheck.",
    "write a type that exists",
)
ENTRY = Rule(
    "CHL-610",
    "error",
    "A template that is not there",
    "entry, children and targets of branches are names of templates of the same Workflow.",
    "write the name of a template",
)
TWICE = Rule(
    "CHL-611",
    "error",
    "Two templates of one name",
    "The webhook refuses the Workflow.",
    "give each template its own name",
)
EMBEDDED = Rule(
    "CHL-612",
    "error",
    "An experiment with duration in a Workflow",
    "The webhook refuses it: in a Workflow the deadline of the template ends the experiment.",
    "write deadline on the template instead of duration in the experiment",
    fix="moves duration to the template's deadline where it has none",
)
DEADLINE = Rule(
    "CHL-613",
    "warning",
    "A template without deadline",
    "The experiment lasts until the Workflow is deleted, and what comes after it in a Serial never starts.",
    "write deadline",
)
SUSPEND = Rule(
    "CHL-614",
    "error",
    "A Suspend without deadline",
    "The webhook refuses it: a Suspend is nothing but its deadline.",
    "write deadline",
)
CYCLE = Rule(
    "CHL-615",
    "error",
    "Templates that contain each other",
    "Such a Workflow never ends; it makes nodes without limit.",
    "remove one of the references",
)
UNREACHED = Rule(
    "CHL-616",
    "warning",
    "A template that nothing starts",
    "It is not the entry and no template refers to it; it never runs.",
    "refer to it, or remove it",
)
NO_CHILDREN = Rule(
    "CHL-617",
    "error",
    "A Serial or Parallel without children, or children elsewhere",
    "Only Serial and Parallel have children, and without them they do nothing.",
    "write children, or change templateType",
)
URL = Rule(
    "CHL-620",
    "error",
    "A StatusCheck whose URL or status code does not parse",
    "url is an absolute URL with http or https; statusCode is a number from 1 to 999 or a range such as 200-299.",
    "write a URL and a code or a range",
)
NO_HTTP = Rule(
    "CHL-621",
    "error",
    "A StatusCheck without http",
    "type HTTP needs the block http; the webhook refuses it otherwise.",
    "write http with url and criteria.statusCode",
)

STEPS = ("Serial", "Parallel", "Suspend", "Task", "Schedule", "StatusCheck")
OWN_BLOCK = {**BLOCKS, "Task": "task", "Schedule": "schedule", "StatusCheck": "statusCheck"}


def schedule(subject: Subject, *, hosted: bool = False) -> tuple[str, Node] | None:
    """Rules of a Schedule, also of one in a template; gives the kind and spec of its experiment."""
    report, spec = subject.report, subject.spec
    expression, found = spec.get("schedule"), None
    if expression is not None and isinstance(expression.value, str):
        try:
            found = cron.parse(expression.value)
        except cron.CronError as error:
            report.add(CRON, expression, f"{short(expression.value)!r}: {error}")
        if found is not None and found.never:
            report.add(NEVER, expression, f"{short(expression.value)!r} never comes")
    if spec.get("concurrencyPolicy") is None:
        report.add(POLICY, spec, "the default, Forbid, is meant in silence", key=True)
    kind = spec.text("type")
    if not hosted:
        _length(subject, kind)
    choices = {**BLOCKS} if hosted else {**BLOCKS, "Workflow": "workflow"}
    block = _block(subject, spec, kind, spec.get("type"), choices)
    if kind is None or block is None:
        return None
    length = values.duration(block.text("duration") or "x") if block.text("duration") else None
    once = kind == "PodChaos" and block.text("action") in ONE_SHOT
    if found is not None and length is not None and length >= found.interval and not once:
        policy = spec.text("concurrencyPolicy") or "Forbid"
        said = f"{block.text('duration')} is not shorter than the interval of {expression.raw if expression else ''!r}"
        report.add(OVERLAP, block.get("duration"), f"{said}; concurrencyPolicy is {policy}")
    return kind, block


def _length(subject: Subject, kind: str | None) -> None:
    name = subject.root.get("metadata", "name")
    most = 51 if kind == "Workflow" else 57
    if name is not None and isinstance(name.value, str) and len(name.value) > most:
        subject.report.add(LONG_NAME, name, f"{len(name.value)} characters; at most {most}")


def _block(
    subject: Subject, holder: Node, kind: str | None, place: Node | None, choices: dict[str, str]
) -> Node | None:
    """The block of ``kind`` in ``holder``; findings for an unknown kind, a missing block and stray ones."""
    report = subject.report
    if kind is None:
        return None
    if kind not in choices and kind not in STEPS:
        near = nearest(kind, choices)
        hint = f"; did you mean {near!r}?" if near else ""
        report.add(TYPE, place, f"{short(kind)!r} is none of {', '.join(sorted(choices))}{hint}")
        return None
    own = choices.get(kind)
    for name in {*choices.values()}:
        node = holder.get(name)
        if node is not None and name != own:
            report.add(STRAY, node, f"it is not of {kind}", key=True)
    block = holder.get(own) if own else None
    if own and block is None:
        report.add(NO_BLOCK, place, f"{kind} needs the block {own!r}")
    return block if block is not None and isinstance(block.value, dict) else None


def workflow(subject: Subject) -> list[tuple[str, Node]]:
    """Rules of a Workflow; gives the kinds and specs of what its templates hold."""
    report, spec = subject.report, subject.spec
    templates = [t for t in (spec.get("templates") or spec).members if isinstance(t.value, dict)]
    names: dict[str, Node] = {}
    held: list[tuple[str, Node]] = []
    for template in templates:
        name = template.get("name")
        if name is not None and isinstance(name.value, str):
            if name.value in names:
                report.add(TWICE, name, f"{short(name.value)!r} is given twice")
            elif not values.is_subdomain(name.value):
                report.add(ENTRY, name, f"{short(name.value)!r} cannot be a name: small letters, digits, '-' and '.'")
            names.setdefault(name.value, template)
    references = {name: _references(template) for name, template in names.items()}
    entry = spec.get("entry")
    for node in [*([entry] if entry is not None else []), *(n for nodes in references.values() for n in nodes)]:
        if isinstance(node.value, str) and node.value not in names:
            near = nearest(node.value, names)
            report.add(
                ENTRY, node, f"no template is named {short(node.value)!r}{f'; there is {near!r}' if near else ''}"
            )
    for template in templates:
        held += _template(subject, template)
    if entry is not None and isinstance(entry.value, str) and entry.value in names:
        _reach(subject, entry.value, names, references)
    return held


def _references(template: Node) -> list[Node]:
    children, branches = template.get("children"), template.get("conditionalBranches")
    found = list(children.members) if children is not None else []
    for branch in branches.members if branches is not None else []:
        target = branch.get("target")
        if target is not None:
            found.append(target)
    return found


def _template(subject: Subject, template: Node) -> list[tuple[str, Node]]:
    report, kind, place = subject.report, template.text("templateType"), template.get("templateType")
    children, deadline = template.get("children"), template.get("deadline")
    length = timing.parsed(report, deadline)
    if length is not None and length <= 0:
        report.add(timing.NOT_POSITIVE, deadline, "a deadline of zero or less is over at once")
    block = _block(subject, template, kind, place, OWN_BLOCK)
    if kind in {"Serial", "Parallel"} and (children is None or not children.value):
        report.add(NO_CHILDREN, children or place, f"{kind} has no children")
    elif kind not in {"Serial", "Parallel"} and kind in OWN_BLOCK and children is not None and children.value:
        report.add(NO_CHILDREN, children, f"{kind} has no children", key=True)
    if kind == "Suspend" and (deadline is None or deadline.value == ""):
        report.add(SUSPEND, place, "it has no deadline")
    if kind not in BLOCKS and kind not in {"Schedule", "StatusCheck"}:
        return []
    once = kind == "PodChaos" and block is not None and block.text("action") in ONE_SHOT
    duration = block.entries.get("duration") if block is not None and kind in BLOCKS else None
    if duration is not None and block is not None:
        edits = () if subject.shared else _to_deadline(subject, template, block, duration)
        remedy = "" if deadline is None else "remove duration; the template has a deadline"
        report.add(EMBEDDED, duration, "the webhook refuses it", key=True, remedy=remedy, edits=edits)
    elif deadline is None and not once and kind != "StatusCheck":
        report.add(DEADLINE, template.get("name") or template, f"a {kind} without deadline lasts until it is deleted")
    return [(str(kind), block)] if block is not None else []


def _to_deadline(subject: Subject, template: Node, block: Node, duration: Node) -> tuple[Edit, ...]:
    """Takes duration out of the experiment and writes it as the template's deadline."""
    gone = removed(subject.report, block, duration)
    place = template.get("templateType")
    if not gone or template.flow or place is None or place.key is None or place.line != place.end[0]:
        return ()
    if template.entries.get("deadline") is not None or not isinstance(duration.value, str):
        return ()
    lines = subject.report.lines
    text = lines[duration.line][duration.column : duration.end[1]]
    indent = " " * place.key[1]
    after = (place.line + 1, 0)
    if place.line + 1 >= len(lines) or duration.line != duration.end[0]:
        return ()
    return (Edit(after, after, f"{indent}deadline: {text}{subject.report.newline}"), *gone)


def _reach(subject: Subject, entry: str, names: dict[str, Node], references: dict[str, list[Node]]) -> None:
    """Templates that lead back to themselves, and templates that nothing leads to."""
    report, done, open_now = subject.report, set[str](), set[str]()
    stack: list[tuple[str, Node | None, bool]] = [(entry, None, False)]
    while stack:
        name, by, leaving = stack.pop()
        if leaving:
            open_now.discard(name)
            done.add(name)
        elif name in open_now:
            report.add(CYCLE, by, f"{short(name)!r} contains itself")
        elif name not in done:
            open_now.add(name)
            stack.append((name, by, True))
            stack += [(n.value, n, False) for n in references[name] if isinstance(n.value, str) and n.value in names]
    for name, template in names.items():
        if name not in done:
            report.add(UNREACHED, template.get("name"), f"nothing starts {short(name)!r}")


def status_check(subject: Subject) -> None:
    """Rules of a StatusCheck."""
    report, spec = subject.report, subject.spec
    if spec.get("http") is None:
        report.add(NO_HTTP, spec.get("type") or spec, "there is no http")
        return
    url, code = spec.get("http", "url"), spec.get("http", "criteria", "statusCode")
    if url is not None and isinstance(url.value, str) and not _is_url(url.value):
        report.add(URL, url, f"{short(url.value)!r} is no absolute URL with http or https")
    if code is not None and isinstance(code.value, str):
        ends = code.value.split("-")
        right = len(ends) <= 2 and all(re.fullmatch(r"[0-9]{1,3}", end, re.ASCII) and int(end) > 0 for end in ends)
        if not right or int(ends[0]) > int(ends[-1]):
            report.add(URL, code, f"{short(code.value)!r} is no code and no range of codes")
    timing.parsed(report, spec.get("duration"))


def _is_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in {"http", "https"} and bool(parts.hostname) and " " not in text and parts.port != 0
    except ValueError:
        return False
