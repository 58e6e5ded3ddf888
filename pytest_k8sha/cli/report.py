"""``k8sha report``: the report from the records of one run or of many."""

from __future__ import annotations

from pathlib import Path

import click

from pytest_k8sha.cli import options


@click.command("report")
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RECORD…")
@click.option("-o", "--out", type=click.Path(path_type=Path, file_okay=False), help="The folder of index.html.")
@click.option(
    "--compare",
    "earlier",
    multiple=True,
    type=click.Path(path_type=Path),
    metavar="EARLIER",
    help="The record of an earlier run: say what changed since. Repeatable, for the shards of one run.",
)
@options.as_json
@options.debug
def report(records: tuple[Path, ...], *, out: Path | None, earlier: tuple[Path, ...], as_json: bool) -> None:
    """Make index.html from RECORDs: files, or folders that hold a record.

    Records of several runs and shards are merged. Without -o it lies beside the first record. The exit code is 0 when
    the report was made, whatever it says.
    """
    from pytest_k8sha.cli import console
    from pytest_k8sha.record.chain import files
    from pytest_k8sha.reports import as_json as data
    from pytest_k8sha.reports import load, make, summary

    now = list(dict.fromkeys(file for path in records for file in files(path)))
    before = list(dict.fromkeys(file for path in earlier for file in files(path)))
    model, old = load(now), load(before) if before else None
    page = make(now, out or now[0].parent, model=model, earlier=before)
    if as_json:
        console.dump({"page": str(page.resolve()), **data(model, old)})
        return
    for line in summary.lines(model, earlier=old):
        console.say(line)
    console.say(f"report: {page.resolve()}")
