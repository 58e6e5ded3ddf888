"""``k8sha chaos``: experiments on the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_k8sha.cli import gameday, options

if TYPE_CHECKING:
    from pytest_k8sha.chaos.lint.shapes import Bundle


@click.group("chaos")
def chaos() -> None:
    """Judge experiment files, and run them."""


@chaos.command("lint")
@click.argument("paths", nargs=-1, required=True, metavar="FILE…", type=click.Path(path_type=Path))
@click.option("--sarif", is_flag=True, help="Print SARIF 2.1.0, and nothing else, to the standard output.")
@click.option("--fix", is_flag=True, help="Write the remedies that need no decision into the files.")
@click.option("--strict", is_flag=True, help="Make every warning an error.")
@click.option(
    "--schemas",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder with the CRDs of Chaos Mesh, used instead of the bundled fields.",
)
@options.as_json
@options.debug
@click.pass_context
def lint(
    ctx: click.Context,
    paths: tuple[Path, ...],
    *,
    sarif: bool,
    fix: bool,
    strict: bool,
    schemas: Path | None,
    as_json: bool,
) -> None:
    """Judge Chaos Mesh manifests without a cluster; of a folder every *.yaml, *.yml and *.json below it.

    Exit code 2 when a file cannot be read, 1 with errors, else 0.
    """
    from pytest_k8sha.chaos.lint import linter, output
    from pytest_k8sha.chaos.lint.fix import fix_file
    from pytest_k8sha.cli import console
    from pytest_k8sha.errors import UsageError

    if sarif and as_json:
        raise UsageError("the standard output is JSON or SARIF, not both", remedy="give one of --json and --sarif")
    bundle = _bundle(schemas)
    found = linter.files(paths)
    fixed = [finding for path in found for finding in fix_file(path, bundle)] if fix else []
    result = linter.lint(found, bundle, strict=strict)
    if sarif:
        console.dump(output.sarif(result))
    elif as_json:
        console.dump(output.as_dict(result, fixed))
    else:
        for line in output.text(result, fixed):
            console.say(line)
    ctx.exit(result.exit_code)


@chaos.command("rules")
@click.option("--markdown", is_flag=True, help="Print the documentation of the rules.")
@options.as_json
@options.debug
def rules(*, markdown: bool, as_json: bool) -> None:
    """List every rule of the linter."""
    from pytest_k8sha.chaos.lint import catalogue
    from pytest_k8sha.cli import console

    known = catalogue.rules()
    if as_json:
        names = ("id", "severity", "title", "why", "remedy", "fix")
        console.dump([{name: getattr(rule, name) for name in names} for rule in known])
    elif markdown:
        console.say(catalogue.markdown().rstrip())
    else:
        rows = [[rule.id, rule.severity, rule.title, "yes" if rule.fix else ""] for rule in known]
        console.table(["id", "severity", "mistake", "--fix"], rows)
        console.say(f"{len(known)} rules")


chaos.add_command(gameday.run)


def _bundle(schemas: Path | None) -> Bundle | None:
    from pytest_k8sha.chaos.lint.shapes import from_folder

    return from_folder(schemas) if schemas is not None else None
