"""What the command prints: text, JSON and SARIF, with the exit codes that CI relies on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from click.testing import CliRunner, Result

from pytest_k8sha.chaos.lint import catalogue
from pytest_k8sha.chaos.lint.linter import lint
from pytest_k8sha.chaos.lint.output import sarif
from pytest_k8sha.cli.app import app

DATA = Path(__file__).parent / "data" / "chaos"
FIXTURES = Path(__file__).parents[2] / "fixtures" / "chaos"

SARIF_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["version", "runs"],
    "properties": {
        "version": {"const": "2.1.0"},
        "$schema": {"type": "string", "format": "uri"},
        "runs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["tool"],
                "additionalProperties": False,
                "properties": {
                    "tool": {
                        "type": "object",
                        "required": ["driver"],
                        "additionalProperties": False,
                        "properties": {"driver": {"$ref": "#/$defs/driver"}},
                    },
                    "columnKind": {"enum": ["utf16CodeUnits", "unicodeCodePoints"]},
                    "invocations": {
                        "type": "array",
                        "items": {
                            "type": "object",
                            "required": ["executionSuccessful"],
                            "additionalProperties": False,
                            "properties": {"executionSuccessful": {"type": "boolean"}, "exitCode": {"type": "integer"}},
                        },
                    },
                    "results": {"type": "array", "items": {"$ref": "#/$defs/result"}},
                },
            },
        },
    },
    "$defs": {
        "message": {
            "type": "object",
            "required": ["text"],
            "additionalProperties": False,
            "properties": {"text": {"type": "string", "minLength": 1}},
        },
        "level": {"enum": ["none", "note", "warning", "error"]},
        "driver": {
            "type": "object",
            "required": ["name"],
            "additionalProperties": False,
            "properties": {
                "name": {"type": "string"},
                "semanticVersion": {"type": "string"},
                "rules": {
                    "type": "array",
                    "uniqueItems": True,
                    "items": {
                        "type": "object",
                        "required": ["id"],
                        "additionalProperties": False,
                        "properties": {
                            "id": {"type": "string"},
                            "shortDescription": {"$ref": "#/$defs/message"},
                            "fullDescription": {"$ref": "#/$defs/message"},
                            "help": {"$ref": "#/$defs/message"},
                            "properties": {"type": "object"},
                            "defaultConfiguration": {
                                "type": "object",
                                "additionalProperties": False,
                                "properties": {"level": {"$ref": "#/$defs/level"}},
                            },
                        },
                    },
                },
            },
        },
        "result": {
            "type": "object",
            "required": ["message"],
            "additionalProperties": False,
            "properties": {
                "ruleId": {"type": "string"},
                "suppressions": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "required": ["kind"],
                        "additionalProperties": False,
                        "properties": {"kind": {"enum": ["inSource", "external"]}},
                    },
                },
                "ruleIndex": {"type": "integer", "minimum": -1},
                "level": {"$ref": "#/$defs/level"},
                "message": {"$ref": "#/$defs/message"},
                "locations": {
                    "type": "array",
                    "items": {
                        "type": "object",
                        "additionalProperties": False,
                        "properties": {
                            "physicalLocation": {
                                "type": "object",
                                "required": ["artifactLocation"],
                                "additionalProperties": False,
                                "properties": {
                                    "artifactLocation": {
                                        "type": "object",
                                        "additionalProperties": False,
                                        "properties": {"uri": {"type": "string", "pattern": "^[^ \\\\]*$"}},
                                    },
                                    "region": {
                                        "type": "object",
                                        "additionalProperties": False,
                                        "properties": {
                                            "startLine": {"type": "integer", "minimum": 1},
                                            "startColumn": {"type": "integer", "minimum": 1},
                                        },
                                    },
                                },
                            },
                            "logicalLocations": {
                                "type": "array",
                                "items": {
                                    "type": "object",
                                    "additionalProperties": False,
                                    "properties": {"fullyQualifiedName": {"type": "string"}},
                                },
                            },
                        },
                    },
                },
            },
        },
    },
}
"""The members of SARIF 2.1.0 that are used here, with what its specification (OASIS, section 3) requires of them."""


def k8sha(*arguments: object) -> Result:
    """Runs the command in this process."""
    return CliRunner().invoke(app, ["chaos", *map(str, arguments)])


def test_sarif_has_the_structure_of_2_1_0(tmp_path: Path) -> None:
    """Every finding of all wrong manifests, and a path with a space: members, types and levels are those of SARIF."""
    import jsonschema

    odd = tmp_path / "with space.yaml"
    odd.write_text("kind: [\n")
    allowed = tmp_path / "allowed.yaml"
    text = (DATA / "partition-from-everybody.yaml").read_text()
    allowed.write_text(text.replace("# CHL", "# k8sha: allow CHL").replace("name: x", "name: other"))
    log = sarif(lint([DATA, odd, allowed, tmp_path / "none.yaml"]))
    jsonschema.Draft202012Validator(SARIF_SCHEMA).validate(log)
    (run,) = log["runs"]
    assert [r["ruleId"] for r in run["results"] if "suppressions" in r] == ["CHL-406"]
    rules = run["tool"]["driver"]["rules"]
    assert len(run["results"]) > 170
    for result in run["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
    uris = {r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in run["results"]}
    assert str(odd) in {unquote(uri) for uri in uris}
    assert run["invocations"][0] == {"executionSuccessful": False, "exitCode": 2}
    json.dumps(log)


@pytest.mark.parametrize(
    ("name", "code"),
    [("unknown-field", 1), ("no-namespaces", 0), ("other-object", 0), ("not-yaml", 2), ("kind-unchecked", 0)],
)
def test_exit_codes(name: str, code: int) -> None:
    """1 with errors, 2 for what cannot be read, 0 with warnings and notes only."""
    assert k8sha("lint", DATA / f"{name}.yaml").exit_code == code


def test_strict_on_the_command_line() -> None:
    """--strict turns the warning into exit code 1."""
    assert k8sha("lint", "--strict", DATA / "no-namespaces.yaml").exit_code == 1


def test_json_is_all_that_is_printed() -> None:
    """--json prints one document with place, rule, severity, remedy and anchor of each finding."""
    made = json.loads(k8sha("lint", "--json", DATA / "loss-zero.yaml").output)
    (finding,) = made["findings"]
    assert finding == {
        "path": str(DATA / "loss-zero.yaml"),
        "line": 7,
        "column": 16,
        "rule": "CHL-409",
        "severity": "error",
        "field": "spec.loss.loss",
        "message": "loss of zero",
        "remedy": "write a value above zero",
        "documentation": "docs/chaos-lint.md#chl-409",
        "fixable": False,
    }
    assert made["totals"] == {"error": 1, "warning": 0, "note": 0}


def test_sarif_on_the_command_line() -> None:
    """--sarif prints one log, and the exit code stays; with --json as well it is refused."""
    result = k8sha("lint", "--sarif", DATA / "loss-zero.yaml")
    assert json.loads(result.output)["version"] == "2.1.0"
    assert result.exit_code == 1
    assert k8sha("lint", "--sarif", "--json", DATA / "loss-zero.yaml").exit_code == 2


def test_text_names_place_rule_and_remedy() -> None:
    """The text for a person has path, line, column, severity, id, field, message and remedy."""
    path = DATA / "loss-is-a-number.yaml"
    output = k8sha("lint", path).output.splitlines()
    assert output[0] == f"{path}:8:11: error: CHL-015 spec.loss.loss: a text is needed, not the number 25"
    assert output[1] == '    remedy: write "25" (--fix writes it)'
    assert output[-1] == "1 error, 0 warnings, 0 notes in 1 object of Chaos Mesh in 1 file"


def test_fix_writes_the_file_and_judges_what_is_left(tmp_path: Path) -> None:
    """After --fix the mechanical case passes, the other one still fails; both say what was written."""
    for name, code in (("pod-failure", 0), ("http-abort", 1)):
        path = tmp_path / f"{name}.yaml"
        path.write_text((FIXTURES / "handbook-1.x" / f"{name}.yaml").read_text())
        result = k8sha("lint", "--fix", path)
        assert result.exit_code == code
        assert "fixed: CHL-102" in result.output
        assert "kind: Schedule" in path.read_text()


def test_schemas_on_the_command_line(tmp_path: Path) -> None:
    """--schemas with a folder that holds no CRD is a mistake of usage, before any file is judged."""
    result = k8sha("lint", "--schemas", tmp_path, DATA / "loss-zero.yaml")
    assert result.exit_code == 2
    assert "CustomResourceDefinition" in result.output


def test_rules_are_listed() -> None:
    """`k8sha chaos rules` knows every rule, as a table, as JSON and as the documentation."""
    known = catalogue.rules()
    assert f"{len(known)} rules" in k8sha("rules").output
    assert [rule["id"] for rule in json.loads(k8sha("rules", "--json").output)] == [rule.id for rule in known]
    assert k8sha("rules", "--markdown").output.startswith("# Rules of")


def test_ids_and_texts_of_rules() -> None:
    """Every id has its form, every text is a sentence's beginning or remedy without a full stop at its end."""
    for rule in catalogue.rules():
        assert rule.id[:4] == "CHL-"
        assert len(rule.id) == 7
        assert rule.why.endswith(".")
        assert not rule.remedy.endswith(".")
        assert not rule.title.endswith(".")
