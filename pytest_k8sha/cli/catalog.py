"""``k8sha catalog``: every check with what it claims, needs and is proved by."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_k8sha.cli import options

if TYPE_CHECKING:
    from pytest_k8sha.checks.catalogue import Catalogue

COLUMNS = ("id", "title", "suite", "severity", "impact", "requires", "controls", "mutants")


@click.command("catalog")
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--markdown", is_flag=True, help="Print a Markdown table, as the documentation has it.")
@options.as_json
@options.debug
def catalog(folders: tuple[Path, ...], *, markdown: bool, as_json: bool) -> None:
    """List every check: of FOLDERS with your own suites, or the bundled ones."""
    from pytest_k8sha.cli import console

    rows = described(read(folders))
    if as_json:
        console.dump(rows)
    elif markdown:
        console.say(_markdown(rows))
    else:
        console.table(
            ["id", "severity", "impact", "promise", "requires", "mutants"],
            [
                [r["id"], r["severity"], r["impact"], r["title"], " ".join(r["requires"]), len(r["mutants"])]
                for r in rows
            ],
        )
        console.say(f"{len(rows)} checks")


def read(folders: tuple[Path, ...] = ()) -> Catalogue:
    """The catalogue of the folders, or of the bundled suites, with the bundled mutants."""
    from pytest_k8sha.checks.catalogue import Catalogue
    from pytest_k8sha.settings import bundled

    found = Catalogue.of(folders or [bundled("suites")])
    for name, checks in mutants(bundled("fixtures")).items():
        for check in checks:
            found.mutants.setdefault(check, []).append(name)
    return found


def mutants(fixtures: Path) -> dict[str, list[str]]:
    """Mutant, as ``suite/name``, → the checks that must fail on it, in the order of the names."""
    import yaml

    found = {}
    root = fixtures / "mutants"
    for path in sorted(root.rglob("*.yaml")):
        data = yaml.safe_load(path.read_text())
        if isinstance(data, dict) and isinstance(data.get("checks"), list):
            found[path.relative_to(root).with_suffix("").as_posix()] = [str(check) for check in data["checks"]]
    return found


def described(catalogue: Catalogue) -> list[dict[str, Any]]:
    """One mapping a check, by suite and id."""
    specs = sorted(catalogue.checks.values(), key=lambda spec: (spec.suite, spec.id))
    return [
        {**spec.as_dict(), "file": catalogue.places[spec.id], "mutants": catalogue.mutants.get(spec.id, [])}
        for spec in specs
    ]


def _markdown(rows: list[dict[str, Any]]) -> str:
    def cell(value: object) -> str:
        text = ", ".join(value) if isinstance(value, list) else str(value)
        return text.replace("|", "\\|")

    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    lines += ["| " + " | ".join(cell(row[column]) for column in COLUMNS) + " |" for row in rows]
    return "\n".join(lines)
