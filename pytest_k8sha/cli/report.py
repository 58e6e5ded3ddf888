"""``k8sha report``: the report from the records of one run or of many."""

from __future__ import annotations

from pathlib import Path

import click

from pytest_k8sha.cli import options


@click.command("report")
@click.argument("records", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RECORD…")
@click.option("-o", "--out", type=click.Path(path_type=Path, file_okay=False), help="The folder of index.html.")
@options.as_json
@options.debug
def report(records: tuple[Path, ...], *, out: Path | None, as_json: bool) -> None:
    """Make index.html from RECORDs: files, or folders that hold a record.

    Records of several runs and shards are merged. Without -o it lies beside the first record. The exit code is 0 when
    the report was made, whatever it says.
    """
    from pytest_k8sha.cli import console
    from pytest_k8sha.reports import as_json as data
    from pytest_k8sha.reports import load, make, summary

    files = list(dict.fromkeys(file for path in records for file in found(path)))
    model = load(files)
    page = make(files, out or files[0].parent)
    if as_json:
        console.dump({"page": str(page.resolve()), **data(model)})
        return
    for line in summary.lines(model):
        console.say(line)
    console.say(f"report: {page.resolve()}")


def found(path: Path) -> list[Path]:
    """The record that a path names: itself, or the ``record*.jsonl`` of a folder. Raises `UsageError`."""
    from pytest_k8sha.errors import UsageError

    if path.is_dir():
        files = sorted(path.glob("record*.jsonl"))
        if not files:
            raise UsageError("the folder holds no record*.jsonl", value=str(path))
        return files
    if not path.is_file():
        raise UsageError("there is no such record", value=str(path))
    return [path]
