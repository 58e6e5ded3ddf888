"""Verdicts: whether a test is evaluated at all, what follows from how it ended, and how it reads."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from pytest_k8sha import _clock
from pytest_k8sha.errors import Inconclusive, K8shaError, NotEvaluated
from pytest_k8sha.model import Verdict
from pytest_k8sha.plugin.body import Body, compose
from pytest_k8sha.plugin.cases import Case, case_of
from pytest_k8sha.record.plain import plain

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from pytest_k8sha.plugin.session import Session

PASSED_KEPT = 50
"""So many passed subjects of a result are written down; all are counted."""
OTHERS_KEPT = 2000

CATEGORIES = {
    Verdict.INCONCLUSIVE: ("inconclusive", "I", ("INCONCLUSIVE", {"yellow": True})),
    Verdict.NOT_EVALUATED: ("not evaluated", "-", ("NOT EVALUATED", {"yellow": True})),
}


class Verdicts:
    """Hooks of every process that runs tests, and of the one that shows them."""

    def __init__(self, session: Session) -> None:
        self.session = session

    def pytest_runtest_setup(self, item: pytest.Item) -> None:
        """Decides before any fixture is made whether the test applies; makes the fleet when it is the first one."""
        if self.session.dry:
            return
        case = case_of(item)
        if case is None:
            return
        case.started = _clock.wall().isoformat(timespec="milliseconds")
        if case.cluster or case.everywhere:
            self._evaluable(case)

    def _evaluable(self, case: Case) -> None:
        needs, session = case.needs, self.session
        limit = session.options.impact
        if needs.clusters > len(session.names):
            raise NotEvaluated(f"needs {needs.clusters} clusters, and {len(session.names)} are named")
        if needs.impact and limit and needs.impact > limit:
            raise NotEvaluated(f"has the impact {needs.impact}, and this run may do no more than {limit}")
        for name in [case.cluster] if case.cluster else [] if case.overlooks else session.names:
            cluster = session.cluster(name)
            if needs.impact and needs.impact > cluster.ceiling:
                raise NotEvaluated(
                    f"has the impact {needs.impact}, and cluster {name} may be used up to {cluster.ceiling}"
                )
            missing = cluster.capabilities.missing(needs.requires) if needs.requires else []
            if missing:
                raise NotEvaluated(f"cluster {name}: " + "; ".join(missing))
            unpromised = session.unpromised(name, needs.promises) if needs.promises else []
            if unpromised:
                raise NotEvaluated(f"cluster {name}: " + "; ".join(unpromised))

    @pytest.hookimpl(wrapper=True, specname="pytest_runtest_setup")
    def skip_in_setup(self, item: pytest.Item) -> Generator[None, None, None]:
        with _skipping(item):
            yield

    @pytest.hookimpl(wrapper=True, specname="pytest_runtest_call")
    def skip_in_call(self, item: pytest.Item) -> Generator[None, None, None]:
        with _skipping(item):
            yield

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        report = yield
        case = case_of(item)
        if case is None or self.session.dry:
            return report
        case.duration += call.duration
        if call.when == "teardown":
            self._forgive(case, call, report)
        elif not case.concluded:
            self._conclude(case, call, report)
        return report

    def pytest_report_teststatus(self, report: Any) -> Any:
        data = getattr(report, "k8sha", None)
        if data is None or hasattr(report, "wasxfail") or report.outcome not in {"failed", "skipped"}:
            return None
        if not data["judged"]:
            return None
        return CATEGORIES.get(Verdict(data["verdict"]))

    def _conclude(self, case: Case, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        error = _meant(call.excinfo.value if call.excinfo else None)
        if call.when == "setup" and error is None:
            return
        if isinstance(error, (KeyboardInterrupt, pytest.exit.Exception)):
            return
        case.concluded = True
        if call.when == "setup" and isinstance(error, AssertionError):
            error = Inconclusive(f"the set-up failed: {error}")  # nothing was judged yet
        if case.judged:
            verdict, reason = case.judge.conclude(error)
        else:
            verdict, reason = _plain_verdict(report, error)
        if case.cluster and verdict in {Verdict.FAILED, Verdict.INCONCLUSIVE} and self.session.begun:
            self.session.suspect(case.cluster)
        data = plain(
            {
                **case.describe(),
                "judged": case.judged,
                "verdict": str(verdict),
                "reason": reason,
                "duration": round(case.duration, 6),
                "started": case.started,
                **_findings(case),
            }
        )
        if case.judged and verdict in {Verdict.FAILED, Verdict.INCONCLUSIVE} and not hasattr(report, "wasxfail"):
            self._diagnose(case, data, report)
        data = self.session.redact(data)
        if report.outcome != "passed":
            report.sections = [(title, self.session.redact(text)) for title, text in report.sections]
        self._settle(case, data, verdict, report, error)
        report.k8sha = data  # type: ignore[attr-defined]
        _properties(case, data, report)

    def _settle(
        self, case: Case, data: dict[str, Any], verdict: Verdict, report: pytest.TestReport, error: BaseException | None
    ) -> None:
        """Makes the report say what the verdict says."""
        if hasattr(report, "wasxfail"):
            return
        if verdict is Verdict.NOT_EVALUATED:
            report.outcome = "skipped"
            line = case.item.location[1]
            report.longrepr = (str(case.item.path), (line or 0) + 1, f"Skipped: {data['reason']}")
        elif not case.judged:
            if isinstance(error, Inconclusive) and report.when == "setup" and not self.session.options.traceback:
                # Where in the plugin it was noticed helps nobody.
                report.longrepr = Body.of(data, data["reason"])  # type: ignore[assignment]
        elif verdict is Verdict.PASSED:
            report.outcome = "passed"
        else:
            wanted = isinstance(error, (K8shaError, AssertionError)) or error is None
            shown = str(report.longrepr or "") if self.session.options.traceback or not wanted else ""
            traceback = self.session.redact(shown)
            report.outcome = "failed"
            report.longrepr = Body.of(data, compose(data, traceback))  # type: ignore[assignment]

    def _diagnose(self, case: Case, data: dict[str, Any], report: pytest.TestReport) -> None:
        from pytest_k8sha.plugin.tools import examine

        if not case.cluster or not self.session.begun or self.session.dead(case.cluster):
            return
        found = examine(self.session, case)
        if found:
            data["diagnostics"] = found.data
            if found.notable:
                report.sections.append(("k8sha: what stands out on the cluster", found.brief))

    def _forgive(self, case: Case, call: pytest.CallInfo[None], report: pytest.TestReport) -> None:
        """A teardown that fails changes no verdict; it is told apart from it."""
        if case.judged and call.excinfo and report.outcome == "failed":
            report.outcome = "passed"
            error = call.excinfo.value
            trouble = {
                "what": f"what {case.item.nodeid} made",
                "cluster": case.cluster,
                "problem": str(error) if isinstance(error, K8shaError) else f"{type(error).__name__}: {error}",
                "remedy": "repair the fixture; --k8sha-traceback shows where it fails",
            }
            report.k8sha_teardown = [plain(trouble)]  # type: ignore[attr-defined]
            if self.session.options.traceback:
                report.sections.append(("k8sha: teardown", str(report.longrepr)))
            report.longrepr = None
        noted, self.session.leftovers = self.session.leftovers, []
        if noted:
            before = getattr(report, "k8sha_teardown", [])
            report.k8sha_teardown = [*before, *plain(noted)]  # type: ignore[attr-defined]


@contextmanager
def _skipping(item: pytest.Item) -> Iterator[None]:
    """To pytest *not evaluated* is a skip, so that `--pdb`, `--lf` and others treat it as one."""
    try:
        yield
    except NotEvaluated as error:
        if case_of(item) is None:
            raise
        raise pytest.skip.Exception(str(error)) from error


def _meant(error: BaseException | None) -> BaseException | None:
    """pytest's own ways to end a test, in the words of this project."""
    if isinstance(error, pytest.skip.Exception):
        return NotEvaluated(str(error.msg) or "skipped")
    if isinstance(error, pytest.fail.Exception):
        return AssertionError(str(error.msg) or "failed")
    return error


