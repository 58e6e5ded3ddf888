"""The linter: files in, findings out. It needs no cluster and sends nothing."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_k8sha.chaos.lint import objects, structure, tree
from pytest_k8sha.chaos.lint.finding import Finding, Report
from pytest_k8sha.chaos.lint.shapes import Bundle, bundled

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

BREAKS = "\n", "\r", "\x85", "\u2028", "\u2029"
"""Where YAML ends a line."""

_ALLOW = re.compile(r"# k8sha: allow ((?:CHL-[0-9]{3}[, ]*)+)")


@dataclass(slots=True)
class Result:
    """What was found in some files.

    ``objects``: how many objects of Chaos Mesh were looked at. ``allowed``: findings that the files allow by a comment
    ``# k8sha: allow CHL-…`` on their line or on the line above; they count for nothing.
    """

    findings: list[Finding] = field(default_factory=list)
    files: int = 0
    objects: int = 0
    allowed: list[Finding] = field(default_factory=list)

    def count(self, severity: str) -> int:
        """How many findings have this severity."""
        return sum(f.severity == severity for f in self.findings)

    @property
    def unreadable(self) -> bool:
        """Whether something could not be read at all."""
        return any(f.rule is objects.UNREADABLE for f in self.findings)

    @property
    def exit_code(self) -> int:
        """2 when something could not be read, 1 with errors, else 0."""
        return 2 if self.unreadable else 1 if self.count("error") else 0


class Linter:
    """Lints texts and files one after another, and remembers names, so that objects that collide are found."""

    def __init__(self, bundle: Bundle | None = None, *, strict: bool = False) -> None:
        """``strict`` makes every warning an error."""
        self.bundle = bundle or bundled()
        self.strict = strict
        self.result = Result()
        self._seen: dict[tuple[str, str, str], str] = {}
        self._dns: dict[str, tuple[str, str]] = {}

    def file(self, path: Path) -> None:
        """Lints a file."""
        try:
            text = path.read_bytes().decode("utf-8-sig")
        except OSError as error:
            self._unreadable(str(path), f"cannot be read: {error.strerror or error}")
        except UnicodeDecodeError as error:
            self._unreadable(str(path), f"is not UTF-8 at byte {error.start}")
        else:
            self.text(text, str(path))

    def text(self, text: str, path: str) -> list[Finding]:
        """Lints a text; gives its findings, which are also added to the result."""
        lines, newline = split(text)
        report = Report(path, lines, newline)
        documents, mistakes = tree.parse(text)
        for mistake in mistakes:
            rule = objects.UNREADABLE if mistake.fatal else objects.TWICE
            finding = Finding(
                path, mistake.line, mistake.column, rule, rule.severity, mistake.field, mistake.message, rule.remedy
            )
            report.findings.append(finding)
        seen = 0
        for document in documents:
            for root in objects.objects(document.root):
                identity = objects.check(report, root, self.bundle, shared=document.shared)
                if identity is not None:
                    seen += 1
                    self._collisions(report, root, identity)
        if not seen and not report.findings:
            report.add(objects.NOTHING, None, "no object of chaos-mesh.org is in it")
        found, allowed = _allowed(self._ordered(report.findings), lines)
        self.result.allowed += allowed
        self.result.findings += found
        self.result.files += 1
        self.result.objects += seen
        return found

    def manifest(self, manifest: Mapping[str, Any], path: str = "manifest") -> list[Finding]:
        """Lints an object that is not in a file; the places mean nothing then, ``field`` says where."""
        return self.text(json.dumps(manifest, default=str), path)

    def _unreadable(self, path: str, message: str) -> None:
        rule = objects.UNREADABLE
        self.result.files += 1
        self.result.findings.append(Finding(path, 0, 0, rule, rule.severity, "", message, rule.remedy))

    def _collisions(self, report: Report, root: tree.Node, identity: tuple[str, str, str]) -> None:
        kind, namespace, name = identity
        node = root.get("metadata", "name")
        if not name or node is None:
            return
        place = f"{report.path}:{node.place[0]}"
        if identity in self._seen:
            # Files may be alternatives, of which one is sent at a time; the documents of one file are not.
            elsewhere = not self._seen[identity].startswith(f"{report.path}:")
            said = f"{kind} {namespace or 'default'}/{name} is also in {self._seen[identity]}"
            report.add(objects.SAME, node, said, severity="warning" if elsewhere else None)
        self._seen.setdefault(identity, place)
        if kind == "DNSChaos":
            other = self._dns.setdefault(name, (namespace, place))
            if other[0] != namespace:
                report.add(objects.DNS_SAME, node, f"{name!r} in another namespace is in {other[1]}")

    def _ordered(self, findings: list[Finding]) -> list[Finding]:
        """By place; a pattern of the CRD is left out where a rule of its own has spoken of the same value."""
        spoken = {(f.line, f.column) for f in findings if f.rule is not structure.PATTERN}
        kept = [f for f in findings if f.rule is not structure.PATTERN or (f.line, f.column) not in spoken]
        if self.strict:
            kept = [replace(f, severity="error") if f.severity == "warning" else f for f in kept]
        unique = {(f.line, f.column, f.rule.id, f.message): f for f in kept}
        return sorted(unique.values(), key=lambda f: (f.line, f.column, f.rule.id))


def _allowed(findings: list[Finding], lines: list[str]) -> tuple[list[Finding], list[Finding]]:
    """The findings that stay, and those that a comment allows. What cannot be read is never allowed."""
    kept: list[Finding] = []
    allowed: list[Finding] = []
    for finding in findings:
        near = lines[max(finding.line - 2, 0) : finding.line] if finding.line else []
        # The line above counts only when it holds nothing else, or it would allow two findings at once.
        said = [
            line for line in near[-1:] + [above for above in near[:-1] if above.lstrip().startswith("#")] if "#" in line
        ]
        ids = {id_ for line in said if (found := _ALLOW.search(line)) for id_ in re.findall(r"CHL-[0-9]{3}", found[1])}
        is_allowed = finding.rule.id in ids and finding.rule is not objects.UNREADABLE
        (allowed if is_allowed else kept).append(finding)
    return kept, allowed


def lint(paths: Iterable[Path], bundle: Bundle | None = None, *, strict: bool = False) -> Result:
    """Lints files and folders (their ``*.yaml``, ``*.yml`` and ``*.json``)."""
    linter = Linter(bundle, strict=strict)
    for path in files(paths):
        linter.file(path)
    return linter.result


def files(paths: Iterable[Path]) -> list[Path]:
    """The files that are meant: each file itself, of a folder all manifests below it. A path that is absent stays."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            below = sorted(p for p in path.rglob("*") if p.suffix in {".yaml", ".yml", ".json"} and p.is_file())
            found += below or [path / "*.yaml"]
        else:
            found.append(path)
    return list(dict.fromkeys(found))


def split(text: str) -> tuple[list[str], str]:
    """The lines of a text without their ends, as YAML counts them, and the end that the file uses."""
    newline = "\r\n" if "\r\n" in text else "\n"
    plain = text.replace("\r\n", "\n")
    for sign in BREAKS[1:]:
        plain = plain.replace(sign, "\n")
    return plain.split("\n"), newline
