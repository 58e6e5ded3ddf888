"""``k8sha backup`` and ``k8sha restore``: manifest backups made and used."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import click

from pytest_k8sha.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.model import Impact


@click.group("backup")
def backup() -> None:
    """Make backups."""


@backup.command("manifests")
@click.argument("cluster", metavar="CLUSTER")
@click.option("--out", required=True, type=click.Path(path_type=Path, file_okay=False), help="An empty folder.")
@options.as_json
@options.debug
def backup_manifests(cluster: str, *, out: Path, as_json: bool) -> None:
    """Write every object of CLUSTER into a folder, by reads alone.

    CLUSTER is the name of one that `k8sha up` keeps, or context:NAME. What the cluster makes by itself is left out;
    metadata.json says what and how much. The folder is readable by you alone: it holds every secret.
    """
    from pytest_k8sha.cli import console
    from pytest_k8sha.model import Impact
    from pytest_k8sha.recovery.manifests import backup as backups

    with _opened(cluster, Impact.OBSERVE) as found, console.working(f"reading {cluster}"):
        made = backups.make(found, out)
    if as_json:
        console.dump({"folder": str(out), **made.about})
    else:
        console.table(["kind", "objects"], sorted(made.about["counts"].items()))
        console.say(f"{len(made.objects)} objects in {out}")


@click.group("restore")
def restore() -> None:
    """Restore backups into clusters that k8sha made."""


@restore.command("manifests")
@click.argument("path", type=click.Path(path_type=Path, exists=True))
@click.option("--into", "into", required=True, metavar="CLUSTER", help="A cluster that `k8sha up` keeps.")
@click.option("--overwrite", is_flag=True, help="Change objects that are there already.")
@options.as_json
@options.debug
@click.pass_context
def restore_manifests(ctx: click.Context, path: Path, *, into: str, overwrite: bool, as_json: bool) -> None:
    """Apply a backup (a folder, tar or zip) and compare every object.

    Exit code 1 when an object is missing, different or unknown afterwards.
    """
    from pytest_k8sha.cli import console
    from pytest_k8sha.model import Impact
    from pytest_k8sha.recovery.manifests import backup as backups
    from pytest_k8sha.recovery.manifests import completeness
    from pytest_k8sha.recovery.manifests.restore import restore as apply

    given = backups.read(path)
    with _opened(into, Impact.DISRUPT) as cluster, console.working(f"restoring into {into}"):
        done = apply(given, cluster, overwrite=overwrite)
        found = completeness.compare(given.objects, *backups.inventory(cluster))
    counts = {str(one): found.counts[one] for one in completeness.Class}
    bad = {
        str(key): f"{one}: {said}" for key, (one, said) in sorted(found.classes.items()) if one in completeness.FAILING
    }
    bad |= {str(key): f"refused: {said}" for key, said in done.refused.items()}
    if as_json:
        console.dump({"applied": done.applied, "counts": counts, "failures": bad})
    else:
        console.table(["class", "objects"], counts.items())
        for name, said in bad.items():
            console.say(f"{name}: {said}")
    ctx.exit(1 if bad else 0)


@contextmanager
def _opened(name: str, ceiling: Impact) -> Iterator[Cluster]:
    """A kept cluster, or a context for reads alone. Raises `UsageError` for a name that is neither."""
    import tempfile

    from pytest_k8sha import _clock
    from pytest_k8sha.errors import UsageError
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.fleet.keeper import Keeper
    from pytest_k8sha.model import Impact, Run, nonce
    from pytest_k8sha.providers.base import ClusterState
    from pytest_k8sha.providers.registry import Registry
    from pytest_k8sha.settings import Settings

    registry = Registry()
    with tempfile.TemporaryDirectory(prefix="k8sha-") as folder:
        place = Path(folder)
        kind, _, context = name.partition(":")
        if kind == "context" and context:
            if ceiling > Impact.OBSERVE:
                raise UsageError("nothing is restored into a cluster that k8sha did not make", value=name)
            state = ClusterState(context, "context", folder, "", context)
        else:
            kept = Keeper(Settings.from_environment(), registry, lambda _: None).kept()
            if name not in kept:
                raise UsageError("no cluster of this name is kept", value=name, allowed=[*kept, "context:NAME"])
            state = kept[name]
        run = Run(nonce("command"), "k8sha-command", int(_clock.epoch()) + 3600)
        yield Cluster(state, registry.get(state.provider), run=run, private=place, ceiling=ceiling)
