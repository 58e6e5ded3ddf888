"""Making the fleet once a run, setting each cluster up, and taking everything down again."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

from pytest_k8sha.capabilities.probe import Capabilities
from pytest_k8sha.chaos.ways import WAYS
from pytest_k8sha.errors import ImpactRefused, Inconclusive, K8shaError, NotEvaluated
from pytest_k8sha.fleet.fleet import Fleet
from pytest_k8sha.fleet.keeper import LOCK_DEADLINE, Keeper
from pytest_k8sha.fleet.spec import FleetSpec, TenantOrder
from pytest_k8sha.kube import manifests
from pytest_k8sha.model import Impact, nonce
from pytest_k8sha.plugin import logs
from pytest_k8sha.providers.base import STATE_FILE, ClusterState
from pytest_k8sha.recover import sweep
from pytest_k8sha.settings import bundled

if TYPE_CHECKING:
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.fleet.run import RunFolder
    from pytest_k8sha.plugin.session import Session
    from pytest_k8sha.tenancy.models.registry import Models
    from pytest_k8sha.tenancy.tenant import Tenant


_UNKNOWN: dict[str, Any] = {
    **dict.fromkeys(("version", "uid", "ceiling", "impact"), ""),
    "made": False,
    "members": 0,
    "nodes": 0,
    "capabilities": {},
}
"""The line of the record about a cluster that nothing is known about."""


@dataclass
class Readiness:
    """What the set-up of one cluster led to, kept as JSON in the run's folder for every process of the run.

    ``problem`` is why nothing can be judged there; ``facts`` is the line of the record about the cluster; ``tenants``
    are the declared ones, filled in, as `TenantOrder` data.
    """

    problem: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    capabilities: dict[str, Any] = field(default_factory=dict)
    tenants: list[dict[str, Any]] = field(default_factory=list)

    @staticmethod
    def file(name: str) -> str:
        return f"ready-{name}.json"

    @classmethod
    def load(cls, folder: RunFolder, name: str) -> Readiness:
        path = folder.path / cls.file(name)
        if not path.exists():
            return cls(problem=f"cluster {name} was not set up: the process that did so ended early")
        return cls(**json.loads(path.read_text()))

    def share(self, cluster: Cluster) -> None:
        """Spares this process the probe that another one made."""
        if self.capabilities and "capabilities" not in vars(cluster):
            found = Capabilities(**self.capabilities)
            cluster.capabilities = found
            cluster.guard.uid = found.uid


def fleet(session: Session) -> Fleet:
    """The fleet as this process uses it. The process that owns the run makes it first, with progress shown."""
    folder = session.folder
    if session.role != "worker" and not session.provided:
        with session.progress.during("the clusters of the run are being made"):
            _provide(session, folder)
            found = _open(session, folder)
            _set_up(session, found)
        session.provided = True
        _limit(session, found)
        session.config.hook.pytest_k8sha_fleet(config=session.config, fleet=found)
        return found
    found = _open(session, folder)
    _limit(session, found)
    return found


def _provide(session: Session, folder: RunFolder) -> None:
    keeper = Keeper(session.settings, session.registry, session.progress)
    if session.options.keep != "never":
        _keep(session, keeper)
    try:
        keeper.provide(folder, session.spec, reuse=session.options.reuse or session.options.keep != "never")
    except (K8shaError, OSError) as error:
        # Tried once a run: the tests hear of it one by one, and no later one waits for another try.
        if not folder.fleet_file.exists():
            broken = {name: {"problem": str(error)} for name in session.spec.clusters}
            session.save(folder.fleet_file.name, {"clusters": broken})


def _keep(session: Session, keeper: Keeper) -> None:
    """Makes the clusters as `k8sha up` does; whether they stay is decided at the end."""
    ours = {n: o for n, o in session.spec.clusters.items() if o.provider != "context"}
    before = set(keeper.kept())
    if ours:
        try:
            keeper.keep(FleetSpec(clusters=ours))
        except K8shaError as error:
            session.progress(f"not all clusters can be kept: {error}")
        session.kept = sorted(set(keeper.kept()) - before)


def _open(session: Session, folder: RunFolder) -> Fleet:
    found = Fleet.open(folder, session.registry)
    limit = session.options.impact
    for cluster in found.values():
        if limit and not cluster.state.made and cluster.ceiling > limit:
            # A cluster of somebody else's: the limit holds for the set-up too.
            cluster.ceiling = cluster.guard.ceiling = limit
    return found


def _limit(session: Session, found: Fleet) -> None:
    limit = session.options.impact
    for cluster in found.values():
        if limit and cluster.ceiling > limit:
            cluster.ceiling = cluster.guard.ceiling = limit


def _set_up(session: Session, found: Fleet) -> None:
    """Probes each cluster, applies what was ordered, makes the declared tenants; one failing without the others."""

    def one(name: str) -> None:
        ready = _ready(session, found, name)
        session.save(Readiness.file(name), asdict(ready))

    with ThreadPoolExecutor(max_workers=max(1, len(found))) as pool:
        for future in [pool.submit(one, name) for name in found]:
            future.result()
    for name, problem in found.broken.items():
        facts = {**_UNKNOWN, "name": name, "provider": session.spec.clusters[name].provider, "problem": problem}
        session.save(Readiness.file(name), asdict(Readiness(problem=problem, facts=facts)))


def _ready(session: Session, found: Fleet, name: str) -> Readiness:
    cluster, order = found[name], found.orders[name]
    ready = Readiness(facts=_facts(session, cluster))
    step = "could not be read"
    try:
        seen = cluster.capabilities
        ready.capabilities = asdict(seen)
        ready.facts |= {
            "version": seen.version,
            "uid": seen.uid,
            "members": seen.counts.get("members", 0),
            "nodes": seen.counts.get("nodes", 0),
            "capabilities": seen.as_dict(),
        }
        if order.apply:
            step = "did not take the manifests of `apply`"
            session.progress(f"{name}: applying the manifests of the fleet file")
            cluster.apply(manifests.load(Path(p) for p in order.apply))
        for tenant in session.models.prepare(order.tenants):
            step = f"did not take tenant {tenant.name}"
            session.progress(f"{name}: tenant {tenant.name} of the model {tenant.model}")
            session.models.create(cluster, tenant)
            ready.tenants.append(tenant.model_dump(mode="json"))
    except K8shaError as error:
        ready.problem = f"cluster {name} {step}: {error}"
        ready.facts["problem"] = ready.problem
    return ready


def _facts(session: Session, cluster: Cluster) -> dict[str, Any]:
    limit = session.options.impact
    return {
        **_UNKNOWN,
        "name": cluster.name,
        "provider": cluster.state.provider,
        "ceiling": str(cluster.ceiling),
        "impact": str(min(cluster.ceiling, limit) if limit else cluster.ceiling),
        "made": cluster.state.made,
    }


def tenants(session: Session, cluster: Cluster) -> list[Tenant]:
    """The tenants of a cluster. Where none is declared, the first process that asks makes two from the good template.

    Raises `NotEvaluated` when that is above the ceiling, `Inconclusive` when the cluster refuses it.
    """
    declared = session.readiness(cluster.name).tenants
    if declared:
        return [session.models.describe(cluster, TenantOrder.model_validate(data)) for data in declared]
    file = f"tenants-{cluster.name}.json"
    path = session.folder.path / file
    with FileLock(path.with_suffix(".lock"), timeout=LOCK_DEADLINE):
        if not path.exists():
            with session.progress.during(f"{cluster.name}: two tenants are being made"):
                session.save(file, _fresh(session.models, cluster))
        data = json.loads(path.read_text())
    if data["problem"]:
        raise (NotEvaluated if data["refused"] else Inconclusive)(data["problem"])
    return [session.models.describe(cluster, TenantOrder.model_validate(order)) for order in data["tenants"]]


def _fresh(models: Models, cluster: Cluster) -> dict[str, Any]:
    made = []
    try:
        # Shares of the API server are objects of the cluster, which only a run that may do anything makes.
        fair = [bundled("fixtures", "tenants", "fairness")] if cluster.ceiling >= Impact.DISRUPT else []
        for prefix in ("acme", "globex"):
            order = models.ordinary(nonce(prefix), fair)
            models.create(cluster, order)
            made.append(order.model_dump(mode="json"))
    except ImpactRefused as error:
        return {"problem": f"tenants cannot be made on cluster {cluster.name}: {error}", "refused": True, "tenants": []}
    except K8shaError as error:
        return {"problem": f"no tenants on cluster {cluster.name}: {error}", "refused": False, "tenants": []}
    return {"problem": "", "refused": False, "tenants": made}


def dismiss(session: Session, *, failed: bool) -> bool:
    """Removes what the run made, and notes what could not be removed; true when nothing is left behind.

    Raises no `K8shaError`.
    """
    folder = session.folder
    stay = session.options.keep == "always" or (session.options.keep == "failure" and failed)
    session.staying = stay
    remaining = len(session.leftovers)
    with session.progress.during("the clusters of the run are being taken down"):
        if failed:
            logs.keep(session)
        if not stay:
            _sweep(session, folder)
        _dismiss_clusters(session, folder)
        if session.kept and not stay:
            keeper = Keeper(session.settings, session.registry, session.progress)
            for name in session.kept:
                try:
                    keeper.drop(name)
                except (K8shaError, OSError) as error:
                    session.leave(f"cluster {name}", name, error, f"k8sha down {name}")
    return len(session.leftovers) == remaining


def _sweep(session: Session, folder: RunFolder) -> None:
    try:
        found = sweep(folder.path, session.settings, session.registry, session.progress, ways=WAYS)
    except (K8shaError, OSError) as error:
        session.leave("objects of the run", "", error)
        return
    for text in found.remains:
        session.leave("objects of the run", "", text)


def _dismiss_clusters(session: Session, folder: RunFolder) -> None:
    keeper = Keeper(session.settings, session.registry, session.progress)
    for leftover in keeper.dismiss(folder):
        session.leave(leftover.what, leftover.cluster, leftover.problem, leftover.remedy)
    # Interrupted while the fleet was being made: some clusters may be complete, and nobody wrote the fleet down.
    known = json.loads(folder.fleet_file.read_text())["clusters"] if folder.fleet_file.exists() else {}
    for path in sorted((folder.path / "clusters").glob(f"*/{STATE_FILE}")):
        if known.get(path.parent.name, {}).get("place"):
            continue
        try:
            state = ClusterState.load(path.parent)
            session.registry.get(state.provider).delete(state)
        except (K8shaError, OSError) as error:
            session.leave("cluster", path.parent.name, error)
