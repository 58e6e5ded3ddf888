"""Reports: everything that is said about a run is made from its record.

Importing this package is cheap: the template engine is imported when a report is made.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_k8sha.reports.words import badge

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pytest_k8sha.reports.model import ReportModel

__all__ = ["as_json", "badge", "load", "make"]


def load(records: Iterable[Path]) -> ReportModel:
    """Reads and merges records. Raises `UsageError` when one of them cannot be read or is none."""
    from pytest_k8sha.record.chain import read
    from pytest_k8sha.reports.merge import merge

    return merge([read(path) for path in records])


def make(records: Iterable[Path], out: Path, *, model: ReportModel | None = None, earlier: Iterable[Path] = ()) -> Path:
    """Writes ``out/index.html`` from one or many records, atomically, and returns its path.

    ``model`` saves a second reading to whoever has loaded the records already. ``earlier`` are the records of a run
    before, with which the report compares.

    Raises `UsageError` when a record cannot be read, `EnvironmentFailure` when the report cannot be written.
    """
    from pytest_k8sha.reports.compare import compare
    from pytest_k8sha.reports.html import render, write

    now, before = load(records) if model is None else model, list(earlier)
    return write(render(now, compare(now, load(before)) if before else None), out)


def as_json(model: ReportModel, earlier: ReportModel | None = None) -> dict[str, Any]:
    """The model as JSON data, for programs: see `pytest_k8sha.reports.data`."""
    from pytest_k8sha.reports.data import as_json as data

    return data(model, earlier)
