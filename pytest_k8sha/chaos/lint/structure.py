"""Rules of structure: what the API server would refuse or, with its default validation, drop in silence."""

from __future__ import annotations

import base64
import binascii
import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from pytest_k8sha.chaos.lint.finding import Edit, Report, Rule

if TYPE_CHECKING:
    from pytest_k8sha.chaos.lint.shapes import Shape
    from pytest_k8sha.chaos.lint.tree import Node

UNKNOWN = Rule(
    "CHL-010",
    "error",
    "A field that Chaos Mesh does not know",
    "The CRDs prune unknown fields: with kubectl's default validation they are dropped and the experiment does "
    "something else than the file says.",
    "remove the field or spell it as Chaos Mesh does",
)
MISSING = Rule(
    "CHL-011",
    "error",
    "A required field is missing",
    "The API server refuses the object.",
    "add the field",
)
TYPE = Rule(
    "CHL-012",
    "error",
    "A value of the wrong type",
    "The API server refuses the object.",
    "write a value of the type that the field has",
    fix="puts a single word in a list where a list of texts is needed",
)
CHOICE = Rule(
    "CHL-013",
    "error",
    "A value that is not one of those allowed",
    "The API server refuses the object.",
    "write one of the allowed values",
    fix="writes the allowed value where only capital letters differ",
)
RANGE = Rule(
    "CHL-014",
    "error",
    "A number out of its range",
    "The API server refuses the object.",
    "write a number in the range",
)
QUOTE = Rule(
    "CHL-015",
    "error",
    "A number or a boolean where a text is needed",
    "Percentages, counts and codes are texts in Chaos Mesh. Without quotes YAML reads a number, and the API server "
    "refuses the object.",
    "put the value in quotes",
    fix="puts the number in quotes, where it needs no unit",
)
UNQUOTE = Rule(
    "CHL-016",
    "error",
    "A text where a number or a boolean is needed",
    "The API server refuses the object.",
    "remove the quotes",
    fix="removes the quotes",
)
PATTERN = Rule(
    "CHL-017",
    "error",
    "A text that does not match the pattern of the CRD",
    "The API server refuses the object. Only CRDs given with --schemas have patterns.",
    "write a text that matches",
)
EMPTY = Rule(
    "CHL-018",
    "warning",
    "A field that is left empty",
    "An empty field is null, and null is dropped: the field has no effect.",
    "give the field a value or remove it",
)

_SAFE_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?\Z")
_UNITS = dict.fromkeys(("duration", "deadline", "timeOffset"), "s") | {"rate": "mbps", "size": "MB"}
_UNITS |= dict.fromkeys(("latency", "jitter", "delay"), "ms")
"""Texts that need a unit: quotes alone would only make another mistake of a number there."""

_NAMES = {"text": "a text", "int": "a whole number", "number": "a number", "bool": "true or false"}
_NAMES |= {"list": "a list", "map": "a mapping", "object": "a mapping", "bytes": "a text in base64"}
_NAMES |= {"int-or-text": "a whole number or a text"}


def said(node: Node) -> str:
    """What a node holds, in words, for a message."""
    value = node.value
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    if isinstance(value, str):
        return f"the text {short(value)!r}"
    return "nothing" if value is None else f"{'true/false' if isinstance(value, bool) else 'the number'} {node.raw}"


def short(text: str) -> str:
    """The beginning of a text that may be very long."""
    return text if len(text) <= 80 else f"{text[:77]}..."


def check(report: Report, node: Node, shape: Shape) -> None:
    """Reports what is wrong with the structure of ``node``, which is not null."""
    if shape.type == "any" or id(node) in report.explained:
        return
    if shape.type in {"object", "map"}:
        if not isinstance(node.value, dict):
            report.add(TYPE, node, f"a mapping is needed, not {said(node)}")
        elif shape.type == "map" and shape.items is not None:
            _members(report, list(node.value.values()), shape.items)
        else:
            _object(report, node, shape)
    elif shape.type == "list":
        if not isinstance(node.value, list):
            edits = _as_list(node) if shape.items is not None and shape.items.type == "text" else ()
            report.add(TYPE, node, f"a list is needed, not {said(node)}", edits=edits)
        elif shape.items is not None:
            _members(report, node.value, shape.items)
    else:
        _scalar(report, node, shape)


def _members(report: Report, nodes: list[Node], shape: Shape) -> None:
    for node in nodes:
        if node.value is None:
            report.add(EMPTY, node, "it has no value", key=True)
        else:
            check(report, node, shape)


def _object(report: Report, node: Node, shape: Shape) -> None:
    for name, below in node.entries.items():
        if name in shape.fields:
            if below.value is None and id(below) not in report.explained:
                report.add(EMPTY, below, "it has no value, so it has no effect", key=True)
            elif below.value is not None:
                check(report, below, shape.fields[name])
        elif not shape.open and id(below) not in report.explained:
            _unknown(report, below, name, shape)
    for name in sorted(shape.required):
        below_or_none = node.entries.get(name)
        absent = below_or_none is None or below_or_none.value is None
        if absent and (id(node), name) not in report.excused:
            choices = shape.fields[name].allowed if name in shape.fields else ()
            allowed = f": one of {', '.join(choices)}" if choices else ""
            report.add(MISSING, node, f"{name!r} is missing", key=True, remedy=f"write {name}{allowed}")


