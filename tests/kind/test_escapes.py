"""The escapes that only running pods can show: each check passes on good tenants and fails on each of its mutants."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import pytest

from pytest_k8sha._wait import eventually
from pytest_k8sha.checks import mutants
from pytest_k8sha.checks.catalogue import Catalogue
from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.checks.mutants import Mutant
from pytest_k8sha.errors import K8shaError, NotEvaluated
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.model import Verdict
from pytest_k8sha.providers.kind.engine import Engine
from pytest_k8sha.settings import bundled
from pytest_k8sha.tenancy.escapes import (
    images,
    kubelet,
    mounts,
    noise,
    placement,
    preempt,
    reach,
    stage,
    token,
    view,
    volumes,
)
from pytest_k8sha.tenancy.tenant import Tenant
from tests.kind import escape_tenants
from tests.kind.escape_tenants import Workshop
from tests.kind.kind_clusters import Images
from tests.matrix import Matrix

MUTANTS = mutants.load([bundled("fixtures", "mutants", "escapes")])
FILES = ("token", "reach", "mounts", "reserved", "images", "view", "volumes", "preempt", "noise", "kubelet")
SUITE = Catalogue.of([bundled("suites", "tenancy") / f"test_{name}.py" for name in FILES]).checks
SLO = 2.0
"""Seconds; the machine is small, and other things run on it."""

CHECKS: dict[str, Callable[[Judge, Cluster, list[Tenant]], None]] = {
    "TEN-TOK-001": token.judge_replay,
    "TEN-TOK-002": token.judge_asked,
    "TEN-RCH-001": reach.judge_running,
    "TEN-SEC-001": mounts.judge_named,
    "TEN-NOD-001": placement.judge_reserved,
    "TEN-IMG-001": images.judge_private,
    "TEN-POV-001": view.judge_processes,
    "TEN-POV-002": kubelet.judge_read_only,
    "TEN-VOL-001": volumes.judge_leavings,
    "TEN-PRI-001": preempt.judge_preemption,
    "TEN-NOI-001": lambda judge, cluster, tenants: noise.judge_cpu(judge, cluster, tenants, slo=SLO),
    "TEN-NOI-002": noise.judge_memory,
}
PLATFORM: dict[str, Callable[[Cluster], AbstractContextManager[Any]]] = {
    "TEN-NOD-001": escape_tenants.reserved_node,
    "TEN-PRI-001": escape_tenants.priority_classes,
}
"""What the platform has to have for a check to have something to look at."""

ALONE = {"TEN-VOL-001", "TEN-PRI-001", "TEN-NOI-001", "TEN-NOI-002", "TEN-POV-002"}
"""Checks whose mutants change what the others stand on: a class for the whole cluster, a node's CPU, a kubelet."""

AT_ONCE = 3


@dataclass
class Outcome:
    """What the checks that a mutant names said of it."""

    judges: dict[str, Judge]
    tenant: str

    @property
    def survived(self) -> dict[str, Any]:
        return {c: j.conclude() for c, j in self.judges.items() if j.conclude()[0] is not Verdict.FAILED}

    @property
    def told(self) -> str:
        failed = [f for j in self.judges.values() for f in j.findings if f.verdict is Verdict.FAILED]
        return escape_tenants.told(failed)


@pytest.fixture(scope="module")
def workshop(
    kind_cluster: Cluster, engine: Engine, images: Images, tmp_path_factory: pytest.TempPathFactory
) -> Workshop:
    return Workshop(kind_cluster, engine, tmp_path_factory.mktemp("escapes"), images.probe)


@pytest.fixture(scope="module")
def neighbour(workshop: Workshop) -> Iterator[Tenant]:
    """A good tenant, next to every other of this file."""
    made = workshop.tenant("n")
    yield made
    workshop.close([made])


@pytest.fixture(scope="module")
def good(workshop: Workshop, neighbour: Tenant) -> Iterator[list[Tenant]]:
    made = workshop.tenant("g")
    yield [made, neighbour]
    workshop.close([made])


@pytest.mark.parametrize("check", sorted(CHECKS))
def test_the_check_passes_on_good_tenants(
    check: str, kind_cluster: Cluster, good: list[Tenant], matrix: Matrix
) -> None:
    """Each check passes on two good tenants, on a platform that has what the check looks for."""
    judge = Judge(rule=check)
    with ExitStack() as stack:
        if check in PLATFORM:
            stack.enter_context(PLATFORM[check](kind_cluster))
        error = _judged(check, judge, kind_cluster, good)
    verdict, reason = judge.conclude(error)
    matrix.titles[check] = SUITE[check].title
    matrix.put(check, "escapes/good", str(verdict))
    open_ = [f for f in judge.findings if f.verdict is not Verdict.PASSED]
    assert verdict is Verdict.PASSED, f"{reason}\n{escape_tenants.told(open_)}"
    spoken = escape_tenants.told(judge.findings) + str(judge.tables) + reason
    assert [secret for secret in kind_cluster.run.secrets if secret and secret in spoken] == []


