"""``k8sha run``: pytest as a child process on the suites, then a short summary."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_k8sha.cli import options
from pytest_k8sha.cli.app import INTERRUPTED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_k8sha.reports.model import ReportModel

OUT = Path("k8sha-out")
RECORD = "record.jsonl"
IMPACTS = ("observe", "rehearse", "exercise", "disrupt")
_PYTEST_ARGS = "k8sha.pytest"

INI = """\
# Written by `k8sha run`, so that the configuration of the project around it has no say.
[pytest]
cache_dir = {cache}
addopts = --import-mode=importlib --strict-markers --tb=short{quiet}
"""
QUIET = " --no-header --no-summary -p no:k8sha-terminal"
"""For the bundled suites: what pytest says of each failure is in the report, and the worst of it in the summary."""

WORST = 5
WIDTH = 300
"""Characters of what was seen, in the summary."""


class WithRest(click.Command):
    """A command whose words after ``--`` are kept apart, under `_PYTEST_ARGS` in the context."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        rest: list[str] = []
        if "--" in args:
            at = args.index("--")
            args, rest = args[:at], args[at + 1 :]
        ctx.meta[_PYTEST_ARGS] = rest
        return super().parse_args(ctx, args)


@dataclass
class Selection:
    """What pytest is told to run: folders, files or node ids. ``bundled`` when all of them travel with the package."""

    paths: list[str] = field(default_factory=list)
    bundled: bool = True


@click.command("run", cls=WithRest, options_metavar="[OPTIONS]")
@click.argument("what", nargs=-1, metavar="[SUITE|CHECK|PATH]… [-- PYTEST ARGUMENTS]")
@options.clusters
@click.option("--suite", multiple=True, metavar="NAME[,NAME]", help="A bundled suite. Repeatable.")
@click.option("--check", multiple=True, metavar="ID[,ID]", help="A check, such as TEN-ACC-004. Repeatable.")
@click.option("--impact", type=click.Choice(IMPACTS), help="The most that a check may do; those above are left out.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=OUT,
    show_default=True,
    help="The folder of record and report.",
)
@click.option(
    "--compare",
    type=click.Path(path_type=Path),
    metavar="EARLIER",
    help="The record of an earlier run, or its folder: the report says what changed since.",
)
@click.option("-n", "workers", metavar="N", help="Workers of pytest-xdist: a number, or auto.")
@click.option("--keep", is_flag=True, help="Keep the clusters afterwards; `k8sha down` ends them.")
@click.option("-v", "--verbose", is_flag=True, help="Show each failure in pytest's own output as well.")
@options.as_json
@options.debug
def run(
    what: tuple[str, ...],
    *,
    cluster: tuple[str, ...],
    fleet: Path | None,
    suite: tuple[str, ...],
    check: tuple[str, ...],
    impact: str | None,
    out: Path,
    compare: Path | None,
    workers: str | None,
    keep: bool,
    verbose: bool,
    as_json: bool,
) -> None:
    """Run the suites on a fleet and write the report.

    Without arguments: every bundled suite on two clusters of this machine, east (a good set-up) and west (one that
    leaks; its findings are meant to be there). Clusters that `k8sha up` keeps are used where they fit.

    \b
    Exit code: 0 all passed, 1 a check failed or could not be judged, 2 usage, 3 environment, 130 interrupted.
    """
    from pytest_k8sha import _process
    from pytest_k8sha.cli import console
    from pytest_k8sha.providers.registry import Registry
    from pytest_k8sha.record.chain import files

    if workers is not None:
        _check_workers(workers)
    options.read_fleet(cluster, fleet, Registry())  # its mistakes are told before anything begins
    chosen = select(what, suites=_split(suite), checks=_split(check))
    earlier = files(compare) if compare else []
    quiet = chosen.bundled and not verbose
    folder, aside = _prepared(out, quiet=quiet)
    # An earlier record of the same folder has just been put aside.
    earlier = [aside if aside and file.absolute() == folder / RECORD else file.absolute() for file in earlier]
    argv = [
        *_pytest(folder, chosen),
        *[f"--k8sha-cluster={text}" for text in cluster],
        *([] if cluster else [f"--k8sha-fleet={fleet or options.demo_fleet()}"]),
        *([f"--k8sha-impact={impact}"] if impact else []),
        f"--k8sha-out={folder}",
        *[f"--k8sha-compare={file}" for file in earlier],
        *(["--k8sha-keep=always"] if keep else []),
        *(["-n", workers] if workers is not None else []),
        *click.get_current_context().meta[_PYTEST_ARGS],
    ]
    record = folder / RECORD
    code, interrupted = _process.interactive(argv, env=_environment(), stdout_to_stderr=as_json)
    if quiet and exit_code(code, None, interrupted=interrupted) not in {0, 1, INTERRUPTED}:
        console.note("pytest did not come to its end; --verbose shows what it says")
    if not record.exists():
        if as_json:
            console.dump({"exit_code": exit_code(code, None, interrupted=interrupted), "record": None, "page": None})
        sys.exit(exit_code(code, None, interrupted=interrupted))
    model, page = _report(record, folder, earlier)
    if code < 0:
        console.note(f"pytest was ended by signal {-code}; `k8sha recover` removes what it left")
    ending = exit_code(code, model, interrupted=interrupted)
    if as_json:
        from pytest_k8sha.reports import as_json as data

        console.dump({"exit_code": ending, "record": str(record), "page": str(page), **data(model)})
    else:
        _show(model, page)
        if keep:
            console.say("the clusters are kept: `k8sha status` lists them, `k8sha down` ends them")
    sys.exit(ending)


