"""What the linter says: rules that never change their id, and findings at a line and column."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from pytest_k8sha.chaos.lint.tree import Node

Severity = Literal["error", "warning", "note"]

DOCUMENT = "docs/chaos-lint.md"
"""Where every rule is explained; made by `pytest_k8sha.chaos.lint.catalogue.markdown`."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One thing that a manifest can get wrong. ``id`` is stable: it is never given to another rule.

    ``fix`` says what ``--fix`` writes; it is empty where a person must decide.
    """

    id: str
    severity: Severity
    title: str
    why: str
    remedy: str
    fix: str = ""

    @property
    def anchor(self) -> str:
        """Where the documentation explains the rule."""
        return f"{DOCUMENT}#{self.id.lower()}"


@dataclass(frozen=True, slots=True)
class Edit:
    """A change of the text from ``start`` up to ``end``, both (line, column) from 0, to ``text``."""

    start: tuple[int, int]
    end: tuple[int, int]
    text: str


@dataclass(frozen=True, slots=True)
class Finding:
    """One mistake at one place. ``line`` and ``column`` count from 1; 0 where there is no place in a file."""

    path: str
    line: int
    column: int
    rule: Rule
    severity: Severity
    field: str
    message: str
    remedy: str
    edits: tuple[Edit, ...] = ()

    @property
    def fixable(self) -> bool:
        """Whether ``--fix`` can write the remedy."""
        return bool(self.edits)

    def as_dict(self) -> dict[str, Any]:
        """The finding for a program."""
        return {
            "path": self.path,
            "line": self.line,
            "column": self.column,
            "rule": self.rule.id,
            "severity": self.severity,
            "field": self.field,
            "message": self.message,
            "remedy": self.remedy,
            "documentation": self.rule.anchor,
            "fixable": self.fixable,
        }

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}:{self.column}" if self.line else self.path
        said = f"{self.field}: {self.message}" if self.field else self.message
        return f"{where}: {self.severity}: {self.rule.id} {said}"


@dataclass
class Report:
    """Collects the findings of one file. A node that one rule has explained is not reported again as unknown."""

    path: str
    lines: list[str] = field(default_factory=list)
    newline: str = "\n"
    findings: list[Finding] = field(default_factory=list)
    explained: set[int] = field(default_factory=set)
    excused: set[tuple[int, str]] = field(default_factory=set)

    def add(
        self,
        rule: Rule,
        node: Node | None,
        message: str,
        *,
        key: bool = False,
        remedy: str = "",
        severity: Severity | None = None,
        edits: tuple[Edit, ...] = (),
    ) -> None:
        """Adds a finding at the value of ``node``, or with ``key`` at the key that it stands under."""
        line, column = (0, 0) if node is None else node.key_place if key else node.place
        name = "" if node is None else node.field
        shown = severity or rule.severity
        self.findings.append(Finding(self.path, line, column, rule, shown, name, message, remedy or rule.remedy, edits))

    def excuse(self, node: Node, name: str) -> None:
        """Does not report ``name`` as missing from ``node``: another rule says what to write there."""
        self.excused.add((id(node), name))

    def explain(self, node: Node) -> None:
        """Marks a node as already dealt with."""
        self.explained.add(id(node))
