"""The command: help and version at once, bad input in one message, exit codes, schemas, selection."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click
import jsonschema
import pytest
import yaml
from click.testing import CliRunner, Result

from pytest_k8sha import _process
from pytest_k8sha.cli.app import COMMANDS, app
from pytest_k8sha.cli.catalog import mutants
from pytest_k8sha.cli.run import exit_code, select
from pytest_k8sha.cli.schema import KINDS, of
from pytest_k8sha.errors import UsageError
from pytest_k8sha.settings import bundled

ROOT = Path(__file__).parents[2]
HEAVY = ("kubernetes", "yaml", "pydantic", "jinja2", "rich", "cryptography", "psutil", "pytest", "urllib3", "filelock")


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("K8SHA_STATE", str(tmp_path / "state"))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "no-kubeconfig"))
    monkeypatch.chdir(tmp_path)


def invoke(*words: str) -> Result:
    return CliRunner().invoke(app, [*words])


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["run", "--help"], ["nonsense"]])
def test_nothing_heavy_is_imported_to_answer_at_once(words: list[str]) -> None:
    """Help, version and a wrong command need no client, YAML, HTTP, nor anything else that takes its time."""
    code = (
        "import sys\n"
        "from pytest_k8sha.cli import main\n"
        f"sys.argv = ['k8sha', *{words!r}]\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        f"print('HEAVY', sorted(set({HEAVY!r}) & set(sys.modules)))\n"
    )
    done = _process.run([sys.executable, "-c", code], timeout=60, env={"PYTHONPATH": str(ROOT)})
    assert "HEAVY []" in done.stdout, done.stdout


def test_every_command_has_a_help() -> None:
    """Each command is found by its name, and says what it is for."""
    for name in COMMANDS:
        done = invoke(name, "--help")
        assert done.exit_code == 0, done.output
        command = app.get_command(click.Context(app), name)
        for inner in command.commands if isinstance(command, click.Group) else ():
            done = invoke(name, inner, "--help")
            assert done.exit_code == 0, done.output
        assert "--debug" in done.output, name


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["stat"], 2, "did you mean 'status'?"),
        (["run", "--impct", "observe"], 2, "--impact"),
        (["run", "--impact", "destroy"], 2, "'observe'"),
        (["run", "--cluster", "east=locla"], 2, "did you mean 'local'?"),
        (["run", "--cluster", "east=local", "--fleet", "x.yaml"], 2, "not from both"),
        (["run", "--fleet", "gone.yaml"], 2, "gone.yaml: cannot be read"),
        (["run", "--cluster", "east=local", "tenanci"], 2, "did you mean 'tenancy'?"),
        (["run", "--cluster", "east=local", "--suite", "tenanci"], 2, "did you mean 'tenancy'?"),
        (["run", "--cluster", "east=local", "TEN-ACC-999"], 2, "unknown check: 'TEN-ACC-999'; did you mean 'TEN-ACC-0"),
        (["run", "--cluster", "east=local", "-n", "many"], 2, "-n takes a number or auto"),
        (["run", "--cluster", "east=local", "--out", "/dev/null/out"], 3, "cannot be written"),
        (["down"], 2, "name the clusters to end"),
        (["down", "east"], 2, "no cluster of this name is kept: 'east'"),
        (["report"], 2, "Missing argument"),
        (["report", "gone.jsonl"], 2, "no such record"),
        (["schema", "flet"], 2, "'fleet'"),
        (["doctor", "--cluster", "x=context:nobody"], 3, "no-kubeconfig: cannot be read"),
        (["catalog", "gone"], 2, "does not exist"),
    ],
)
def test_bad_input_is_one_message_and_its_exit_code(words: list[str], code: int, said: str) -> None:
    """Each mistake is told in one message without a traceback, and nothing was made."""
    done = invoke(*words)
    assert said in done.output, done.output
    assert "Traceback" not in done.output
    assert done.exit_code == code, done.output
    assert not list(Path("state").glob("*/*"))


def test_an_error_is_json_where_json_was_asked_for() -> None:
    """With --json stdout holds one JSON document, the error too; the message is on stderr."""
    done = invoke("run", "--cluster", "east=locla", "--json")
    assert json.loads(done.stdout)["error"] == {
        "kind": "UsageError",
        "message": done.stderr.removeprefix("k8sha: ").strip(),
        "exit_code": 2,
    }


def test_debug_shows_the_traceback() -> None:
    """--debug shows where an error came from; the exit code stays."""
    done = invoke("run", "--cluster", "east=locla", "--debug")
    assert "Traceback" in done.output
    assert done.exit_code == 2


def test_a_mistake_of_the_command_itself_is_told_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """An unforeseen exception is one line and exit code 3, not a page of traceback."""

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("pytest_k8sha.settings.Settings.from_environment", broken)
    done = invoke("status")
    assert done.exit_code == 3
    assert "mistake of k8sha itself: ZeroDivisionError: oh" in done.output
    assert "Traceback" not in done.output


def test_empty_state() -> None:
    """Without any run or cluster every command that looks for them says so, and is content."""
    assert "no cluster is kept" in invoke("status").output
    assert json.loads(invoke("status", "--json").stdout) == {"clusters": []}
    assert invoke("down", "--all").exit_code == 0
    assert "no run left anything" in invoke("recover").output
    assert json.loads(invoke("recover", "--json").stdout) == {"runs": [], "dry_run": False, "remains": 0}
    assert not Path("state").exists()


@pytest.mark.parametrize("kind", KINDS)
def test_schemas_are_schemas(kind: str) -> None:
    """Each is valid by the metaschema of its draft."""
    jsonschema.Draft202012Validator.check_schema(of(kind))
    assert json.loads(invoke("schema", kind).stdout) == of(kind)


def test_the_fleet_schema_knows_each_provider_s_keys() -> None:
    """It accepts the bundled fleet, and refuses a misspelt key, a key of another provider, and a wrong value."""
    check = jsonschema.Draft202012Validator(of("fleet"))

    def good(text: str) -> bool:
        return bool(check.is_valid(yaml.safe_load(text)))

    assert good(bundled("fixtures", "fleets", "demo.yaml").read_text())
    assert good("clusters: {prod: {provider: context, argument: prod, kubeconfig: x, ceiling: observe}}")
    assert good("clusters: {east: {members: 3, leader-elect: false}}")
    assert not good("clusters: {east: {membres: 3}}")
    assert not good("clusters: {prod: {provider: context, members: 3}}")
    assert not good("clusters: {east: {members: 9}}")
    assert not good("clusters: {}")


def test_the_catalogue_is_what_the_suites_say() -> None:
    """Every check once, with all that the issue tracker, an auditor or the documentation wants to know of it."""
    rows = json.loads(invoke("catalog", "--json").stdout)
    assert len({row["id"] for row in rows}) == len(rows)
    assert {row["suite"] for row in rows} >= {"tenancy", "availability"}
    for row in rows:
        assert {"title", "severity", "impact", "requires", "controls", "mutants"} <= set(row)
    table = invoke("catalog", "--markdown").stdout.splitlines()
    assert len(table) == len(rows) + 2
    shown = invoke("catalog").stdout
    assert all(row["id"] in shown for row in rows)


def test_mutants_belong_to_checks_that_exist() -> None:
    """A mutant names only checks of the catalogue; otherwise it proves nothing."""
    known = {row["id"] for row in json.loads(invoke("catalog", "--json").stdout)}
    for name, checks in mutants(bundled("fixtures")).items():
        assert set(checks) <= known, name


def test_selection() -> None:
    """Words are suites, checks or paths; a check becomes the one test that it is; no word means every suite."""
    suites = {Path(path).name for path in select([]).paths}
    assert suites >= {"tenancy", "availability"}
    assert [Path(path).name for path in select(["tenancy"]).paths] == ["tenancy"]
    assert [Path(path).name for path in select([], suites=["availability", "tenancy", "tenancy"]).paths] == [
        "availability",
        "tenancy",
    ]
    (node,) = select(["TEN-ACC-001"]).paths
    assert Path(node.partition("::")[0]).parent.name == "tenancy"
    assert select(["TEN-ACC-001"], suites=["tenancy"], checks=["TEN-ACC-001"]).paths == [node]
    with pytest.raises(UsageError, match="unknown check"):
        select(["TEN-ACC-001"], suites=["availability"])
    Path("test_mine.py").write_text("")
    mine = select(["test_mine.py::test_x", "test_mine.py"])
    assert mine.paths == ["test_mine.py::test_x", "test_mine.py"]
    assert not mine.bundled


class _Model:
    def __init__(self, *, failed: int = 0, inconclusive: int = 0, interrupted: bool = False) -> None:
        self.totals = self
        self.failed, self.inconclusive, self.interrupted = failed, inconclusive, interrupted
        self.results = ["one"]


@pytest.mark.parametrize(
    ("code", "model", "expected"),
    [
        (0, _Model(), 0),
        (0, _Model(inconclusive=1), 1),
        (1, _Model(failed=1), 1),
        (2, _Model(interrupted=True), 130),
        (2, _Model(), 2),
        (2, None, 2),
        (3, _Model(), 3),
        (4, None, 2),
        (5, _Model(), 2),
        (-9, _Model(), 137),
    ],
)
def test_exit_codes_follow_pytest_s(code: int, model: Any, expected: int) -> None:
    """0 passed, 1 failed or inconclusive, 2 usage, 3 internal, 130 interrupted, 128 + n for a signal."""
    assert exit_code(code, model) == expected


def test_a_ctrl_c_before_the_first_result_is_told_from_a_collection_error() -> None:
    """pytest ends both with 2; the command knows whether it was interrupted."""
    assert exit_code(2, None, interrupted=True) == 130
    assert exit_code(0, None, interrupted=True) == 0
