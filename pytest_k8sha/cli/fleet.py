"""``k8sha fleet``: one look at many clusters."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_k8sha.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_k8sha.failover.overview import Overview
    from pytest_k8sha.failover.sight import Sight
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.providers.base import ClusterState


@click.group("fleet")
def fleet() -> None:
    """Look at many clusters together."""


@fleet.command("status")
@options.contexts
@click.option("--all-contexts", is_flag=True, help="Every context of the kubeconfig.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), default=10.0, show_default=True, help="Seconds a cluster."
)
@options.as_json
@options.debug
@click.pass_context
def status(
    ctx: click.Context,
    contexts: tuple[str, ...],
    kubeconfig: Path | None,
    *,
    all_contexts: bool,
    timeout: float,
    as_json: bool,
) -> None:
    """Look at clusters side by side, read-only: the API and its latency, nodes, health, credentials, rights, load
    balancers, resources and versions, and what differs between them.

    Without options: the clusters that `k8sha up` keeps. Exit code 1 when something is wrong with one of them.
    """
    from pytest_k8sha.cli import console
    from pytest_k8sha.failover import overview
    from pytest_k8sha.model import Verdict

    with _opened(_states(contexts, kubeconfig, all_contexts=all_contexts)) as clusters:
        seen = overview.survey(clusters, timeout)
    if as_json:
        console.dump(seen.as_dict())
    else:
        show(seen)
    ctx.exit(0 if seen.verdict is Verdict.PASSED else 1)


@fleet.command("drift")
@options.contexts
@click.option("--namespace", default="", metavar="NAME", help="Only objects of this namespace (default: all).")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    metavar="APIVERSION/KIND",
    help="What is compared, such as apps/v1/Deployment or v1/Service. Repeatable.",
    required=True,
)
@click.option(
    "--override",
    "overrides",
    multiple=True,
    metavar="KIND[/NAMESPACE/NAME]:PATH",
    help="A difference that is meant, such as Deployment.apps/shop/web:spec.replicas. Repeatable.",
)
@options.as_json
@options.debug
@click.pass_context
def drift(
    ctx: click.Context,
    contexts: tuple[str, ...],
    kubeconfig: Path | None,
    namespace: str,
    kinds: tuple[str, ...],
    overrides: tuple[str, ...],
    *,
    as_json: bool,
) -> None:
    """Compare the objects of clusters with those of the first one, read-only, and tell every difference by its path.

    What a server sets is left out, and so are lists' orders where they mean nothing. Values are not shown. Exit code 1
    when something differs.
    """
    from pytest_k8sha.cli import console
    from pytest_k8sha.errors import UsageError
    from pytest_k8sha.failover import drift as drifts

    wanted = []
    for text in kinds:
        version, slash, kind = text.rpartition("/")
        if not slash or not kind:
            raise UsageError("a kind is given as APIVERSION/KIND", value=text, remedy="e.g. apps/v1/Deployment")
        wanted.append((version, kind))
    meant = [drifts.Override.parse(text) for text in overrides]
    states = _states(contexts, kubeconfig, all_contexts=False)
    if len(states) < 2:
        raise UsageError("drift takes two clusters or more", value=", ".join(states), remedy="name two by --context")
    with _opened(states) as clusters:
        sets = drifts.read(clusters, wanted, namespace)
        found = drifts.compare(sets, meant)
    if as_json:
        console.dump({"objects": {n: len(o) for n, o in sets.items()}, "differences": [vars(d) for d in found]})
    else:
        for one in found:
            console.say(str(one))
        read = ", ".join(f"{len(objects)} in {name}" for name, objects in sets.items())
        console.say(f"{len(found)} differences; objects read: {read}")
    ctx.exit(1 if found else 0)


@contextmanager
def _opened(states: Mapping[str, ClusterState]) -> Iterator[dict[str, Cluster]]:
    """Clusters that are looked at and not touched."""
    import tempfile

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.model import Impact, Run
    from pytest_k8sha.providers.registry import Registry

    registry, run = Registry(), Run(id="look", owner="look", expires=0)
    with tempfile.TemporaryDirectory(prefix="k8sha-", ignore_cleanup_errors=True) as private:
        yield {
            name: Cluster(state, registry.get(state.provider), run=run, private=Path(private), ceiling=Impact.OBSERVE)
            for name, state in states.items()
        }


def show(seen: Overview) -> None:
    """The table, then what is to be looked at."""
    from pytest_k8sha.cli import console

    columns = ["cluster", "API", "version", "nodes", "healthy", "credentials", "rights", "LB", "CPU", "memory"]
    console.table(columns, [_row(sight) for sight in seen.sights])
    for remark in sorted(seen.remarks, key=lambda r: not r.grave):
        console.say(f"{'WRONG' if remark.grave else 'note '}  {remark.cluster} {remark.what}")
    answering = sum(sight.answers for sight in seen.sights)
    console.say(f"{answering} of {len(seen.sights)} clusters answered, in {seen.took:.1f} s")


def _row(sight: Sight) -> list[str]:
    if not sight.answers:
        return [sight.name, "no answer", *[""] * 8]
    ready = sum(sight.nodes.values())
    allowed = sum(sight.rights.values())
    return [
        sight.name,
        "?" if sight.delay is None else f"{1000 * sight.delay:.0f} ms",
        sight.version or "?",
        f"{ready}/{len(sight.nodes)}" if "nodes and resources" not in sight.unread else "?",
        "?" if "health" in sight.unread else "no" if sight.failing else "yes",
        _ends(sight),
        f"{allowed}/{len(sight.rights)}" if "rights" not in sight.unread else "?",
        f"{sight.balancers - len(sight.addressless)}/{sight.balancers}" if sight.balancers else "-",
        *(f"{sight.share[what]:.0%}" if what in sight.share else "?" for what in ("cpu", "memory")),
    ]


def _ends(sight: Sight) -> str:
    from pytest_k8sha import _clock

    if sight.ends is None:
        return sight.sort
    days = (sight.ends - _clock.epoch()) / 86400
    return f"{sight.sort}, ended" if days <= 0 else f"{sight.sort}, {days:.0f} d"


def _states(contexts: tuple[str, ...], file: Path | None, *, all_contexts: bool) -> dict[str, ClusterState]:
    """Where to look. A context that does not exist is looked at as well, and told of beside the others."""
    from pytest_k8sha.errors import UsageError
    from pytest_k8sha.fleet.keeper import Keeper
    from pytest_k8sha.kube import kubeconfig
    from pytest_k8sha.providers.base import ClusterState
    from pytest_k8sha.providers.registry import Registry
    from pytest_k8sha.settings import Settings

    if contexts and all_contexts:
        raise UsageError("name contexts, or say --all-contexts, not both")
    names = kubeconfig.names(file) if all_contexts else list(dict.fromkeys(contexts))
    if all_contexts and not names:
        raise UsageError("the kubeconfig has no context", value=", ".join(str(path) for path in kubeconfig.paths(file)))
    if names:
        given: dict[str, Any] = {"provider": "context", "place": "", "kubeconfig": str(file or "")}
        return {name: ClusterState(name=name, context=name, **given) for name in names}
    kept = Keeper(Settings.from_environment(), Registry(), lambda _: None).kept()
    if not kept:
        raise UsageError(
            "there is no cluster to look at", remedy="name contexts by --context, say --all-contexts, or `k8sha up`"
        )
    return dict(kept)
