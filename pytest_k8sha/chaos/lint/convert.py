"""Edits of the text for remedies that need no decision. What is not understood gets no edit at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha.chaos.lint.finding import Edit
from pytest_k8sha.chaos.lint.subject import BLOCKS

if TYPE_CHECKING:
    from pytest_k8sha.chaos.lint.finding import Report
    from pytest_k8sha.chaos.lint.tree import Node

Edits = tuple[Edit, ...]


def one_line(node: Node) -> bool:
    """Whether a value is a scalar that begins and ends on one line."""
    return not isinstance(node.value, dict | list) and node.line == node.end[0] and node.style not in {"|", ">"}


def replaced(node: Node, text: str) -> Edits:
    """``text`` in place of a scalar."""
    return (Edit((node.line, node.column), node.end, text),) if one_line(node) else ()


def renamed(node: Node, name: str) -> Edits:
    """Another key for a value."""
    if node.key is None or node.key[0] != node.key[2]:
        return ()
    return (Edit(node.key[:2], node.key[2:], name),)


def wrapped(node: Node) -> Edits:
    """A list of one in place of a text."""
    if not one_line(node):
        return ()
    start = (node.line, node.column)
    return Edit(start, start, "["), Edit(node.end, node.end, "]")


def removed(report: Report, parent: Node, node: Node) -> Edits:
    """No such field: its lines go, a comment behind it stays as a line of its own."""
    if parent.flow or node.key is None or not parent.entries or len(parent.entries) == 1:
        return ()
    first, last = node.key[0], node.last_line
    if not _alone(report, node) or last + 1 > len(report.lines):
        return ()
    kept = _comments(report, node, first, last)
    indent = report.lines[first][: node.key[1]]
    text = "".join(f"{indent}{comment}{report.newline}" for comment in kept)
    return (Edit((first, 0), (last + 1, 0), text),)


def to_schedule(report: Report, root: Node, kind: str) -> Edits:
    """The object as a Schedule: its spec, without ``scheduler``, one step deeper under the kind's own field.

    Nothing for JSON, for flow style, and where ``scheduler`` holds anything but one cron text on one line.
    """
    spec, kind_node = root.get("spec"), root.get("kind")
    if spec is None or kind_node is None or kind not in BLOCKS or spec.key is None or len(spec.entries) < 2:
        return ()
    scheduler = spec.get("scheduler")
    cron = spec.get("scheduler", "cron")
    if scheduler is None or cron is None or scheduler.key is None or len(scheduler.entries) != 1:
        return ()
    understood = not spec.flow and one_line(cron) and one_line(kind_node) and isinstance(cron.value, str)
    step = spec.column - spec.key[1]
    first, last = spec.line, spec.last_line
    if not understood or step < 1 or first <= spec.key[0] or last >= len(report.lines) or not _alone(report, scheduler):
        return ()
    gone = range(scheduler.key[0], scheduler.last_line + 1)
    if any("\t" in report.lines[line][: spec.column] for line in range(first, last + 1)):
        return ()
    indent, deeper = " " * spec.column, " " * step
    text = report.lines[cron.line][cron.column : cron.end[1]]
    comments = _comments(report, scheduler, gone.start, gone.stop - 1)
    head = [f"{indent}{comment}" for comment in comments]
    head += [f"{indent}schedule: {text}", f"{indent}type: {kind}", f"{indent}concurrencyPolicy: Forbid"]
    head += [f"{indent}{BLOCKS[kind]}:"]
    body = [line for line in range(first, last + 1) if line not in gone]
    moved = [deeper + report.lines[line] if report.lines[line].strip() else report.lines[line] for line in body]
    text = report.newline.join([*head, *moved]) + report.newline
    return (*replaced(kind_node, "Schedule"), Edit((first, 0), (last + 1, 0), text))


def _alone(report: Report, node: Node) -> bool:
    """Whether nothing but the field, and comments, stands on its lines."""
    if node.key is None:
        return False
    before = report.lines[node.key[0]][: node.key[1]]
    if before.strip():
        return False
    if node.flow or not isinstance(node.value, dict | list):
        line, column = node.end
        if node.style in {"|", ">"} or (column == 0 and line > node.line):
            return True
        after = report.lines[line][column:].strip() if line < len(report.lines) else ""
        return not after or after.startswith("#")
    return True


def _comments(report: Report, node: Node, first: int, last: int) -> list[str]:
    """The comments on the lines of a field that goes, without the field."""
    scalars = [n for n in node.walk() if n.flow or not isinstance(n.value, dict | list)]
    if any(n.style in {"|", ">"} for n in scalars):
        return []
    ends: dict[int, int] = {}
    for below in node.walk():
        if below.key is not None:
            ends[below.key[2]] = max(ends.get(below.key[2], 0), below.key[3] + 1)
    for below in scalars:
        ends[below.end[0]] = max(ends.get(below.end[0], 0), below.end[1])
    found = []
    for line in range(first, last + 1):
        rest = report.lines[line][ends.get(line, 0) :].strip()
        if rest.startswith("#"):
            found.append(rest)
    return found