def _judged(check: str, judge: Judge, cluster: Cluster, tenants: list[Tenant]) -> K8shaError | None:
    try:
        CHECKS[check](judge, cluster, tenants)
    except K8shaError as error:
        return error
    return None


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, workshop: Workshop, neighbour: Tenant, engine: Engine
) -> Iterator[dict[str, Future[Outcome]]]:
    """The mutants that the selected tests want: those that can live beside each other on their way, then those on a
    reserved node; the others come one by one, when they are asked for."""
    items = [item for item in request.session.items if getattr(item, "module", None) is request.module]
    wanted = [item.callspec.params["name"] for item in items if "name" in getattr(item, "callspec", NoParams).params]
    beside = [name for name in wanted if not ALONE & set(MUTANTS[name].checks)]
    placed = [name for name in beside if "TEN-NOD-001" in MUTANTS[name].checks]
    with ThreadPoolExecutor(AT_ONCE) as pool:

        def start(names: list[str]) -> dict[str, Future[Outcome]]:
            return {name: pool.submit(_run, workshop, MUTANTS[name], neighbour, engine) for name in names}

        found = start([name for name in beside if name not in placed])
        for future in found.values():
            future.exception()  # all done, however they ended
        with ExitStack() as stack:
            if placed:
                stack.enter_context(escape_tenants.reserved_node(workshop.cluster))
            rest = start(placed)
            for future in rest.values():
                future.exception()
        yield {**found, **rest}


class NoParams:
    params: Mapping[str, Any] = MappingProxyType({})


def _run(workshop: Workshop, mutant: Mutant, neighbour: Tenant, engine: Engine) -> Outcome:
    cluster = workshop.cluster
    tenant = workshop.tenant("m", mutant, neighbour.name)
    try:
        with ExitStack() as stack:
            if mutant.cluster.get("secrets"):
                stack.enter_context(escape_tenants.copying_secrets(cluster, neighbour.namespace, tenant.namespace))
            if mutant.cluster.get("volumes"):
                stack.enter_context(escape_tenants.handing_volumes_on(cluster, f"{tenant.name}-kept"))
            if mutant.cluster.get("kubelet"):
                stack.enter_context(escape_tenants.open_kubelet(cluster, engine))
            judges = {check: Judge(rule=check) for check in mutant.checks}
            for check, judge in judges.items():
                error = _judged(check, judge, cluster, [tenant, neighbour])
                if error:
                    judge.unsure("the check", str(error))
        return Outcome(judges, tenant.name)
    finally:
        workshop.close([tenant])


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_the_mutant_fails_its_checks(
    name: str,
    workshop: Workshop,
    neighbour: Tenant,
    engine: Engine,
    outcomes: dict[str, Future[Outcome]],
    matrix: Matrix,
) -> None:
    """Each named check fails by what a pod really did, and its findings say why."""
    mutant = MUTANTS[name]
    outcome = outcomes[name].result() if name in outcomes else _run(workshop, mutant, neighbour, engine)
    for check, judge in outcome.judges.items():
        matrix.put(check, name, str(judge.conclude()[0]))
    findings = [f for judge in outcome.judges.values() for f in judge.findings]
    assert outcome.survived == {}, escape_tenants.told(findings)[:6000]
    says = [words.replace("${tenant}", outcome.tenant) for words in mutant.says]
    assert [words for words in says if words not in outcome.told] == [], outcome.told[:6000]


def test_every_check_of_running_pods_has_a_mutant() -> None:
    """A check without a mutant is a claim without proof."""
    proved = {check for mutant in MUTANTS.values() for check in mutant.checks}
    real = {check for check, spec in SUITE.items() if "nodes:real" in spec.requires}
    assert real == proved == set(CHECKS)


# --- bad input ---------------------------------------------------------------------------------------------------


def test_a_probe_image_that_is_nowhere_is_named(
    kind_cluster: Cluster, good: list[Tenant], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check is not evaluated, and says which image it lacks."""
    monkeypatch.setenv("K8SHA_PROBE_IMAGE", "localhost/k8sha/none:1")
    with pytest.raises(NotEvaluated, match="localhost/k8sha/none:1"):
        token.judge_asked(Judge(), kind_cluster, good)


def test_a_probe_image_that_does_not_start_is_named(kind_cluster: Cluster, good: list[Tenant]) -> None:
    """An image that is there and whose program ends at once leaves the check without an answer, by the image's name."""
    image = good[0].expects.private_images[0]

    def look() -> None:
        with stage.running(kind_cluster, [stage.pod(good[0], image, ["no-such-command"])]) as (pod,):
            eventually(lambda: ended(kind_cluster, pod), what="the program has ended", timeout=60)
            stage.read(kind_cluster.client, pod, "/etc/hostname")

    with pytest.raises(NotEvaluated, match=f"the probe image {image} cannot start: it ends with code"):
        look()


def ended(cluster: Cluster, pod: dict[str, Any]) -> bool:
    now = cluster.resource("v1", "Pod").get(pod["metadata"]["name"], pod["metadata"]["namespace"])
    return any("running" not in (s.get("state") or {}) for s in now["status"].get("containerStatuses") or [])
