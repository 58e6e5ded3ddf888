"""What stands behind the fixtures of a single test: a namespace, `apply`, `diagnostics`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from pytest_k8sha.errors import ApiError, ImpactRefused, K8shaError, NotEvaluated
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.fleet.keeper import Keeper
from pytest_k8sha.fleet.spec import ClusterOrder
from pytest_k8sha.kube import manifests
from pytest_k8sha.model import LABEL_RUN, Impact, ObjectRef, Verdict, nonce
from pytest_k8sha.plugin.cases import case_of
from pytest_k8sha.tenancy import diagnostics

if TYPE_CHECKING:
    import pytest

    from pytest_k8sha.kube.resources import Object
    from pytest_k8sha.plugin.cases import Case
    from pytest_k8sha.plugin.session import Session
    from pytest_k8sha.probes.availability import Probe
    from pytest_k8sha.probes.target import Target
    from pytest_k8sha.tenancy.tenant import Tenant


def fresh_namespace(session: Session, cluster: Cluster, item: Any) -> Iterator[str]:
    """A namespace for one test. Raises `NotEvaluated` where the ceiling does not allow one."""
    if cluster.ceiling < Impact.EXERCISE:
        raise NotEvaluated(
            f"needs a namespace of its own, and cluster {cluster.name} may be used up to {cluster.ceiling}"
        )
    name = cluster.create_namespace("k8sha-test")
    case = case_of(item)
    if case:
        case.namespaces.append(name)
    yield name
    try:
        cluster.delete_namespace(name, wait=False)
    except K8shaError as error:
        session.leave(f"namespace {name}", cluster.name, error)


def further_cluster(session: Session, beside: str) -> Iterator[Cluster]:
    """A local cluster beside one of the fleet, for the time of the tests."""
    name = nonce(f"{beside[:14]}-new")
    keeper = Keeper(session.settings, session.registry, session.progress)
    state = keeper.further(session.folder, name, ClusterOrder.model_validate({"provider": "local", "nodes": 1}))
    provider = session.registry.get(state.provider)
    try:
        yield Cluster(state, provider, run=session.folder.run, private=session.folder.private)
    finally:
        try:
            provider.delete(state)
        except (K8shaError, OSError) as error:
            session.leave("cluster", name, error)


class Applier:
    """``apply(…)``: manifests as dictionaries, or paths of files and folders. Returns the objects as the server has
    them. After the test what it created is deleted; an object that existed before is left as it was changed."""

    def __init__(self, session: Session, cluster: Cluster, request: pytest.FixtureRequest) -> None:
        self._session = session
        self._cluster = cluster
        self._request = request
        self._made: list[ObjectRef] = []

    def __call__(
        self,
        what: Mapping[str, Any] | str | Path | Iterable[Mapping[str, Any] | str | Path],
        namespace: str = "",
        **values: str,
    ) -> list[Object]:
        """``values`` fill ``${name}`` in files. Raises `FileProblems` before anything is sent, `ApiError` for the first
        object that the server refuses, `NotEvaluated` when the ceiling is too low."""
        done: list[Object] = []
        for manifest in self._read(what, values):
            where = namespace or manifest["metadata"].get("namespace", "")
            if not where and self._namespaced(manifest):
                where = self._request.getfixturevalue("namespace")
            try:
                made = self._cluster.apply([manifest], where)
            except ImpactRefused as error:
                raise NotEvaluated(str(error)) from error
            done += made
            self._made += [ObjectRef.of(o) for o in made if self._ours(o)]
        return done

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        own = self._cluster.guard.namespaces
        for ref in reversed(self._made):
            if ref.namespace and ref.namespace in own:
                continue  # goes with its namespace
            try:
                self._cluster.resource(ref.api_version, ref.kind).delete(ref.name, ref.namespace)
            except ApiError as error:
                if error.status != 404:
                    self._session.leave(str(ref), self._cluster.name, error)
            except K8shaError as error:
                self._session.leave(str(ref), self._cluster.name, error)

    def _read(self, what: Any, values: Mapping[str, str]) -> list[dict[str, Any]]:
        items = [what] if isinstance(what, (Mapping, str, Path)) else list(what)
        base = self._request.path.parent
        paths = [base / item for item in items if isinstance(item, (str, Path))]
        given = [dict(item) for item in items if isinstance(item, Mapping)]
        return manifests.in_order([*given, *(manifests.load(paths, values) if paths else [])])

    def _namespaced(self, manifest: Mapping[str, Any]) -> bool:
        try:
            return self._cluster.client.discovery.find(manifest["apiVersion"], manifest["kind"]).namespaced
        except NotEvaluated:
            return False  # the kind may come with a CRD of the same set; the server will tell

    def _ours(self, obj: Mapping[str, Any]) -> bool:
        return bool((obj["metadata"].get("labels") or {}).get(LABEL_RUN) == self._cluster.run.id)


def prober(session: Session, request: pytest.FixtureRequest) -> Callable[..., Probe]:
    """`pytest_k8sha.availability` with the run's journal, and a file for the samples beside the record. In a test that
    asks for the fixture `chaos` the objective of its marker is the default."""
    from pytest_k8sha.probes.availability import availability

    def start(target: str | Target, **options: Any) -> Probe:
        place = session.options.out or (session.options.record.parent if session.options.record else None)
        if place:
            options.setdefault("samples", place / "samples" / f"{nonce('probe')}.jsonl")
        if "chaos" in request.fixturenames:
            options.setdefault("objective", request.getfixturevalue("chaos").objective)
        return availability(target, journal=session.folder.journal, **options)

    return start


class Diagnostics:
    """``diagnostics()`` collects the state of the test's namespaces; ``diagnostics("other")`` that of others."""

    def __init__(self, cluster: Cluster, item: Any) -> None:
        self._cluster = cluster
        self._item = item

    def __call__(self, *namespaces: str) -> dict[str, list[str]]:
        case = case_of(self._item)
        return diagnostics.collect(self._cluster, namespaces or _namespaces(case)).data


def examine(session: Session, case: Case) -> diagnostics.Diagnosis | None:
    """What the cluster looks like after a check failed; None when it cannot be looked at."""
    findings = [f for f in case.judge.findings if f.verdict is Verdict.FAILED]
    personas = [persona for tenant in _tenants(case) for persona in tenant.personas.values()]
    try:
        cluster = session.fleet[case.cluster]
        return diagnostics.collect(cluster, _namespaces(case), findings=findings, personas=personas)
    except K8shaError:
        return None


def _namespaces(case: Case | None) -> list[str]:
    if case is None:
        return []
    return list(dict.fromkeys([*case.namespaces, *(name for t in _tenants(case) for name in t.namespaces)]))


def _tenants(case: Case) -> list[Tenant]:
    funcargs: Mapping[str, Any] = getattr(case.item, "funcargs", {})
    found = (*funcargs.get("tenants", ()), funcargs.get("tenant"), funcargs.get("neighbour"))
    return list(dict.fromkeys(tenant for tenant in found if tenant is not None))
