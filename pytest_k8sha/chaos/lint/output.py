"""Findings as text for people, as JSON and as SARIF 2.1.0 for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from pytest_k8sha import __version__
from pytest_k8sha.chaos.lint.catalogue import rules

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_k8sha.chaos.lint.finding import Finding, Rule
    from pytest_k8sha.chaos.lint.linter import Result

SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def text(result: Result, fixed: Sequence[Finding] = ()) -> Iterator[str]:
    """Lines for a person: each finding with its remedy, then the sum."""
    for finding in fixed:
        where = f"{finding.path}:{finding.line}:{finding.column}"
        yield f"{where}: fixed: {finding.rule.id} {finding.field}: {finding.remedy}"
    for finding in result.findings:
        yield str(finding)
        yield f"    remedy: {finding.remedy}{' (--fix writes it)' if finding.fixable else ''}"
    counts = ", ".join(
        f"{result.count(s)} {s}{'' if result.count(s) == 1 else 's'}" for s in ("error", "warning", "note")
    )
    files = f"{result.files} file{'' if result.files == 1 else 's'}"
    allowed = f", {len(result.allowed)} allowed by comments" if result.allowed else ""
    yield f"{counts}{allowed} in {result.objects} object{'' if result.objects == 1 else 's'} of Chaos Mesh in {files}"


def as_dict(result: Result, fixed: Sequence[Finding] = ()) -> dict[str, Any]:
    """The result for a program."""
    return {
        "tool": "k8sha chaos lint",
        "version": __version__,
        "files": result.files,
        "objects": result.objects,
        "totals": {severity: result.count(severity) for severity in ("error", "warning", "note")},
        "exit_code": result.exit_code,
        "allowed": [finding.as_dict() for finding in result.allowed],
        "findings": [finding.as_dict() for finding in result.findings],
        "fixed": [finding.as_dict() for finding in fixed],
    }


def sarif(result: Result) -> dict[str, Any]:
    """The result as a SARIF 2.1.0 log with one run. Columns count characters; allowed findings are suppressed."""
    known = rules()
    index = {rule.id: number for number, rule in enumerate(known)}
    results = [_result(finding, index[finding.rule.id]) for finding in result.findings]
    in_source = {"suppressions": [{"kind": "inSource"}]}
    results += [{**_result(finding, index[finding.rule.id]), **in_source} for finding in result.allowed]
    return {
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [
            {
                "tool": {
                    "driver": {
                        "name": "k8sha chaos lint",
                        "semanticVersion": __version__,
                        "rules": [_rule(rule) for rule in known],
                    }
                },
                "columnKind": "unicodeCodePoints",
                "invocations": [{"executionSuccessful": not result.unreadable, "exitCode": result.exit_code}],
                "results": results,
            }
        ],
    }


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"Remedy: {rule.remedy}. See {rule.anchor}."},
        "defaultConfiguration": {"level": rule.severity},
        "properties": {"documentation": rule.anchor},
    }


def _result(finding: Finding, index: int) -> dict[str, Any]:
    place: dict[str, Any] = {"artifactLocation": {"uri": quote(finding.path.replace("\\", "/"))}}
    if finding.line:
        place["region"] = {"startLine": finding.line, "startColumn": finding.column}
    location: dict[str, Any] = {"physicalLocation": place}
    if finding.field:
        location["logicalLocations"] = [{"fullyQualifiedName": finding.field}]
    said = f"{finding.field}: {finding.message}" if finding.field else finding.message
    return {
        "ruleId": finding.rule.id,
        "ruleIndex": index,
        "level": finding.severity,
        "message": {"text": f"{said}. Remedy: {finding.remedy}."},
        "locations": [location],
    }
