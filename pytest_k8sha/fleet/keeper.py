"""Makes, keeps and dismisses fleets: several clusters at the same time, one failing without the others."""

from __future__ import annotations

import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from pytest_k8sha.errors import EnvironmentFailure, K8shaError, UsageError
from pytest_k8sha.fleet.fleet import FleetEntry
from pytest_k8sha.providers.base import STATE_FILE, ClusterState, Request
from pytest_k8sha.safety.journal import Journal, read

if TYPE_CHECKING:
    from pytest_k8sha._process import ProcessId
    from pytest_k8sha.fleet.run import RunFolder
    from pytest_k8sha.fleet.spec import ClusterOrder, FleetSpec
    from pytest_k8sha.providers.base import Progress
    from pytest_k8sha.providers.registry import Registry
    from pytest_k8sha.settings import Settings

LOCK_DEADLINE = 1800.0
"""Seconds to wait for another process of the same run that makes the fleet (it may have to build programs)."""


@dataclass(frozen=True)
class Leftover:
    """Something that a teardown could not remove."""

    cluster: str
    what: str
    problem: str
    remedy: str = "k8sha recover"


class Keeper:
    """Makes and dismisses clusters by order."""

    def __init__(self, settings: Settings, registry: Registry, progress: Progress) -> None:
        self.settings = settings
        self.registry = registry
        self.progress = progress

    def provide(self, folder: RunFolder, spec: FleetSpec, *, reuse: bool = True) -> None:
        """Makes the run's fleet unless another process of the run already did; leaves ``fleet.json``.

        A cluster that cannot be made is written down with its problem and the others go on; raises the first problem
        when none can be made (``fleet.json`` is there then, too), `UsageError` at once, before anything is made, for an
        order that cannot be meant.
        """
        options = {name: order.provider_options(self.registry) for name, order in spec.clusters.items()}
        lock = FileLock(folder.path / "fleet.lock")
        try:
            with lock.acquire(timeout=LOCK_DEADLINE):
                if folder.fleet_file.exists():
                    return
                entries, failures = self._all(folder, spec, options, reuse=reuse)
                part = folder.fleet_file.with_suffix(".part")
                part.write_text(json.dumps({"clusters": {n: e.as_dict() for n, e in entries.items()}}))
                part.replace(folder.fleet_file)
                if failures and all(entry.problem for entry in entries.values()):
                    raise failures[0]
        except Timeout as error:
            raise EnvironmentFailure(
                f"another process of this run held {lock.lock_file} for {LOCK_DEADLINE:.0f} s", remedy="k8sha recover"
            ) from error

    def _all(
        self, folder: RunFolder, spec: FleetSpec, options: dict[str, Any], *, reuse: bool
    ) -> tuple[dict[str, FleetEntry], list[K8shaError]]:
        entries: dict[str, FleetEntry] = {}
        failures: list[K8shaError] = []

        def one(name: str, order: ClusterOrder) -> FleetEntry:
            entry = FleetEntry(
                ceiling=order.ceiling,
                apply=[str(p) for p in order.apply],
                tenants=list(order.tenants),
                restore=str(order.restore or ""),
            )
            kept = self._kept_like(name, order, options[name]) if reuse else None
            if kept:
                self.progress(f"{name}: the kept cluster is used")
                return self._fill(entry, place=kept.place, reused=True)
            try:
                state = self._make(name, order, options[name], folder.place(name), folder.journal, folder.owner)
            except UsageError:
                raise
            except K8shaError as error:
                failures.append(error)
                return self._fill(entry, problem=str(error))
            return self._fill(entry, place=state.place)

        with ThreadPoolExecutor(max_workers=max(1, len(spec.clusters))) as pool:
            futures = {name: pool.submit(one, name, order) for name, order in spec.clusters.items()}
            for name, future in futures.items():
                entries[name] = future.result()
        return entries, failures

    @staticmethod
    def _fill(entry: FleetEntry, **values: Any) -> FleetEntry:
        vars(entry).update(values)
        return entry

    def _make(
        self,
        name: str,
        order: ClusterOrder,
        options: Any,
        place: Path,
        journal: Journal,
        owner: ProcessId | None,
    ) -> ClusterState:
        provider = self.registry.get(order.provider)
        number = journal.intent("cluster", cluster=name, provider=order.provider, place=str(place))
        request = Request(
            name=name,
            argument=order.argument,
            options=options,
            place=place,
            journal=journal,
            progress=lambda text: self.progress(f"{name}: {text}"),
            owner=owner,
        )
        try:
            state = provider.create(request)
        except K8shaError:
            journal.gone([number])  # a provider takes down what it began before it raises
            raise
        state.save()
        journal.made(number, made=state.made)
        return state

    def further(self, folder: RunFolder, name: str, order: ClusterOrder) -> ClusterState:
        """A further cluster of a run, beside its fleet; it ends with the run, or when its provider deletes it."""
        options = order.provider_options(self.registry)
        return self._make(name, order, options, folder.place(name), folder.journal, folder.owner)

    def dismiss(self, folder: RunFolder) -> list[Leftover]:
        """Deletes every cluster that the run made; returns what could not be removed. Never raises a `K8shaError`."""
        if not folder.fleet_file.exists():
            return []
        leftovers: list[Leftover] = []

        def one(name: str, entry: FleetEntry) -> None:
            if entry.problem or entry.reused:
                return
            try:
                state = ClusterState.load(Path(entry.place))
                self.registry.get(state.provider).delete(state)
            except (K8shaError, OSError) as error:
                leftovers.append(Leftover(name, "cluster", str(error)))

        data = json.loads(folder.fleet_file.read_text())["clusters"]
        with ThreadPoolExecutor(max_workers=max(1, len(data))) as pool:
            for future in [pool.submit(one, name, FleetEntry(**entry)) for name, entry in data.items()]:
                future.result()
        return leftovers

    def keep(self, spec: FleetSpec) -> dict[str, ClusterState]:
        """`k8sha up`: makes clusters that outlive this process; one that is kept already and alike is left as it is.

        Raises `UsageError` when a kept cluster of that name is of another make.
        """
        options = {name: order.provider_options(self.registry) for name, order in spec.clusters.items()}
        states: dict[str, ClusterState] = {}

        def one(name: str, order: ClusterOrder) -> ClusterState:
            place = self.settings.fleets / name
            place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(self.settings.fleets / f"{name}.lock", timeout=LOCK_DEADLINE):
                kept = self._kept_like(name, order, options[name])
                if kept:
                    return kept
                if place.exists():
                    if (place / STATE_FILE).exists() and self._alive(place):
                        raise UsageError(
                            "a cluster of this name is kept and is of another make",
                            value=name,
                            remedy=f"k8sha down {name}",
                        )
                    self.drop(name)
                place.mkdir(mode=0o700)
                journal = Journal(place / "journal.jsonl", run=f"up-{name}", label="k8sha-up")
                try:
                    return self._make(name, order, options[name], place, journal, None)
                except K8shaError:
                    shutil.rmtree(place, ignore_errors=True)
                    raise
                finally:
                    journal.close(clean=False)

        with ThreadPoolExecutor(max_workers=max(1, len(spec.clusters))) as pool:
            futures = {name: pool.submit(one, name, order) for name, order in spec.clusters.items()}
            for name, future in futures.items():
                states[name] = future.result()
        return states

    def kept(self) -> dict[str, ClusterState]:
        """The kept clusters by name, those that have died included."""
        places = sorted(p.parent for p in self.settings.fleets.glob(f"*/{STATE_FILE}"))
        return {place.name: ClusterState.load(place) for place in places}

    def places(self) -> dict[str, Path]:
        """The folders of kept clusters by name, those included that were killed while they were made."""
        return {path.name: path for path in sorted(self.settings.fleets.glob("*")) if path.is_dir()}

    def alive(self, state: ClusterState) -> bool:
        return self.registry.get(state.provider).alive(state)

    def drop(self, name: str) -> None:
        """`k8sha down`: ends a kept cluster and removes its folder. Raises `UsageError` when none has the name."""
        place = self.settings.fleets / name
        if not place.exists():
            raise UsageError("no cluster of this name is kept", value=name, allowed=self.kept())
        if (place / STATE_FILE).exists():
            state = ClusterState.load(place)
            self.registry.get(state.provider).delete(state)
        else:
            # `k8sha up` was killed before the cluster was there; its journal says who was making it.
            intents = [entry for entry in read(place / "journal.jsonl").open if entry.what == "cluster"]
            provider = str(intents[0].data["provider"]) if intents else "local"
            self.registry.get(provider).delete(ClusterState(name, provider, str(place), "", made=True))
        shutil.rmtree(place, ignore_errors=True)

    def _alive(self, place: Path) -> bool:
        return self.alive(ClusterState.load(place))

    def _kept_like(self, name: str, order: ClusterOrder, options: Any) -> ClusterState | None:
        """The kept cluster of this name when it lives and was made by the same order."""
        place = self.settings.fleets / name
        if not (place / STATE_FILE).exists():
            return None
        state = ClusterState.load(place)
        alike = state.provider == order.provider and state.options == options.model_dump(mode="json")
        return state if alike and self.alive(state) else None
