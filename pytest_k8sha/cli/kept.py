"""``k8sha up``, ``status`` and ``down``: clusters that outlive the command that made them."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_k8sha.cli import options

if TYPE_CHECKING:
    from pytest_k8sha.fleet.keeper import Keeper
    from pytest_k8sha.providers.base import ClusterState, Progress


@click.command("up")
@options.clusters
@options.as_json
@options.debug
def up(cluster: tuple[str, ...], fleet: Path | None, *, as_json: bool) -> None:
    """Make clusters that stay until `k8sha down`.

    Without options: east and west, as `k8sha run` wants them. A later `k8sha run` or `pytest` that asks for a cluster
    of the same name and options uses the one that is here. Manifests and tenants of a fleet file are applied by the
    run, not here.
    """
    from pytest_k8sha.cli import console

    with console.working("making clusters") as progress:
        keeper = _keeper(progress)
        states = keeper.keep(options.read_fleet(cluster, fleet, keeper.registry))
    files = [state.kubeconfig for state in states.values() if state.kubeconfig]
    line = f"export KUBECONFIG={os.pathsep.join(files)}"
    if as_json:
        console.dump({"clusters": [_plain(state) for state in states.values()], "export": line})
        return
    for name, state in states.items():
        console.say(f"{name}: {state.kubeconfig or 'the kubeconfig of the user'} (context {state.context})")
    console.say(line)


@click.command("status")
@options.as_json
@options.debug
def status(*, as_json: bool) -> None:
    """Show the clusters that stay: alive or dead, version, processes, memory, age."""
    from pytest_k8sha.cli import console

    keeper = _keeper(_quiet)
    rows = [described(keeper, state) for state in keeper.kept().values()]
    if as_json:
        console.dump({"clusters": rows})
        return
    if not rows:
        console.say("no cluster is kept; `k8sha up` makes some")
        return
    console.table(
        ["cluster", "provider", "state", "version", "processes", "memory", "age", "kubeconfig"],
        [
            [
                row["name"],
                row["provider"],
                "alive" if row["alive"] else "dead",
                row["version"] or "?",
                row["processes"],
                f"{row['memory_mib']} MiB",
                _age(row["age_s"]),
                row["kubeconfig"],
            ]
            for row in rows
        ],
    )
    for row in rows:
        if not row["alive"]:
            console.say(f"{row['name']} is dead: k8sha down {row['name']}")


@click.command("down")
@click.argument("names", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="End every cluster that is kept.")
@options.as_json
@options.debug
def down(names: tuple[str, ...], *, everything: bool, as_json: bool) -> None:
    """End kept clusters, by NAMES or all of them, and remove their folders."""
    from pytest_k8sha.cli import console
    from pytest_k8sha.errors import UsageError

    if bool(names) == everything:
        raise UsageError("name the clusters to end, or say --all", remedy="`k8sha status` lists them")
    with console.working("ending clusters") as progress:
        keeper = _keeper(progress)
        known = keeper.places()
        for name in names:
            if name not in known:
                raise UsageError("no cluster of this name is kept", value=name, allowed=known)
        ended = list(known) if everything else list(dict.fromkeys(names))
        for name in ended:
            progress(f"{name}: ending")
            keeper.drop(name)
    if as_json:
        console.dump({"ended": ended})
    else:
        console.say(f"ended: {', '.join(ended)}" if ended else "no cluster is kept")


def described(keeper: Keeper, state: ClusterState) -> dict[str, Any]:
    """One kept cluster as data. Memory is resident, in MiB; ``age_s`` is in seconds; no version when it is dead."""
    from pytest_k8sha import _clock
    from pytest_k8sha.providers.base import STATE_FILE

    alive = keeper.alive(state)
    count, memory = _processes(state.place)
    made = (Path(state.place) / STATE_FILE).stat().st_mtime
    return {
        **_plain(state),
        "alive": alive,
        "version": _version(keeper, state) if alive else "",
        "processes": count,
        "memory_mib": memory // 2**20,
        "age_s": round(_clock.epoch() - made),
    }


def _keeper(progress: Progress) -> Keeper:
    from pytest_k8sha.fleet.keeper import Keeper
    from pytest_k8sha.providers.registry import Registry
    from pytest_k8sha.settings import Settings

    return Keeper(Settings.from_environment(), Registry(), progress)


def _plain(state: ClusterState) -> dict[str, Any]:
    return {
        "name": state.name,
        "provider": state.provider,
        "kubeconfig": state.kubeconfig,
        "context": state.context,
        "options": state.options,
    }


def _processes(place: str) -> tuple[int, int]:
    """How many processes work in a cluster's folder, and their resident memory in bytes."""
    import psutil

    count = memory = 0
    for process in psutil.process_iter(["cmdline", "memory_info"]):
        words = process.info["cmdline"] or []
        if any(word == place or f"{place}/" in word for word in words):
            count += 1
            memory += process.info["memory_info"].rss if process.info["memory_info"] else 0
    return count, memory


def _version(keeper: Keeper, state: ClusterState) -> str:
    import tempfile

    from pytest_k8sha.errors import K8shaError
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.model import Impact, Run

    with tempfile.TemporaryDirectory(prefix="k8sha-") as private:
        run = Run(id="status", owner="status", expires=0)
        cluster = Cluster(
            state, keeper.registry.get(state.provider), run=run, private=Path(private), ceiling=Impact.OBSERVE
        )
        try:
            return str(cluster.client.request("GET", "/version", timeout=3.0).get("gitVersion", ""))
        except K8shaError:
            return ""


def _age(seconds: int) -> str:
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _quiet(_: str) -> None:
    """For commands that are quick."""
