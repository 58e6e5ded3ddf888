"""``k8sha chaos run``: experiments on one cluster, live, with a probe and a key that ends them."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_k8sha.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_k8sha.chaos.abort import Abort, ByHand
    from pytest_k8sha.chaos.order import Order
    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.probes.availability import Probe
    from pytest_k8sha.safety.journal import Journal


@click.command("run")
@click.argument("paths", nargs=-1, required=True, metavar="FILE…", type=click.Path(path_type=Path))
@options.clusters
@click.option("--probe", "url", metavar="URL", help="A service to ask meanwhile: http(s)://…, tcp://…, dns://….")
@click.option("--rate", type=float, default=20.0, show_default=True, help="Requests a second.")
@click.option("--timeout", type=float, default=1.0, show_default=True, help="Seconds after which one is given up.")
@click.option("--objective", help="What the service is held to, such as 'downtime <= 5s, error_rate < 1%'.")
@click.option("--abort-if", metavar="WORDS", help="Ends a fault early, such as 'error_rate > 20% over 10s'.")
@click.option("--control", is_flag=True, help="Make the same requests without a fault first, and compare.")
@options.as_json
@options.debug
@click.pass_context
def run(
    ctx: click.Context,
    paths: tuple[Path, ...],
    cluster: tuple[str, ...],
    fleet: Path | None,
    url: str | None,
    rate: float,
    timeout: float,
    objective: str | None,
    abort_if: str | None,
    *,
    control: bool,
    as_json: bool,
) -> None:
    """Run the experiments of files, of K8shaExperiment or of Chaos Mesh, one after the other on one cluster.

    On a terminal it shows phases, targets, the probe and what is left of the budget; the key a aborts, and the fault is
    taken back. Exit code 0 when every fault was felt, taken back, and the objective kept; 1 when not, or when that is
    not known; 2 when it was refused.
    """
    from pytest_k8sha.chaos import files
    from pytest_k8sha.chaos.abort import Abort, ByHand
    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.cli import console
    from pytest_k8sha.errors import EnvironmentFailure, K8shaError, UsageError
    from pytest_k8sha.model import Verdict

    orders = files.load(paths)
    abort = Abort.parse(abort_if) if abort_if else None
    if not url and (abort or objective or control):
        raise UsageError(
            "an objective, an abort condition and a control are about what a probe sees", remedy="give --probe URL"
        )
    if not cluster and fleet is None:
        raise UsageError(
            "faults are made on a cluster that is named", remedy="--cluster NAME=context:…,ceiling=disrupt"
        )
    judge, hand, error = Judge(), ByHand(), None
    data: dict[str, Any] = {}
    with _cluster(cluster, fleet) as (used, journal), ExitStack() as stack:
        probe = stack.enter_context(_probe(url, rate, timeout, objective, journal)) if url else None
        try:
            data = _run(used, orders, abort, hand, probe, judge, control=control)
        except (UsageError, EnvironmentFailure):
            raise
        except K8shaError as stopped:
            error = stopped
    verdict, reason = judge.conclude(error)
    found = {"verdict": str(verdict), "reason": reason, "findings": [f.as_dict() for f in judge.findings], **data}
    if as_json:
        console.dump(found | {"timelines": judge.timelines, "tables": judge.tables})
    else:
        _show(found)
    ctx.exit(0 if verdict is Verdict.PASSED else 1)


def _run(
    cluster: Cluster,
    orders: list[Order],
    abort: Abort | None,
    hand: ByHand,
    probe: Probe | None,
    judge: Judge,
    *,
    control: bool,
) -> dict[str, Any]:
    from pytest_k8sha.chaos.trial import Trial
    from pytest_k8sha.cli.gameview import View

    with View(cluster.name, orders, probe, hand) as view:
        made = Trial(cluster, orders, abort, hand=hand.look, tell=view.tell)
        both = made.judged(probe, judge, compare=control, say=view.say)
    return {"comparison": both} if both else {}


def _probe(url: str, rate: float, timeout: float, objective: str | None, journal: Journal) -> Probe:
    from pytest_k8sha.probes.availability import availability

    return availability(url, rate=rate, timeout=timeout, objective=objective, journal=journal)


@contextmanager
def _cluster(cluster: tuple[str, ...], fleet: Path | None) -> Iterator[tuple[Cluster, Journal]]:
    """The one cluster that is named, for the time of a run of its own; what the run made there goes at its end."""
    from pytest_k8sha.chaos.ways import WAYS
    from pytest_k8sha.cli import console
    from pytest_k8sha.errors import EnvironmentFailure, UsageError
    from pytest_k8sha.fleet.fleet import Fleet
    from pytest_k8sha.fleet.keeper import Keeper
    from pytest_k8sha.fleet.run import RunFolder
    from pytest_k8sha.providers.registry import Registry
    from pytest_k8sha.recover import sweep
    from pytest_k8sha.settings import Settings

    settings, registry = Settings.from_environment(), Registry()
    spec = options.read_fleet(cluster, fleet, registry)
    if len(spec.clusters) != 1:
        raise UsageError("an experiment is run on one cluster", value=", ".join(spec.clusters))
    keeper = Keeper(settings, registry, console.note)
    folder = RunFolder.create(settings)
    remains: list[str] = []
    try:
        keeper.provide(folder, spec)
        yield Fleet.open(folder, registry)[next(iter(spec.clusters))], folder.journal
    finally:
        remains += sweep(folder.path, settings, registry, lambda _: None, ways=WAYS).remains
        remains += [f"{one.what} on {one.cluster}: {one.problem}" for one in keeper.dismiss(folder)]
        folder.close(clean=not remains)
        for text in remains:
            console.note(f"remains: {text}")
    if remains:
        raise EnvironmentFailure("not everything could be taken back", value="; ".join(remains), remedy="k8sha recover")


def _show(found: dict[str, Any]) -> None:
    from pytest_k8sha.cli import console

    for finding in found["findings"]:
        console.say(f"{finding['verdict']}: {finding['subject']}: {finding['seen']}")
    if found.get("comparison"):
        rows = [[name, both["control"], both["fault"]] for name, both in found["comparison"].items()]
        console.table(["figure", "without a fault", "with it"], rows)
    console.say(f"{found['verdict']}: {found['reason']}")