def _unknown(report: Report, node: Node, name: str, shape: Shape) -> None:
    near = nearest(name, shape.fields)
    parent = node.field.rpartition(".")[0] or "the object"
    hint = f"; the nearest field is {near!r}" if near else ""
    remedy = f"write {near!r}" if near else f"fields of {parent}: {', '.join(sorted(shape.fields)) or 'none'}"
    report.add(UNKNOWN, node, f"no field of Chaos Mesh 2.x{hint}", key=True, remedy=remedy)


def nearest(name: str, known: object) -> str | None:
    """The known name that is most like ``name``; None where none is."""
    names = {str(k).lower(): str(k) for k in known}  # type: ignore[attr-defined]
    found = get_close_matches(name[:80].lower(), names, n=1)
    return names[found[0]] if found else None


def _scalar(report: Report, node: Node, shape: Shape) -> None:
    value, kind = node.value, shape.type
    is_bool, is_number = isinstance(value, bool), isinstance(value, int | float) and not isinstance(value, bool)
    if kind in {"text", "bytes"}:
        if isinstance(value, str):
            _text(report, node, value, shape)
        elif is_bool or is_number:
            unit = _UNITS.get(node.name, "") if is_number else ""
            edits = _quoted(node) if _SAFE_NUMBER.match(node.raw) and not unit else ()
            remedy = f'write "{node.raw}{unit}", or another unit' if unit else f'write "{node.raw}"'
            report.add(QUOTE, node, f"a text is needed, not {said(node)}", edits=edits, remedy=remedy)
        else:
            report.add(TYPE, node, f"a text is needed, not {said(node)}")
        return
    if kind == "int-or-text":
        if not isinstance(value, str | int) or is_bool:
            report.add(TYPE, node, f"{_NAMES[kind]} is needed, not {said(node)}")
        return
    right = is_bool if kind == "bool" else is_number
    if kind == "int" and isinstance(value, float):
        right = False
    if right:
        _range(report, node, shape)
    elif isinstance(value, str) and _means(value, kind):
        report.add(
            UNQUOTE, node, f"{_NAMES[kind]} is needed, not {said(node)}", edits=_bare(node), remedy=f"write {value}"
        )
    else:
        report.add(TYPE, node, f"{_NAMES[kind]} is needed, not {said(node)}")


def _text(report: Report, node: Node, value: str, shape: Shape) -> None:
    if shape.type == "bytes":
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            report.add(TYPE, node, f"a text in base64 is needed, not {short(value)!r}")
    elif shape.allowed and value not in shape.allowed:
        same = [a for a in shape.allowed if a.lower() == value.lower()]
        edits = (Edit((node.line, node.column), node.end, same[0]),) if len(same) == 1 and _on_one_line(node) else ()
        near = nearest(value, shape.allowed)
        hint = f"; did you mean {near!r}?" if near else ""
        report.add(CHOICE, node, f"{short(value)!r} is not one of {', '.join(shape.allowed)}{hint}", edits=edits)
    elif shape.pattern and not re.search(shape.pattern, value):
        report.add(PATTERN, node, f"{short(value)!r} does not match {shape.pattern}")


def _range(report: Report, node: Node, shape: Shape) -> None:
    low, high, value = shape.low, shape.high, node.value
    too_low = low is not None and (value <= low if shape.above else value < low)
    if too_low or (high is not None and value > high):
        bounds = [f"{'more than' if shape.above else 'at least'} {low:g}"] if low is not None else []
        bounds += [f"at most {high:g}"] if high is not None else []
        report.add(RANGE, node, f"{node.raw} is out of range: {' and '.join(bounds)}")


def _means(value: str, kind: str) -> bool:
    if kind == "bool":
        return value in {"true", "false"}
    return bool(_SAFE_NUMBER.match(value)) and (kind == "number" or "." not in value)


def _on_one_line(node: Node) -> bool:
    return node.line == node.end[0] and node.style not in {"|", ">"}


def _quoted(node: Node) -> tuple[Edit, ...]:
    return (Edit((node.line, node.column), node.end, f'"{node.raw}"'),) if _on_one_line(node) else ()


def _bare(node: Node) -> tuple[Edit, ...]:
    return (Edit((node.line, node.column), node.end, str(node.value)),) if _on_one_line(node) else ()


def _as_list(node: Node) -> tuple[Edit, ...]:
    """``x`` → ``[x]`` for one word on one line; several words may be several members."""
    if not isinstance(node.value, str) or not _on_one_line(node) or set(node.value) & set(", ;"):
        return ()
    return (Edit((node.line, node.column), (node.line, node.column), "["), Edit(node.end, node.end, "]"))