def select(what: Iterable[str], *, suites: Iterable[str] = (), checks: Iterable[str] = ()) -> Selection:
    """What the words mean: names of suites, ids of checks, paths; without any, every bundled suite.

    Checks are looked for in the suites and paths that are named, or in every bundled suite.
    Raises `UsageError` with the nearest right word.
    """
    from pytest_k8sha.checks.catalogue import ID_PATTERN
    from pytest_k8sha.errors import EnvironmentFailure, UsageError
    from pytest_k8sha.settings import bundled

    known = {path.name: path for path in sorted(bundled("suites").iterdir()) if any(path.glob("test_*.py"))}
    chosen = Selection()
    ids = list(checks)
    for name in suites:
        if name not in known:
            raise UsageError("unknown suite", value=name, allowed=known)
        chosen.paths.append(str(known[name]))
    for word in what:
        if word in known:
            chosen.paths.append(str(known[word]))
        elif ID_PATTERN.fullmatch(word):
            ids.append(word)
        elif Path(word.partition("::")[0]).exists():
            chosen.paths.append(word)
            chosen.bundled = False
        else:
            raise UsageError("neither a suite, a check's id nor a path", value=word, allowed=known)
    chosen.paths = list(dict.fromkeys(chosen.paths)) or [str(path) for path in known.values()]
    if not chosen.paths:
        raise EnvironmentFailure("no suite travels with this package", remedy="install pytest-k8sha again")
    if ids:
        chosen.paths = _nodes(ids, chosen.paths)
    return chosen


def _nodes(ids: Iterable[str], paths: Iterable[str]) -> list[str]:
    """The node ids of the checks. Raises `UsageError` for an id that none of the paths has."""
    from pytest_k8sha.checks.catalogue import Catalogue
    from pytest_k8sha.errors import UsageError

    nodes = Catalogue.of(Path(path.partition("::")[0]) for path in paths).nodes
    for check in ids:
        if check not in nodes:
            raise UsageError("unknown check", value=check, allowed=nodes, remedy="`k8sha catalog` lists them")
    return [nodes[check] for check in dict.fromkeys(ids)]


def exit_code(pytest_code: int, model: ReportModel | None, *, interrupted: bool = False) -> int:
    """The command's exit code from pytest's and from the record.

    pytest: 0 passed, 1 failed, 2 interrupted (a collection error, too), 3 internal error, 4 usage, 5 nothing
    collected; a negative number is the signal that ended it. What could not be judged counts as failed.
    """
    if pytest_code < 0:
        return 128 - pytest_code
    if pytest_code == 2:
        # Without a Ctrl-C and without a result it was a file that could not be collected.
        return INTERRUPTED if interrupted or (model and model.interrupted and model.results) else 2
    if pytest_code == 0 and model and (model.totals.failed or model.totals.inconclusive):
        return 1
    return {0: 0, 1: 1, 3: 3, 4: 2, 5: 2}.get(pytest_code, pytest_code if pytest_code > 5 else 3)