def _plain_verdict(report: pytest.TestReport, error: BaseException | None) -> tuple[Verdict, str]:
    """An ordinary test: pytest's outcome counts, but a set-up that failed judged nothing."""
    if isinstance(error, NotEvaluated) or report.outcome == "skipped":
        return Verdict.NOT_EVALUATED, str(error or "")
    if report.outcome == "passed":
        return Verdict.PASSED, ""
    reason = str(error) if isinstance(error, (K8shaError, AssertionError)) else f"{type(error).__name__}: {error}"
    return (Verdict.INCONCLUSIVE if report.when == "setup" else Verdict.FAILED), reason


def _findings(case: Case) -> dict[str, Any]:
    kept: list[dict[str, str]] = []
    passed = others = 0
    for finding in case.judge.findings:
        if finding.verdict is Verdict.PASSED:
            passed += 1
            fits = passed <= PASSED_KEPT
        else:
            others += 1
            fits = others <= OTHERS_KEPT
        if fits:
            kept.append(finding.as_dict())
    count = case.judge.count()
    return {
        "findings": kept,
        "subjects": {str(verdict): count[verdict] for verdict in Verdict},
        "measures": {measure.name: measure.as_dict() for measure in case.judge.measures},
        **({"tables": case.judge.tables} if case.judge.tables else {}),
        **({"timelines": case.judge.timelines} if case.judge.timelines else {}),
    }


def _properties(case: Case, data: dict[str, Any], report: pytest.TestReport) -> None:
    """For JUnit XML and pytest-html; JUnit reads them from the report of the teardown."""
    pairs = [("k8sha.verdict", data["verdict"]), ("k8sha.reason", data["reason"])]
    pairs += [(f"k8sha.{key}", data[key]) for key in ("check", "cluster", "severity", "impact") if data[key]]
    if data["controls"]:
        pairs.append(("k8sha.controls", " ".join(data["controls"])))
    case.item.user_properties.extend(pairs)
    report.user_properties.extend(pairs)
