"""``--fix``: writes the remedies that need no decision, keeps comments and everything else, and may be run again."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pytest_k8sha.chaos.lint import tree
from pytest_k8sha.chaos.lint.linter import Linter

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_k8sha.chaos.lint.finding import Edit, Finding
    from pytest_k8sha.chaos.lint.shapes import Bundle

PASSES = 20
"""Edits inside an experiment come before the one that moves it into a Schedule; more passes than this have no use."""

_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")


@dataclass(slots=True)
class Fixed:
    """The text after the edits, and the findings that they answered."""

    text: str
    applied: list[Finding] = field(default_factory=list)


def fix(text: str, path: str = "", bundle: Bundle | None = None) -> Fixed:
    """The text with every remedy written that needs no decision. Fixing the result again changes nothing.

    Each step is checked: the text is still YAML with as many documents, what was not edited means the same, and there
    are not more errors than before. An edit that fails the check is left out.
    """
    done = Fixed(text)
    refused: set[tuple[str, str]] = set()
    for _ in range(PASSES):
        found = _findings(done.text, path, bundle)
        wanted = [f for f in found if f.edits and (f.rule.id, f.field) not in refused]
        if not wanted:
            break
        chosen = _apart(wanted)
        new = apply(done.text, [edit for f in chosen for edit in f.edits])
        if _sound(done.text, new, chosen, path, bundle):
            done.text = new
            done.applied += chosen
            continue
        # One of them does harm: try the first alone, and leave it out for good when it is the one.
        new = apply(done.text, list(chosen[0].edits))
        if _sound(done.text, new, chosen[:1], path, bundle):
            done.text = new
            done.applied.append(chosen[0])
        else:
            refused.add((chosen[0].rule.id, chosen[0].field))
    return done


def fix_file(path: Path, bundle: Bundle | None = None) -> list[Finding]:
    """Fixes a file in place; gives the findings that were answered. A file that cannot be read is left alone."""
    try:
        raw = path.read_bytes()
        text = raw.decode("utf-8")
    except (OSError, UnicodeDecodeError):
        return []
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    done = fix(text.removeprefix(mark), str(path), bundle)
    new = (mark + done.text).encode("utf-8")
    if done.applied and new != raw:
        path.write_bytes(new)
    return done.applied


def apply(text: str, edits: list[Edit]) -> str:
    """The text with edits that do not overlap; those at one place in their own order."""
    starts = [0, *(m.end() for m in _BREAK.finditer(text))]

    def offset(place: tuple[int, int]) -> int:
        line, column = place
        return min(starts[line] + column, len(text)) if line < len(starts) else len(text)

    pieces, at = [], 0
    for edit in sorted(edits, key=lambda e: (offset(e.start), offset(e.end))):
        start, end = offset(edit.start), offset(edit.end)
        pieces += [text[at:start], edit.text]
        if end == len(text) and text[-1:] not in {"\n", "\r"} and edit.text.endswith("\n"):
            pieces[-1] = edit.text.rstrip("\r\n")  # a last line without an end stays one
        at = end
    return "".join([*pieces, text[at:]])


def _findings(text: str, path: str, bundle: Bundle | None) -> list[Finding]:
    return Linter(bundle).text(text, path)


def _apart(findings: list[Finding]) -> list[Finding]:
    """As many findings as can be answered at once: the smaller edits first, no two over the same text."""

    def size(finding: Finding) -> int:
        return max(edit.end[0] - edit.start[0] for edit in finding.edits)

    taken: list[Edit] = []
    chosen = []
    for finding in sorted(findings, key=size):
        if not any(e.start <= t.end and t.start <= e.end for e in finding.edits for t in taken):
            taken += finding.edits
            chosen.append(finding)
    return chosen


def _sound(old: str, new: str, chosen: list[Finding], path: str, bundle: Bundle | None) -> bool:
    before, _ = tree.parse(old)
    after, mistakes = tree.parse(new)
    if any(m.fatal for m in mistakes) or len(before) != len(after) or old == new:
        return False
    touched = [(e.start[0], e.end[0]) for f in chosen for e in f.edits]
    for left, right in zip(before, after, strict=True):
        first, last = left.root.line, left.root.last_line
        edited = any(start <= last and first <= end for start, end in touched)
        if not edited and left.root.plain() != right.root.plain():
            return False
    errors = sum(f.severity == "error" for f in _findings(old, path, bundle))
    return sum(f.severity == "error" for f in _findings(new, path, bundle)) <= errors
