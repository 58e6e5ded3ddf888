"""Renders a model as one static page: no request leaves it, no script is needed to read it.

The page stays below 10 MB whatever the record holds: what people look at first is shown whole, what comes after a
budget of text is shown as one line each, and what is left out is counted and said. The record holds everything.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from base64 import b64encode
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_k8sha import __version__, _clock
from pytest_k8sha.errors import EnvironmentFailure
from pytest_k8sha.model import Finding, Verdict
from pytest_k8sha.reports import words
from pytest_k8sha.reports.availability import section
from pytest_k8sha.reports.model import SEVERITIES, WORST_FIRST, severity_rank, together
from pytest_k8sha.reports.summary import worst
from pytest_k8sha.reports.tables import drawn
from pytest_k8sha.reports.timeline import interval
from pytest_k8sha.reports.usage import usages

if TYPE_CHECKING:
    from collections.abc import Iterable

    from jinja2 import Environment
    from jinja2.runtime import Context

    from pytest_k8sha.reports.compare import Comparison
    from pytest_k8sha.reports.model import Group, ReportModel, Result, Totals

TEMPLATES = Path(__file__).parent / "templates"

SUBJECTS_OPEN = 20
"""So many subjects of a result are shown; further ones are folded."""
SUBJECTS_FOLDED = 200
"""So many more are folded below them; of the rest the number is said."""
BLOCKS_WHOLE = 40
"""So many failed results of one check are shown whole; further ones as a line each."""
TEXT_LIMIT = 1_200
"""Characters of one text of the record; diagnostics may have `DIAGNOSTICS_LIMIT`."""
DIAGNOSTICS_LIMIT = 6_000
FAILURE_BUDGET = 3_000_000
"""Characters for failures shown whole."""
MATRIX_ROWS = 1_500
PASSED_FOLD = 60
"""With more checks than this, those of the matrix that passed everywhere are folded."""

_SLUG = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,60}")


@dataclass
class Block:
    """One failed result: the findings shown, those folded, and how many are in the record only."""

    result: Result
    shown: list[Finding]
    folded: list[Finding]
    omitted: int
    diagnostics: list[tuple[str, str]]
    rule: str = ""
    """The rule that all of them broke, where it is not the check's title; said once."""
    remedy: str = ""


@dataclass
class Failure:
    """One check with its failed results."""

    group: Group
    anchor: str
    blocks: list[Block] = field(default_factory=list)
    rest: list[Result] = field(default_factory=list)

    @property
    def clusters(self) -> list[str]:
        return sorted({result.cluster for result in self.group.of(Verdict.FAILED)})


@dataclass
class Cell:
    """One cell of the matrix. ``count`` is the number of results behind it."""

    verdict: Verdict | None
    count: int
    note: str


@dataclass
class Row:
    group: Group
    anchor: str
    cells: list[Cell]
    verdicts: str
    clusters: str


@dataclass
class Matrix:
    """The rows by suite; ``omitted`` counts rows that passed everywhere and are listed with the passed ones only."""

    open: dict[str, list[Row]]
    folded: dict[str, list[Row]]
    omitted: int


def render(model: ReportModel, comparison: Comparison | None = None) -> str:
    """The page as text, with what changed since an earlier report where that is given."""
    from markupsafe import Markup

    style = "".join(path.read_text("utf-8") for path in sorted(TEMPLATES.glob("*.css")))
    script = (TEMPLATES / "extras.js").read_text("utf-8")
    index = {cluster.name: n for n, cluster in enumerate(model.clusters)}
    anchors = _anchors(model.groups)
    whole, brief = _failures(model, anchors)
    return _environment().get_template("report.html.j2").render(
        model=model,
        places=index,
        headline=words.headline(model),
        worst=[(row, anchors[row.check]) for row in worst(model, 10)],
        failures=whole,
        brief=brief,
        matrix=_matrix(model, anchors, index),
        passed=[group for group in model.groups if group.of(Verdict.PASSED)],
        inconclusive=model.with_verdict(Verdict.INCONCLUSIVE),
        not_evaluated=_by_reason(model.with_verdict(Verdict.NOT_EVALUATED)),
        tables=drawn(model.results),
        availability=section(model.results),
        comparison=comparison,
        anchor_of=anchors.get,
        usages=usages(model.results),
        style=Markup(style),  # noqa: S704 - files of this package
        script=Markup(script),  # noqa: S704
        style_hash=_csp_hash(style),
        script_hash=_csp_hash(script),
        made=_clock.wall(),
        version=__version__,
    )  # fmt: skip


