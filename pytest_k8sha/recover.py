"""`k8sha recover`: replays the journals of runs whose process is gone, backwards, until nothing of them is left.

It is idempotent: what is gone already is no error. It deletes an object only when the object carries the run's id, a
cluster only when the journal says that the run was making it, and a kept cluster only when `k8sha up` was killed before
it was there. What still runs is not touched.
"""

from __future__ import annotations

import shutil
import signal
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock, Timeout

from pytest_k8sha import _clock
from pytest_k8sha._process import ProcessId
from pytest_k8sha.errors import EnvironmentFailure, K8shaError
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.fleet.run import UNFINISHED
from pytest_k8sha.fleet.sweep import Sweep
from pytest_k8sha.fleet.undo import Undo
from pytest_k8sha.model import Impact, Run
from pytest_k8sha.providers.base import STATE_FILE, ClusterState
from pytest_k8sha.safety import journal

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_k8sha.fleet.undo import Ways
    from pytest_k8sha.providers.base import Progress
    from pytest_k8sha.providers.registry import Registry
    from pytest_k8sha.settings import Settings

LOCK_DEADLINE = 600.0
"""Seconds to wait for another `k8sha recover`."""

WORKER_GRACE = 3.0
"""Seconds for a worker to see that its controller is gone, and to end by itself."""

UNFINISHED_GRACE = 60.0
"""Seconds after which a run's folder that is still being made belongs to nobody."""


class MadeAnew(EnvironmentFailure):
    """A cluster of the same name is there, and not the one that was meant: nothing of the run can be in it."""


@dataclass
class Recovered:
    """What one run left: ``removed`` and, with the reason, ``remains``. ``running`` runs are not touched."""

    run: str
    running: bool = False
    removed: list[str] = field(default_factory=list)
    remains: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, object]:
        return dict(vars(self))


def recover(
    settings: Settings, registry: Registry, progress: Progress, *, dry_run: bool = False, ways: Ways | None = None
) -> list[Recovered]:
    """Cleans up after every run that has ended without doing so. With ``dry_run`` it only tells. ``ways`` are those of
    faults that requests alone do not take back; what none is known for remains.

    Raises `EnvironmentFailure` when another `k8sha recover` does not end, or when the state folder cannot be written.
    """
    if not settings.state.exists():
        return []
    lock = FileLock(settings.state / "recover.lock")
    try:
        with lock.acquire(timeout=LOCK_DEADLINE):
            done = [
                _Recovery(folder, settings, registry, progress, dry_run=dry_run, ways=ways).run()
                for folder in _folders(settings.runs)
            ]
            halves = [_half_made(f, registry, progress, dry_run=dry_run) for f in _folders(settings.fleets)]
    except Timeout as error:
        raise EnvironmentFailure(f"another k8sha recover held {lock.lock_file} for {LOCK_DEADLINE:.0f} s") from error
    except OSError as error:
        raise EnvironmentFailure(
            f"{settings.state} cannot be cleaned up ({error})", remedy="run it as the user whose folder that is"
        ) from error
    return [*done, *filter(None, halves)]


def sweep(
    folder: Path, settings: Settings, registry: Registry, progress: Progress, *, ways: Ways | None = None
) -> Recovered:
    """The run's own teardown on clusters that outlive it: takes its faults back and deletes its objects there.

    To be called by the run itself, when its workers have ended. It ends no cluster and no process.
    """
    return _Recovery(folder, settings, registry, progress, dry_run=False, ways=ways).sweep()


def pending(settings: Settings) -> dict[str, bool]:
    """The runs that have a folder, and whether each still runs."""
    return {folder.name: _running(folder) for folder in reversed(_folders(settings.runs))}


def _folders(parent: Path) -> list[Path]:
    """The newest first."""
    return sorted((path for path in parent.glob("*") if path.is_dir()), reverse=True)


def _running(folder: Path) -> bool:
    """Whether the process that owns a run still lives; a folder without an owner is being made at this moment."""
    owner = journal.read(folder / "journal.jsonl").owner
    if owner is None and folder.name.endswith(UNFINISHED):
        return _clock.epoch() - folder.stat().st_mtime < UNFINISHED_GRACE
    return owner is not None and owner.alive