def _check_workers(workers: str) -> None:
    from importlib.util import find_spec

    from pytest_k8sha.errors import UsageError

    if workers != "auto" and not workers.isdigit():
        raise UsageError("-n takes a number or auto", value=workers)
    if find_spec("xdist") is None:
        raise UsageError("-n needs pytest-xdist", remedy="pip install 'pytest-k8sha[xdist]'")


def _split(values: Iterable[str]) -> list[str]:
    return [word.strip() for value in values for word in value.split(",") if word.strip()]


def _prepared(out: Path, *, quiet: bool) -> tuple[Path, Path | None]:
    """The output folder with the configuration of the child in it, and where an earlier record is now. Raises
    `EnvironmentFailure`."""
    from pytest_k8sha.errors import EnvironmentFailure

    folder = out.absolute()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "pytest.ini").write_text(INI.format(cache=folder / ".cache", quiet=QUIET if quiet else ""))
        aside = _put_aside(folder / RECORD)
    except OSError as error:
        raise EnvironmentFailure(
            f"{folder} cannot be written ({error.strerror})", remedy="name another folder with --out"
        ) from error
    return folder, aside


def _put_aside(record: Path) -> Path | None:
    """An earlier record is evidence and stays, under its date; the report beside it is of the run that comes now."""
    from pytest_k8sha import _clock

    place = None
    if record.exists():
        earlier = record.parent / "earlier"
        earlier.mkdir(exist_ok=True)
        place = record.rename(earlier / f"{record.stem}-{_clock.wall():%Y%m%d-%H%M%S-%f}{record.suffix}")
    (record.parent / "index.html").unlink(missing_ok=True)
    return place


def _pytest(folder: Path, chosen: Selection) -> list[str]:
    from importlib.metadata import entry_points

    from pytest_k8sha.settings import bundled

    installed = any(point.value == "pytest_k8sha.plugin" for point in entry_points(group="pytest11"))
    root = bundled("suites").parent if chosen.bundled else Path.cwd()
    return [
        sys.executable,
        "-m",
        "pytest",
        *([] if installed else ["-p", "pytest_k8sha.plugin"]),
        "-c",
        str(folder / "pytest.ini"),
        f"--rootdir={root}",
        f"--confcutdir={bundled('suites') if chosen.bundled else root}",
        *chosen.paths,
    ]


def _environment() -> dict[str, str]:
    """The environment without what would change the child's pytest behind the user's back."""
    package = Path(__file__).resolve().parents[2]
    path = os.pathsep.join(filter(None, [os.environ.get("PYTHONPATH"), str(package)]))
    hidden = {"PYTEST_ADDOPTS", "PYTEST_CURRENT_TEST"}
    return {**{k: v for k, v in os.environ.items() if k not in hidden}, "PYTHONPATH": path}


def _report(record: Path, folder: Path, earlier: list[Path]) -> tuple[ReportModel, Path]:
    """The record as a model, and its page, made when the run could not do it itself."""
    from pytest_k8sha.reports import load, make

    page = folder / "index.html"
    if not page.exists() or page.stat().st_mtime_ns < record.stat().st_mtime_ns:
        page = make([record], folder, earlier=earlier)
    return load([record]), page


def _show(model: ReportModel, page: Path) -> None:
    from pytest_k8sha.cli import console
    from pytest_k8sha.model import Verdict
    from pytest_k8sha.reports.summary import lines, worst

    console.say()
    for line in lines(model, 0):
        console.say(line)
    rows = worst(model, WORST)
    if rows:
        console.say("\nthe worst findings:")
    for row in rows:
        console.say(f"  {row.severity or 'unrated':<8}  {row.cluster}  {row.check or ''}  {row.title}")
        more = f" (and {row.more} more)" if row.more else ""
        console.say(f"            {_cut(f'{row.subject}: {row.seen}' if row.subject else row.seen)}{more}")
    unsure = model.with_verdict(Verdict.INCONCLUSIVE)
    if unsure:
        console.say("\nwhat could not be judged:")
    for result in unsure[:WORST]:
        console.say(f"  {result.cluster}  {result.name}: {_cut(result.reason)}")
    for item in model.teardowns:
        where = f" on {item.cluster}" if item.cluster else ""
        console.say(f"left behind: {item.what}{where}: {_cut(item.problem)}; remedy: {item.remedy}")
    console.say(f"\nreport: {page}")


def _cut(text: str) -> str:
    """One line of bearable length."""
    line = " ".join(text.split())
    return line if len(line) <= WIDTH else f"{line[:WIDTH]}…"
