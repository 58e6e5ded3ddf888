"""`k8sha recover`: replays the journals of runs whose process is gone, backwards, until nothing of them is left.

It is idempotent: what is gone already is no error. It deletes an object only when the object carries the run's id, and
a cluster only when the journal says that the run was making it.
"""

from __future__ import annotations

import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_k8sha import _clock
from pytest_k8sha._process import ProcessId
from pytest_k8sha.errors import ApiError, K8shaError
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.model import LABEL_RUN, Impact, Run
from pytest_k8sha.providers.base import STATE_FILE, ClusterState
from pytest_k8sha.safety import journal
from pytest_k8sha.safety.guard import Target

if TYPE_CHECKING:
    from pytest_k8sha.providers.base import Progress
    from pytest_k8sha.providers.registry import Registry
    from pytest_k8sha.settings import Settings


@dataclass
class Recovered:
    """What one run left: ``removed`` and, with the reason, ``remains``. ``running`` runs are not touched."""

    run: str
    running: bool = False
    removed: list[str] = field(default_factory=list)
    remains: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        return dict(vars(self))


def recover(settings: Settings, registry: Registry, progress: Progress, *, dry_run: bool = False) -> list[Recovered]:
    """Cleans up after every run that has ended without doing so. With ``dry_run`` it only tells."""
    done = []
    for folder in sorted(settings.runs.glob("*"), reverse=True):
        if folder.is_dir():
            progress(f"run {folder.name}")
            done.append(_run(folder, settings, registry, dry_run=dry_run))
    return done


def pending(settings: Settings) -> dict[str, bool]:
    """The runs that have a folder, and whether each still runs."""
    return {folder.name: _running(folder) for folder in sorted(settings.runs.glob("*")) if folder.is_dir()}


def _running(folder: Path) -> bool:
    owner = journal.read(folder / "journal.jsonl").owner
    return owner is not None and owner.alive


def _run(folder: Path, settings: Settings, registry: Registry, *, dry_run: bool) -> Recovered:
    replays = [journal.read(path) for path in sorted(folder.glob("journal*.jsonl"))]
    result = Recovered(folder.name)
    main = next((r for r in replays if r.path.name == "journal.jsonl"), None)
    if main and main.owner and main.owner.alive:
        result.running = True
        return result
    for replay in replays:
        for entry in replay.open:
            if entry.what == "object":
                continue
            name = f"{entry.what} {entry.data.get('cluster') or entry.data.get('name') or entry.n}"
            if dry_run:
                result.removed.append(name)
                continue
            try:
                if entry.what == "cluster":
                    _end_cluster(entry.data, registry)
                elif entry.what == "process":
                    _end_process(entry.data)
                else:
                    continue
            except (K8shaError, OSError) as error:
                result.remains.append(f"{name}: {error}")
            else:
                result.removed.append(name)
    _objects(folder, replays, settings, registry, result, dry_run=dry_run)
    if not result.remains and not dry_run:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _end_cluster(data: dict[str, object], registry: Registry) -> None:
    place = Path(str(data["place"]))
    if (place / STATE_FILE).exists():
        state = ClusterState.load(place)
    else:  # killed while it was being made
        state = ClusterState(str(data["cluster"]), str(data["provider"]), str(place), "", made=True)
    registry.get(state.provider).delete(state)


def _end_process(data: dict[str, object]) -> None:
    pid, created = data.get("pid"), data.get("created")
    if isinstance(pid, int) and isinstance(created, float):
        identity = ProcessId(pid, created)
        identity.signal(signal.SIGCONT)
        identity.end(5.0)


def _objects(
    folder: Path,
    replays: list[journal.Replay],
    settings: Settings,
    registry: Registry,
    result: Recovered,
    *,
    dry_run: bool,
) -> None:
    """Deletes what the run created on clusters that outlive it, the newest kinds first, namespaces last."""
    wanted: dict[str, list[str]] = {}
    for replay in replays:
        for entry in replay.open:
            if entry.what == "object":
                collection = str(entry.data["path"]).rsplit("/", 1)[0]
                paths = wanted.setdefault(str(entry.data["cluster"]), [])
                if collection not in paths:
                    paths.append(collection)
    if not wanted:
        return
    label = next((r.label for r in replays if r.label), "")
    run = Run(id=folder.name, owner=label, expires=int(_clock.epoch()) + 600)
    for name, collections in wanted.items():
        state = _state_of(name, folder, settings)
        if state is None:
            result.remains.append(f"objects on cluster {name}: nothing is known about this cluster any more")
            continue
        if not registry.get(state.provider).alive(state):
            result.removed.append(f"objects on cluster {name}: the cluster itself is gone")
            continue
        cluster = Cluster(state, registry.get(state.provider), run=run, private=folder / "private")
        cluster.guard.ceiling = Impact.EXERCISE
        for path in sorted(collections, key=lambda p: Target.of(p).resource == "namespaces"):
            _collection(cluster, path, result, dry_run=dry_run)


def _collection(cluster: Cluster, path: str, result: Recovered, *, dry_run: bool) -> None:
    run = cluster.run.id
    target = Target.of(path)
    try:
        found = cluster.client.request("GET", path, query={"labelSelector": f"{LABEL_RUN}={run}"}).get("items") or []
        for item in found:
            name = item["metadata"]["name"]
            text = f"{target.resource} {item['metadata'].get('namespace', '')}/{name} on {cluster.name}"
            if dry_run:
                result.removed.append(text)
                continue
            cluster.guard.own.add((target.group, target.resource, name))
            if target.resource == "namespaces" and not target.group:
                cluster.delete_namespace(name)
            else:
                body = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": {"uid": item["metadata"]["uid"]}}
                cluster.client.request("DELETE", f"{path}/{name}", body=body)
            result.removed.append(text)
    except ApiError as error:
        if error.status != 404:
            result.remains.append(f"{path} on {cluster.name}: {error}")
    except K8shaError as error:
        result.remains.append(f"{path} on {cluster.name}: {error}")


def _state_of(name: str, folder: Path, settings: Settings) -> ClusterState | None:
    for place in (settings.fleets / name, folder / "clusters" / name):
        if (place / STATE_FILE).exists():
            return ClusterState.load(place)
    return None


__all__ = ["Recovered", "recover"]