def _half_made(folder: Path, registry: Registry, progress: Progress, *, dry_run: bool) -> Recovered | None:
    """A kept cluster whose maker was killed before it was there."""
    if (folder / STATE_FILE).exists() or _running(folder):
        return None
    name = f"cluster {folder.name}, which `k8sha up` did not finish"
    progress(name)
    result = Recovered(f"up-{folder.name}")
    intents = [entry for entry in journal.read(folder / "journal.jsonl").open if entry.what == "cluster"]
    provider = str(intents[0].data["provider"]) if intents else "local"
    try:
        if not dry_run:
            registry.get(provider).delete(ClusterState(folder.name, provider, str(folder), "", made=True))
            shutil.rmtree(folder)
    except (K8shaError, OSError) as error:
        result.remains.append(f"{name}: {error}")
    else:
        result.removed.append(name)
    return result


class _Recovery:
    """The clean-up after one run."""

    def __init__(
        self,
        folder: Path,
        settings: Settings,
        registry: Registry,
        progress: Progress,
        *,
        dry_run: bool,
        ways: Ways | None,
    ) -> None:
        self._ways = ways or {}
        self._folder = folder
        self._settings = settings
        self._registry = registry
        self._progress = progress
        self._dry_run = dry_run
        self._replays: list[journal.Replay] = []
        self._result = Recovered(folder.name.removesuffix(UNFINISHED).lstrip("."))

    def run(self) -> Recovered:
        if _running(self._folder):
            self._result.running = True
            return self._result
        self._progress(f"run {self._result.run}")
        paths = sorted(self._folder.glob("journal*.jsonl"))
        self._workers(paths)
        # Read only now: a worker may have written until its end.
        self._replays = [journal.read(path) for path in paths]
        self._faults()
        self._objects()
        self._programs()
        if not self._result.remains and not self._dry_run:
            shutil.rmtree(self._folder, ignore_errors=True)
            if self._folder.exists():
                self._result.remains.append(f"folder {self._folder}: it cannot be removed")
        return self._result

    def sweep(self) -> Recovered:
        self._replays = [journal.read(path) for path in sorted(self._folder.glob("journal*.jsonl"))]
        self._faults()
        self._objects()
        return self._result

    def _workers(self, paths: list[Path]) -> None:
        """Waits for the run's other processes, and ends those that do not see that their run is over. The one that
        recovers may have joined the run to look at it, and does not end itself."""
        own = ProcessId.own()
        for path in paths:
            worker = journal.read(path).owner
            if worker is None or worker == own or not worker.alive:
                continue
            name = f"process {worker.pid} ({path.stem.removeprefix('journal-')})"
            if self._dry_run or worker.wait(WORKER_GRACE) or worker.end(WORKER_GRACE):
                self._result.removed.append(name)
            else:
                self._result.remains.append(f"{name}: it does not end")

    def _entries(self, what: str) -> list[journal.Entry]:
        return [entry for replay in self._replays for entry in replay.open if entry.what == what]

    def _programs(self) -> None:
        """Ends the clusters that the run made, and processes that belong to none."""
        clusters = self._entries("cluster")
        places = {entry.data.get("place") for entry in clusters}
        for entry in clusters:
            state = _state_in(entry.data)
            if state.made:
                self._do(f"cluster {state.name}", partial(self._registry.get(state.provider).delete, state))
        for entry in self._entries("process"):
            if entry.data.get("place") not in places:
                name = f"process {entry.data.get('pid')} ({entry.data.get('role', 'unknown')})"
                self._do(name, partial(_end_process, entry.data))

    def _do(self, name: str, action: Callable[[], None]) -> None:
        if not self._dry_run:
            try:
                action()
            except (K8shaError, OSError) as error:
                self._result.remains.append(f"{name}: {error}")
                return
        self._result.removed.append(name)

    def _faults(self) -> None:
        """Takes faults back on clusters that outlive the run."""
        for name in dict.fromkeys(str(entry.data.get("cluster")) for entry in self._entries("fault")):
            state = self._state_of(name)
            if state is None or self._of_run(state) or not self._registry.get(state.provider).alive(state):
                continue
            entries = [entry for entry in self._entries("fault") if entry.data.get("cluster") == name]
            faults = self._registry.get(state.provider).faults(state)
            if faults is not None and any("undo" not in entry.data for entry in entries):
                self._do(f"faults on cluster {name}", faults.heal)
            # Requests last: what was healed just now may have been the API server.
            undone = [entry for entry in entries if "undo" in entry.data]
            for entry in undone:
                if "way" not in entry.data:
                    self._fault(state, entry)
            # These wait for a controller, each for its own object: side by side.
            with ThreadPoolExecutor(max_workers=8) as pool:
                list(pool.map(partial(self._fault, state), [entry for entry in undone if "way" in entry.data]))

    def _fault(self, state: ClusterState, entry: journal.Entry) -> None:
        on = f"{entry.data.get('on')} of cluster {entry.data.get('cluster')}"
        self._do(f"fault on {on}", partial(self._undo, state, entry))

    def _undo(self, state: ClusterState, entry: journal.Entry) -> None:
        cluster = self._reach(state, [entry])
        cluster.guard.ceiling = Impact.DISRUPT  # it was this high when the fault was made, or it would not have been
        for step in Undo.read(entry.data):
            step.send(cluster.client)
        found = entry.data.get("way")
        if found is None:
            return
        way = self._ways.get(str(found.get("of")))
        if way is None:
            raise EnvironmentFailure("nothing here knows its way back", value=found.get("of"))
        way(cluster, found)

    def _objects(self) -> None:
        """Deletes what the run created on clusters that outlive it."""
        wanted: dict[str, list[journal.Entry]] = {}
        for entry in self._entries("object"):
            wanted.setdefault(str(entry.data["cluster"]), []).append(entry)
        for name, entries in wanted.items():
            state = self._state_of(name)
            if state is None:
                # A context is described in the run's folder; only a kept cluster that `k8sha down` ended is nowhere.
                self._result.removed.append(f"objects on cluster {name}: the cluster itself is gone")
            elif self._of_run(state):
                continue  # they end with their cluster
            elif not self._registry.get(state.provider).alive(state):
                self._result.removed.append(f"objects on cluster {name}: the cluster itself is gone")
            else:
                self._progress(f"run {self._result.run}: objects on cluster {name}")
                self._sweep(state, entries)

    def _sweep(self, state: ClusterState, entries: list[journal.Entry]) -> None:
        try:
            cluster = self._reach(state, entries)
        except MadeAnew as error:
            self._result.removed.append(f"objects on cluster {state.name}: {error.problem}")
            return
        except K8shaError as error:
            self._result.remains.append(f"objects on cluster {state.name}: {error}")
            return
        cluster.guard.ceiling = Impact.EXERCISE
        try:
            sweeping = Sweep(cluster, self._result.removed, self._result.remains, dry_run=self._dry_run)
            sweeping.run(str(entry.data["path"]) for entry in entries)
        except K8shaError as error:
            self._result.remains.append(f"objects on cluster {state.name}: {error}")

    def _reach(self, state: ClusterState, entries: list[journal.Entry]) -> Cluster:
        """The cluster, once it is sure to be the one of the entries. Raises `MadeAnew` and other `K8shaError`."""
        private = self._folder / "private"
        private.mkdir(mode=0o700, exist_ok=True)
        label = next((replay.label for replay in self._replays if replay.label), "")
        run = Run(id=self._result.run, owner=label, expires=int(_clock.epoch()) + 600)
        cluster = Cluster(state, self._registry.get(state.provider), run=run, private=private)
        known = {str(entry.data["uid"]) for entry in entries if entry.data.get("uid")}
        found = cluster.client.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
        if known and found not in known and state.made:
            raise MadeAnew("the cluster itself is gone, and made anew")
        if known and found not in known:
            raise EnvironmentFailure(f"its name leads to another cluster now ({found}, not {min(known)})")
        return cluster

    def _state_of(self, name: str) -> ClusterState | None:
        for place in (self._folder / "clusters" / name, self._settings.fleets / name):
            if (place / STATE_FILE).exists():
                return ClusterState.load(place)
        return None

    def _of_run(self, state: ClusterState) -> bool:
        """Whether the run made this cluster, so that all in it ends with it."""
        return state.made and Path(state.place).is_relative_to(self._folder)


def _state_in(data: dict[str, object]) -> ClusterState:
    """The state of a cluster that a run was making, as far as it had come."""
    place = Path(str(data["place"]))
    if (place / STATE_FILE).exists():
        return ClusterState.load(place)
    return ClusterState(str(data["cluster"]), str(data["provider"]), str(place), "", made=True)


def _end_process(data: dict[str, object]) -> None:
    pid, created = data.get("pid"), data.get("created")
    if isinstance(pid, int) and isinstance(created, float):
        identity = ProcessId(pid, created)
        identity.signal(signal.SIGCONT)
        identity.end(5.0)


__all__ = ["Recovered", "pending", "recover", "sweep"]
