"""What the terminal shows: progress of long waits, and the summary at the end."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha.model import Verdict
from pytest_k8sha.plugin.body import Body

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from pytest_k8sha.plugin.results import Results
    from pytest_k8sha.plugin.session import Session

PATIENCE = 2.0
"""Seconds that a wait may last before it is shown."""
WORST = 5


class Progress:
    """Shows what is being waited for, once a wait has lasted two seconds. Called from any thread.

    It writes past pytest's capturing, and not at all with ``-qq`` or without a terminal reporter.
    """

    def __init__(self, config: pytest.Config) -> None:
        self._reporter: Any = config.pluginmanager.getplugin("terminalreporter")
        self._capture: Any = config.pluginmanager.getplugin("capturemanager")
        self._quiet = config.option.verbose <= -2
        self._lock = threading.Lock()
        self._depth = 0
        self._since: _clock.Deadline | None = None
        self._last = ""

    def __call__(self, text: str) -> None:
        with self._lock:
            self._last = text
            if self._since is not None and self._since.passed:
                self._show(text)

    @contextmanager
    def during(self, what: str) -> Iterator[None]:
        """A wait: nothing is shown when it ends within two seconds."""
        with self._lock:
            self._depth += 1
            outer = self._depth == 1
            if outer:
                self._since, self._last = _clock.Deadline(PATIENCE), what
        timer = threading.Timer(PATIENCE, self._late) if outer else None
        if timer:
            timer.daemon = True
            timer.start()
        try:
            yield
        finally:
            if timer:
                timer.cancel()
                timer.join()
            with self._lock:
                self._depth -= 1
                if outer:
                    self._since = None

    def say(self, text: str) -> None:
        """Shows a line at once."""
        with self._lock:
            self._show(text)

    def _late(self) -> None:
        with self._lock:
            if self._since is not None:
                self._show(self._last)

    def _show(self, text: str) -> None:
        if self._reporter is None or self._quiet:
            return
        with self._capture.global_and_fixture_disabled() if self._capture else nullcontext():
            if self._reporter._tw.width_of_current_line:  # noqa: SLF001 - `ensure_newline` does not see dots
                self._reporter.line("")
            self._reporter.write_line(f"k8sha: {text}", blue=True)
            self._reporter.flush()


class Terminal:
    """The summary. pytest's own parts show failures and skips; here is what it does not know."""

    def __init__(self, session: Session, results: Results) -> None:
        self.session = session
        self.results = results

    def pytest_terminal_summary(self, terminalreporter: Any) -> None:
        self._inconclusive(terminalreporter)
        self._open_questions(terminalreporter)
        if self.results.results or self.session.leftovers or self.results.problem:
            self._totals(terminalreporter)

    def _inconclusive(self, tr: Any) -> None:
        """As pytest shows failures; it knows no further category."""
        reports = tr.getreports("inconclusive")
        if not reports or tr.config.option.tbstyle == "no":
            return
        tr.write_sep("=", "INCONCLUSIVE")
        for report in reports:
            tr.write_sep("_", report.head_line or report.nodeid, yellow=True, bold=True)
            report.toterminal(tr._tw)  # noqa: SLF001 - the only writer that a longrepr can be shown with
            if tr.config.option.showcapture != "no":
                for title, content in report.sections:
                    tr.write_sep("-", title)
                    tr.line(content.rstrip())

    def _open_questions(self, tr: Any) -> None:
        """One line a verdict that is neither passed nor failed, as pytest's short summary has for its own outcomes."""
        lines: Counter[str] = Counter()
        if set(tr.reportchars) & {"f", "E"}:
            for report in tr.getreports("inconclusive"):
                lines[f"INCONCLUSIVE {report.nodeid} - {Body.message(report.k8sha)}"] = 0
        if "s" in tr.reportchars:
            for report in tr.getreports("not evaluated"):
                lines[f"{report.k8sha['check'] or report.nodeid}: {report.k8sha['reason']}"] += 1
        if lines:
            tr.write_sep("=", "inconclusive and not evaluated")
        for text, count in lines.items():
            tr.write_line(f"NOT EVALUATED [{count}] {text}" if count else text, yellow=not count)

    def _totals(self, tr: Any) -> None:
        tr.write_sep("=", "clusters (k8sha)")
        rows: dict[tuple[str, str], Counter[str]] = {}
        for (cluster, suite, verdict), count in sorted(self.results.totals.items()):
            rows.setdefault((cluster, suite), Counter())[verdict] += count
        for (cluster, suite), counts in rows.items():
            tr.write(f"{cluster or '(no single cluster)':<12} {suite:<14}")
            for verdict in Verdict:
                if counts[verdict]:
                    tr.write(f" {counts[verdict]} {verdict}", **_markup(verdict))
            tr.line("")
        self._worst(tr)
        for item in self.session.leftovers:
            where = f" on {item['cluster']}" if item["cluster"] else ""
            tr.write_line(
                f"left behind: {item['what']}{where}: {item['problem']}; remedy: {item['remedy']}", yellow=True
            )
        if self.session.kept and self.session.staying:
            names = " ".join(self.session.kept)
            tr.write_line(f"kept: {names}; end with `k8sha down {names}`")
        if self.results.report:
            tr.write_line(f"report: {self.results.report}")
        if self.results.path:
            tr.write_line(f"record: {self.results.path}")
        if self.results.problem:
            tr.write_line(self.results.problem, red=True)

    def _worst(self, tr: Any) -> None:
        if self.results.model is None:
            return
        from pytest_k8sha.reports.summary import worst

        rows = worst(self.results.model, WORST)
        if rows:
            tr.write_line("worst findings:")
            for row in rows:
                tr.write_line(f"  {row}", red=row.severity in {"critical", "high"})


def _markup(verdict: Verdict) -> dict[str, bool]:
    match verdict:
        case Verdict.PASSED:
            return {"green": True}
        case Verdict.FAILED:
            return {"red": True}
        case Verdict.INCONCLUSIVE:
            return {"yellow": True}
        case _:
            return {}
