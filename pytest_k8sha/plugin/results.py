"""The record of the run: one line a verdict, written by the main process or by xdist's controller."""

from __future__ import annotations

import json
import platform
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from pytest_k8sha import __version__, _clock
from pytest_k8sha.errors import K8shaError
from pytest_k8sha.plugin.body import Body
from pytest_k8sha.record.chain import Record, files

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_k8sha.plugin.session import Session
    from pytest_k8sha.reports.model import ReportModel


class Results:
    """Writes each verdict as it comes. The record lies in the run's folder when nobody asked for it, so that a run
    that crashes can still be reported."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.results: list[dict[str, Any]] = []
        self.totals: Counter[tuple[str, str, str]] = Counter()
        """By cluster, suite and verdict."""
        self.problem = ""
        """Why the record or the report could not be written."""
        self.report: Path | None = None
        self.model: ReportModel | None = None
        self._record: Record | None = None
        self._described: set[str] = set()
        self._clock = _clock.Deadline(0)

    @property
    def path(self) -> Path | None:
        """Where the record is kept; None when it goes with the run's folder."""
        return self.session.options.record

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self) -> None:
        if self.path and not self.session.dry:
            self._open()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        for item in getattr(report, "k8sha_teardown", ()):
            self.session.leftovers.append(item)
        data: dict[str, Any] | None = getattr(report, "k8sha", None)
        if data is None or str(report.outcome) == "rerun":
            return
        if isinstance(report.longrepr, str) and report.outcome == "failed":
            report.longrepr = Body.of(data, report.longrepr)  # type: ignore[assignment]  # xdist carries the text only
        self.add(data)

    def add(self, data: dict[str, Any]) -> None:
        """Counts a result and writes its line."""
        result = {key: value for key, value in data.items() if key != "judged"}
        self.results.append(result)
        self.totals[result["cluster"], result["suite"] or "tests", result["verdict"]] += 1
        self._describe(result["cluster"])
        self._write("result", result)
        self.session.config.hook.pytest_k8sha_result(config=self.session.config, result=result)

    def before_end(self) -> None:
        """While the run's folder is still there: what is known of clusters that had no result."""
        for path in sorted(self.session.folder.path.glob("ready-*.json")):
            self._describe(path.stem.removeprefix("ready-"))

    def end(self, status: int, *, interrupted: bool) -> None:
        """The last lines, and the report. Raises nothing: what cannot be written is told in the summary."""
        if self._record is None and not (self.path and not self.session.dry):
            return
        totals: Counter[str] = Counter(result["verdict"] for result in self.results)
        for item in self.session.leftovers:
            self._write("teardown", item)
        for text in self.session.notes:
            self._write("note", {"text": text})
        self._write(
            "run.end",
            {
                "exitstatus": status,
                "totals": dict(totals),
                "duration": round(self._clock.spent, 3),
                "interrupted": interrupted,
            },
        )
        record, self._record = self._record, None
        if record is None:
            return
        record.close()
        out = self.session.options.out
        try:
            from pytest_k8sha import reports

            self.model = reports.load([record.path])
            if out:
                with self.session.progress.during("the report is being made"):
                    earlier = [file for path in self.session.options.compare for file in files(path)]
                    self.report = reports.make([record.path], out, model=self.model, earlier=earlier)
        except Exception as error:  # noqa: BLE001 - a report that cannot be made changes nothing that was judged
            self.problem = f"the report could not be made: {error}; the record is whole"

    def _open(self) -> Record | None:
        if self._record is None and not self.problem:
            session = self.session
            self._clock = _clock.Deadline(0)
            try:
                path = self.path or session.folder.path / "record.jsonl"
                self._record = Record(path, session.folder.run)
                self._record.append(
                    "run.start",
                    {
                        "tool_version": __version__,
                        "python": platform.python_version(),
                        "argv": [str(word) for word in session.config.invocation_params.args],
                        "shard": "",
                        "clusters": session.names,
                    },
                )
            except K8shaError as error:
                self._trouble(error)
        return self._record

    def _describe(self, name: str) -> None:
        """The line about a cluster, once, before its first result."""
        if not name or name in self._described or not self.session.begun:
            return
        path = self.session.folder.path / f"ready-{name}.json"
        if path.exists():
            self._described.add(name)
            self._write("cluster", json.loads(path.read_text())["facts"])

    def _write(self, kind: str, data: dict[str, Any]) -> None:
        record = self._open()
        if record is not None:
            try:
                record.append(kind, data)
            except K8shaError as error:
                self._trouble(error)

    def _trouble(self, error: K8shaError) -> None:
        """A full disk must not end the run; that the record is not whole must be seen."""
        if not self.problem:
            self.problem = f"the record is not whole: {error}"
            self.session.progress.say(self.problem)
