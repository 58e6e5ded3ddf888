"""The options of the command line and of the ini file, and what they mean together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from pytest_k8sha.model import Impact
    from pytest_k8sha.tenancy.prices import Prices
    from pytest_k8sha.tenancy.usage import Thresholds

MARKERS = (
    (
        "k8sha_impact(level): what the test may do to a cluster: observe, rehearse, exercise or disrupt; it is not "
        "evaluated on a cluster that may be used less"
    ),
    (
        "k8sha_requires(*capabilities): what a cluster must be able to do, such as 'nodes:real' or 'zones>=2'; the "
        "test is not evaluated on one that cannot"
    ),
    (
        "chaos(*files, objective=None, abort=None): the experiments that the fixture `chaos` runs, files of "
        "K8shaExperiment or of Chaos Mesh; the objective is that of the probe, abort such as 'error_rate > 50%' ends a "
        "fault early"
    ),
    "k8sha_clusters(count): the number of clusters that the test needs at once, by the fixture `fleet`",
)
DEFAULT_CLUSTER = "local=local"
KEEP = ("never", "failure", "always")
REUSE = ("auto", "never")
SLO = 1.0
FLOOD = 48
QUOTA = (80.0, 90.0)
IMPACTS = ("observe", "rehearse", "exercise", "disrupt")


def add_options(parser: pytest.Parser) -> None:
    """Declares everything; reads nothing."""
    group = parser.getgroup("k8sha", "Kubernetes clusters (pytest-k8sha)")
    group.addoption(
        "--k8sha-cluster",
        action="append",
        default=[],
        metavar="NAME=PROVIDER[:ARG][,KEY=VALUE...]",
        help="a cluster of the fleet, such as east=local,members=3,nodes=9,zones=3 or prod=context:prod-eu; may be "
        f"given several times (default: {DEFAULT_CLUSTER})",
    )
    group.addoption(
        "--k8sha-fleet", metavar="FILE", help="a fleet file (YAML) instead of --k8sha-cluster; see `k8sha schema fleet`"
    )
    group.addoption(
        "--k8sha-impact",
        metavar="LEVEL",
        choices=IMPACTS,
        help="the most that this run may do to any cluster: observe, rehearse, exercise or disrupt; it lowers a "
        "cluster's own ceiling and never raises it; what needs more is not evaluated",
    )
    group.addoption(
        "--k8sha-namespace",
        action="append",
        default=[],
        metavar="NAME",
        help="judge the workloads of this namespace, may be given several times (default: all but the system's)",
    )
    group.addoption(
        "--k8sha-slo",
        metavar="SECONDS",
        help="how long a tenant's requests may take, as their 99th percentile, while its neighbour floods the API "
        f"server, or burns CPU beside it (default: {SLO})",
    )
    group.addoption(
        "--k8sha-flood",
        metavar="COUNT",
        help="how many requests at once such a flood has for each API server; as many as overflow the neighbour's "
        f"priority level (default: {FLOOD})",
    )
    group.addoption(
        "--k8sha-quota",
        metavar="WARN,FULL",
        help="per cent of a quota from which the report warns, and from which the check fails (default: 80,90)",
    )
    group.addoption(
        "--k8sha-prices",
        metavar="FILE",
        help="a price file; the report then tells what each tenant costs (its schema: `k8sha schema prices`)",
    )
    group.addoption(
        "--k8sha-goal",
        action="append",
        default=[],
        metavar="NAME=TIME",
        help="what the control plane is held to, such as election=3s or certificate=60d; may be given several times "
        "(docs/control-plane.md lists names, defaults and their sources)",
    )
    group.addoption(
        "--k8sha-restore",
        metavar="FILE",
        help="the restore plan (YAML) of clusters whose fleet file names none; see `k8sha schema restore`",
    )
    group.addoption(
        "--k8sha-objective",
        action="append",
        default=[],
        metavar="TRIAL: OBJECTIVE",
        help="what a trial demands, such as 'update: error_rate <= 0.1%%' or 'drain within 300s'; may be given several "
        "times (docs/availability.md lists trials and defaults)",
    )
    group.addoption(
        "--k8sha-chaos-control",
        action="store_true",
        help="before the experiments of a test that asks for `chaos`, make the same requests without a fault; the "
        "report compares both, and a service that does not keep its objective by itself is inconclusive",
    )
    group.addoption(
        "--k8sha-out", metavar="DIR", help="write the record (record.jsonl) and the report (index.html) into DIR"
    )
    group.addoption(
        "--k8sha-record", metavar="FILE", help="write the record to FILE; one that exists is continued if it is whole"
    )
    group.addoption(
        "--k8sha-compare",
        action="append",
        default=[],
        metavar="RECORD",
        help="the report says what changed since this record of an earlier run, or the record*.jsonl of a folder; may "
        "be given several times, for the shards of one run",
    )
    group.addoption(
        "--k8sha-reuse",
        choices=REUSE,
        help="auto (the default): use a cluster that `k8sha up` keeps when name and options are alike; never: make "
        "each cluster anew",
    )
    group.addoption(
        "--k8sha-keep",
        choices=KEEP,
        help="keep the clusters after the run, as `k8sha up` does: never (the default), when something failed, or "
        "always; `k8sha down` ends them",
    )
    group.addoption(
        "--k8sha-traceback", action="store_true", help="show the Python traceback of checks that failed as well"
    )
    parser.addini("k8sha_clusters", "clusters of the fleet, one a line, as --k8sha-cluster", type="linelist")
    parser.addini("k8sha_fleet", "a fleet file, counted from the folder of the ini file", type="string", default="")
    parser.addini("k8sha_namespaces", "namespaces, one a line, as --k8sha-namespace", type="linelist")
    parser.addini("k8sha_slo", "as --k8sha-slo", type="string", default="")
    parser.addini("k8sha_flood", "as --k8sha-flood", type="string", default="")
    parser.addini("k8sha_quota", "as --k8sha-quota", type="string", default="")
    parser.addini("k8sha_prices", "a price file, counted from the folder of the ini file", type="string", default="")
    parser.addini("k8sha_goals", "goals, one a line, as --k8sha-goal", type="linelist")
    parser.addini("k8sha_restore", "a restore plan, counted from the folder of the ini file", type="string", default="")
    parser.addini("k8sha_objectives", "what trials demand, one a line, as --k8sha-objective", type="linelist")
    parser.addini("k8sha_impact", "as --k8sha-impact", type="string", default="")
    parser.addini("k8sha_reuse", "as --k8sha-reuse", type="string", default="auto")
    parser.addini("k8sha_keep", "as --k8sha-keep", type="string", default="never")


def named(config: pytest.Config) -> bool:
    """Whether the user named clusters or asked for output, so that mistakes must show before anything is collected."""
    option = config.option
    return bool(
        option.k8sha_cluster
        or option.k8sha_fleet
        or option.k8sha_out
        or option.k8sha_record
        or config.getini("k8sha_clusters")
        or config.getini("k8sha_fleet")
    )


@dataclass(frozen=True)
class Options:
    """What the user asked for. ``impact`` is the upper limit of the run, None when there is none."""

    clusters: tuple[str, ...]
    fleet: Path | None
    impact: Impact | None
    record: Path | None
    out: Path | None
    compare: tuple[Path, ...]
    reuse: bool
    keep: str
    traceback: bool
    slo: float = SLO
    flood: int = FLOOD
    restore: Path | None = None
    quota: tuple[float, float] = QUOTA
    price_file: Path | None = None
    chaos_control: bool = False

    @property
    def thresholds(self) -> Thresholds:
        """What `--k8sha-quota` says."""
        from fractions import Fraction

        from pytest_k8sha.tenancy.usage import Thresholds

        return Thresholds(*(Fraction(str(percent)) / 100 for percent in self.quota))

    @property
    def prices(self) -> Prices | None:
        """The price file, read. Raises `FileProblems`."""
        from pytest_k8sha.tenancy import prices

        return prices.read(self.price_file) if self.price_file else None

    @classmethod
    def of(cls, config: pytest.Config) -> Options:
        """The command line goes before the ini file. Raises `pytest_k8sha.errors.UsageError`."""
        from pytest_k8sha.errors import UsageError
        from pytest_k8sha.model import Impact
        from pytest_k8sha.probes.goals import read as read_goals

        given = config.option
        clusters, fleet = list(given.k8sha_cluster), given.k8sha_fleet
        base = config.invocation_params.dir
        if not clusters and not fleet:
            clusters, fleet = list(config.getini("k8sha_clusters")), config.getini("k8sha_fleet")
            base = config.inipath.parent if config.inipath else base
        if clusters and fleet:
            raise UsageError(
                "clusters are named one by one or by a fleet file, not both",
                value=fleet,
                remedy="put all clusters into the fleet file",
            )
        read_goals(given.k8sha_goal or config.getini("k8sha_goals"))  # a mistake is told before anything is touched
        impact = given.k8sha_impact or config.getini("k8sha_impact")
        out = config.invocation_params.dir / given.k8sha_out if given.k8sha_out else None
        record = config.invocation_params.dir / given.k8sha_record if given.k8sha_record else None
        return cls(
            clusters=tuple(clusters) if clusters or fleet else (DEFAULT_CLUSTER,),
            fleet=base / fleet if fleet else None,
            impact=Impact.parse(impact) if impact else None,
            record=record or (out / "record.jsonl" if out else None),
            out=out,
            compare=tuple(config.invocation_params.dir / path for path in given.k8sha_compare),
            reuse=_word("k8sha_reuse", given.k8sha_reuse or config.getini("k8sha_reuse"), REUSE) == "auto",
            keep=_word("k8sha_keep", given.k8sha_keep or config.getini("k8sha_keep"), KEEP),
            traceback=given.k8sha_traceback,
            slo=_number("k8sha_slo", given.k8sha_slo or config.getini("k8sha_slo") or SLO, 0.01, 60),
            quota=_two("k8sha_quota", given.k8sha_quota or config.getini("k8sha_quota")),
            price_file=_file(config, given.k8sha_prices, config.getini("k8sha_prices")),
            chaos_control=given.k8sha_chaos_control,
            flood=int(_number("k8sha_flood", given.k8sha_flood or config.getini("k8sha_flood") or FLOOD, 1, 2000)),
            restore=_file(config, given.k8sha_restore, config.getini("k8sha_restore")),
        )


def _word(name: str, value: str, allowed: tuple[str, ...]) -> str:
    from pytest_k8sha.errors import UsageError

    if value not in allowed:
        raise UsageError(f"unknown value of {name}", value=value, allowed=allowed)
    return value


def _number(name: str, value: str | float, least: float, most: float) -> float:
    from pytest_k8sha.errors import UsageError

    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not least <= number <= most:
        raise UsageError(f"{name} is a number from {least:g} to {most:g}", value=value)
    return number


def _two(name: str, value: str) -> tuple[float, float]:
    """Two rising numbers of per cent."""
    from pytest_k8sha.errors import UsageError

    if not value:
        return QUOTA
    warn, comma, full = value.partition(",")
    if not comma:
        raise UsageError(f"{name} is two numbers", value=value, allowed=["80,90"])
    found = _number(name, warn.strip(), 1, 100), _number(name, full.strip(), 1, 100)
    if found[0] > found[1]:
        raise UsageError(f"{name}: the warning comes first", value=value, allowed=["80,90"])
    return found


def _file(config: pytest.Config, given: str | None, written: str) -> Path | None:
    """A file of the command line, counted from the working folder, or of the ini file, counted from its folder."""
    if given:
        return config.invocation_params.dir / given
    base = config.inipath.parent if config.inipath else config.invocation_params.dir
    return base / written if written else None