def write(page: str, out: Path) -> Path:
    """Writes ``out/index.html``; a reader sees the old page or the new one, never a half."""
    path = out / "index.html"
    try:
        out.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=out, prefix=".index-", suffix=".html")
        try:
            with os.fdopen(handle, "w", encoding="utf-8") as file:
                file.write(page)
            Path(name).chmod(0o644)
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise EnvironmentFailure(f"the report cannot be written: {error.strerror}", value=str(path)) from error
    return path


@cache
def _environment() -> Environment:
    """The templates, compiled once a process: that takes longer than to fill them in."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context

    @pass_context
    def at(context: Context, cluster: str) -> int | str:
        """The number of a cluster on this page."""
        places: dict[str, int] = context["places"]
        return places.get(cluster, "")

    # Everything is escaped: every text of a record may come from a cluster, whose users are not the report's author.
    env = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    env.filters.update(
        cut=cut, seconds=words.seconds, figure=words.figure, when=when, words=_words, listed=words.listed,
        slug=lambda verdict: "none" if verdict is None else str(verdict).replace(" ", "-"),
        of=lambda results, verdict: [result for result in results if result.verdict == verdict],
        sum_duration=lambda results: sum(result.duration for result in results),
        at=at,
    )  # fmt: skip
    env.globals.update(
        V=Verdict, verdicts=list(WORST_FIRST), severities=SEVERITIES, meaning=words.MEANING, advice=words.advice,
        plural=words.plural, first_seen=words.first_seen, bar=_bar, rank=severity_rank, together=together,
        interval=interval,
    )  # fmt: skip
    return env


def cut(text: object, limit: int = TEXT_LIMIT) -> str:
    """At most ``limit`` characters, and how many are missing."""
    whole = str(text)
    return whole if len(whole) <= limit else f"{whole[:limit]}… ({len(whole) - limit:,} characters more in the record)"


def when(text: str) -> str:
    """A time of the record for people, in UTC to the second; as it is when it cannot be read."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return text
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _words(value: Any) -> str:
    """A fact of a cluster for people."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(_words(item) for item in value)
    return json.dumps(value) if isinstance(value, dict) else str(value)


def _csp_hash(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def _anchors(groups: Iterable[Group]) -> dict[str, str]:
    """A place in the page for each check: its id where that can be one, else a number."""
    return {
        group.name: f"check-{group.name}" if _SLUG.fullmatch(group.name) else f"test-{n}"
        for n, group in enumerate(groups, start=1)
    }


def _bar(totals: Totals, width: int = 1000) -> list[tuple[Verdict, int, int]]:
    """Segments of a bar of all results: verdict, start and width; what occurs is never too thin to see."""
    order = (Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.NOT_EVALUATED, Verdict.PASSED)
    present = [(verdict, totals.counts[verdict]) for verdict in order if totals.counts[verdict]]
    least = 14
    free = width - least * len(present)
    segments, at = [], 0
    for verdict, count in present:
        size = least + free * count // totals.total
        segments.append((verdict, at, size))
        at += size
    if segments:
        verdict, start, _ = segments[-1]
        segments[-1] = (verdict, start, width - start)
    return segments


def _failures(model: ReportModel, anchors: dict[str, str]) -> tuple[list[Failure], list[Failure]]:
    """The failures shown whole, and those beyond the budget, shown as a line each; the worst first."""
    whole: list[Failure] = []
    brief: list[Failure] = []
    budget = FAILURE_BUDGET
    for group in model.failures:
        failure = Failure(group, anchors[group.name])
        failed = sorted(group.of(Verdict.FAILED), key=lambda result: (-result.failed_subjects, result.cluster))
        budget -= 2_500
        if budget <= 0:
            failure.rest = failed
            brief.append(failure)
            continue
        for result in failed:
            if len(failure.blocks) < BLOCKS_WHOLE and budget > 0:
                block, cost = _block(result, budget)
                failure.blocks.append(block)
                budget -= cost
            else:
                failure.rest.append(result)
        whole.append(failure)
    return whole, brief


def _block(result: Result, budget: int) -> tuple[Block, int]:
    broken = result.with_verdict(Verdict.FAILED)
    cost = 700
    taken = 0
    for finding in broken[: SUBJECTS_OPEN + SUBJECTS_FOLDED]:
        parts = (finding.subject, finding.seen, finding.rule, finding.remedy)
        cost += 150 + sum(min(len(part), TEXT_LIMIT) for part in parts)
        if cost > budget and taken:
            break
        taken += 1
    diagnostics = _diagnostics(result.diagnostics) if cost < budget else []
    cost += sum(len(name) + len(text) for name, text in diagnostics)
    shown = broken[: min(taken, SUBJECTS_OPEN)]
    folded = broken[len(shown) : taken]
    listed_nowhere = max(result.failed_subjects if broken else 0, len(broken)) - taken
    rule, remedy = (
        _common(broken[:taken], name, own) for name, own in (("rule", result.title), ("remedy", result.remedy))
    )
    return Block(result, shown, folded, listed_nowhere, diagnostics, rule, remedy), cost


def _common(findings: list[Finding], name: str, own: str) -> str:
    """The text that all findings share, if it says more than the check itself."""
    texts = {getattr(finding, name) for finding in findings}
    text = texts.pop() if len(texts) == 1 else ""
    return "" if text == own else str(text)


def _diagnostics(data: dict[str, Any]) -> list[tuple[str, str]]:
    """A section a name: lines as lines, anything else as JSON."""
    texts = []
    for name, value in data.items():
        if isinstance(value, list) and all(isinstance(line, str) for line in value):
            value = "\n".join(value)
        texts.append((name, value if isinstance(value, str) else json.dumps(value, indent=2, ensure_ascii=False)))
    return [(name, cut(text, DIAGNOSTICS_LIMIT)) for name, text in texts if text]


def _matrix(model: ReportModel, anchors: dict[str, str], index: dict[str, int]) -> Matrix:
    matrix = Matrix({}, {}, 0)
    fold = len(model.groups) > PASSED_FOLD
    count = 0
    for group in model.groups:
        kept = all(result.verdict is Verdict.PASSED for result in group.results)
        count += 1
        if count > MATRIX_ROWS and (kept or count > 4 * MATRIX_ROWS):
            matrix.omitted += 1
            continue
        cells = [_cell(group.by_cluster.get(cluster.name, [])) for cluster in model.clusters]
        verdicts = {str(result.verdict).replace(" ", "-") for result in group.results}
        row = Row(
            group,
            anchors[group.name],
            cells,
            " ".join(sorted(verdicts)),
            " ".join(str(index[name]) for name in sorted(group.by_cluster)),
        )
        (matrix.folded if kept and fold else matrix.open).setdefault(group.suite, []).append(row)
    return matrix


def _cell(results: list[Result]) -> Cell:
    if not results:
        return Cell(None, 0, "")
    verdict = together(results)
    same = [result for result in results if result.verdict is verdict]
    note = ""
    if verdict is Verdict.FAILED:
        note = words.plural(sum(result.failed_subjects for result in same), "subject")
    elif len(results) > 1:
        note = f"{len(same)} of {len(results)}"
    return Cell(verdict, len(results), note)


def _by_reason(results: list[Result]) -> list[tuple[str, list[Result]]]:
    """What was left out, grouped by the reason; the most frequent first."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(result.reason or "no reason was recorded", []).append(result)
    return sorted(groups.items(), key=lambda item: (-len(item[1]), item[0]))
