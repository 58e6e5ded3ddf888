"""An API server that fails one request in ten leaves checks open; it turns no verdict."""

from __future__ import annotations

import inspect
import random
import secrets
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from pytest_k8sha import _clock
from pytest_k8sha.checks import mutants
from pytest_k8sha.checks.catalogue import Catalogue, CheckSpec, spec_of
from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.checks.mutants import Mutant
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.fleet.spec import TenantOrder
from pytest_k8sha.kube.client import Client
from pytest_k8sha.model import Verdict
from pytest_k8sha.providers.base import ClusterState
from pytest_k8sha.tenancy.models.namespace import NamespaceModel
from pytest_k8sha.tenancy.models.registry import Models
from pytest_k8sha.tenancy.usage import Thresholds
from tests.mutants.sick_server import SickServer

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
MUTANTS = mutants.load([ROOT / "fixtures" / "mutants"])
SHARE, SEED = 0.10, 20260101
TIME_OUT = 2.0
"""Seconds that a client waits for an answer, here: a hang costs as much."""
SECONDS = 45.0
"""After so long no further check is begun."""
HANDS = 4

CHOSEN = (
    "group-lists-secrets", "view-everywhere", "escalate", "bind-anything", "token-request", "namespace-labels",
    "endpoint-slices", "external-names", "ingress-wildcards", "volumes-made", "volume-lies-open", "quota-no-objects",
    "quota-full", "limits-no-max", "pss-warn-only", "policies-unbound", "policy-fails-open", "policy-exempts-by-label",
    "class-names-tenant", "namespaces-guessed", "binding-outlives", "flow-exempt",
)  # fmt: skip
"""Mutants of every kind of check."""

OPTIONS = SimpleNamespace(thresholds=Thresholds(), prices=None)
"""What checks read of the command line."""

GOOD = {Verdict.PASSED, Verdict.INCONCLUSIVE}
BROKEN = {Verdict.FAILED, Verdict.INCONCLUSIVE}


@dataclass(frozen=True)
class Job:
    """One check on one set-up, and the verdicts that are not wrong."""

    setup: str
    spec: CheckSpec
    function: Any
    orders: tuple[TenantOrder, ...]
    right: set[Verdict]


def functions() -> dict[str, tuple[CheckSpec, Any]]:
    """The tenancy checks that need no pods that run, by id."""
    import importlib.util

    found = {}
    for path in sorted((ROOT / "suites" / "tenancy").glob("test_*.py")):
        loader = importlib.util.spec_from_file_location(f"sick_{path.stem}", path)
        assert loader
        assert loader.loader
        module = importlib.util.module_from_spec(loader)
        loader.loader.exec_module(module)
        for item in vars(module).values():
            spec = spec_of(item)
            if spec and able(spec) and set(inspect.signature(item).parameters) <= GIVEN:
                found[spec.id] = (spec, item)
    return found


def able(spec: CheckSpec) -> bool:
    """Whether the check can be evaluated here: it needs nothing that the rig lacks, and asks for no other model."""
    return not spec.requires and set(spec.promises) <= NamespaceModel.promises


GIVEN = {"cluster", "tenants", "judge", "limits", "k8sha_options"}


class Ward:
    """The tenancy rig's cluster, seen through the sick server."""

    def __init__(self, rig: Any, folder: Path) -> None:
        rig.submit("tenancy", lambda: None).result()
        self.rig, self.folder, self.models = rig, folder, Models()
        self.state = ClusterState.load(rig.settings.fleets / rig._clusters["tenancy"].result())
        config = yaml.safe_load(Path(self.state.kubeconfig).read_text())
        pki = Path(self.state.place) / "pki"
        server = config["clusters"][0]["cluster"]["server"]
        self.sick = SickServer(server, pki, folder, seed=SEED, patience=2 * TIME_OUT)
        config["clusters"][0]["cluster"]["server"] = self.sick.url
        (folder / "kubeconfig").write_text(yaml.safe_dump(config))
        self.seen = replace(self.state, kubeconfig=str(folder / "kubeconfig"))

    def tenants(self, mutant: Mutant) -> tuple[TenantOrder, ...]:
        """Made while the server is well."""
        unique = f"sick-{secrets.token_hex(3)}"
        place = self.folder / f"{mutant.name}-{unique}"
        place.mkdir()
        told = self.rig._tenancy(mutant, unique, place)["tenants"]
        orders = self.models.prepare(TenantOrder.model_validate(order) for order in told)
        cluster = self.rig._cluster(self.state)
        for order in orders:
            self.models.create(cluster, order)
        return tuple(orders)

    def verdict(self, job: Job) -> tuple[Verdict, str]:
        """As a run comes to it; every object of this process is new, so that nothing is remembered from health."""
        cluster: Cluster = self.rig._cluster(self.seen)
        judge = Judge(rule=job.spec.title, remedy=job.spec.remedy)
        given = {"cluster": cluster, "judge": judge, "limits": (1.0, 48), "k8sha_options": OPTIONS}
        error: BaseException | None = None
        try:
            given["tenants"] = [self.models.describe(cluster, order) for order in job.orders]
            job.function(**{name: given[name] for name in inspect.signature(job.function).parameters})
        except Exception as caught:  # noqa: BLE001 - the judge comes to a verdict whatever it was
            error = caught
        return judge.conclude(error)


@pytest.fixture
def ward(rig: Any, tmp_path: Path) -> Iterator[Ward]:
    made = Ward(rig, tmp_path)
    yield made
    made.sick.close()


def test_a_sick_server_turns_no_verdict(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    """The whole suite on the good set-up and on mutants of every kind: a good tenant never fails, and a mutant never
    passes. What fails fails truly; everything else is inconclusive, and some of it is."""
    known = functions()
    good = Mutant(title="the good set-up", checks=["TEN-FLW-000"], name="good")
    chosen = [good, *(MUTANTS[f"tenancy/{name}"] for name in CHOSEN)]
    with ThreadPoolExecutor(HANDS) as pool:
        made = dict(zip([m.name for m in chosen], pool.map(ward.tenants, chosen), strict=True))
    jobs = [Job("good", *known[check], made["good"], GOOD) for check in known]
    for mutant in chosen[1:]:
        orders = made[mutant.name]
        jobs += [Job(mutant.name, *known[check], orders, BROKEN) for check in mutant.checks if check in known]

    random.Random(SEED).shuffle(jobs)  # noqa: S311 - where time is short, some of each are judged
    for method in (Client.request, Client.answer):
        monkeypatch.setitem(method.__kwdefaults__, "timeout", TIME_OUT)
    ward.sick.share = SHARE
    clock = _clock.Deadline(SECONDS)
    with ThreadPoolExecutor(HANDS) as pool:
        answers = list(pool.map(lambda job: None if clock.passed else ward.verdict(job), jobs))
    done = [(job, *answer) for job, answer in zip(jobs, answers, strict=True) if answer]
    wrong = [
        f"{job.spec.id} on {job.setup}: {verdict}: {why}" for job, verdict, why in done if verdict not in job.right
    ]
    counted = {str(v): sum(verdict is v for _, verdict, _ in done) for v in Verdict}
    told = f"{len(done)} of {len(jobs)} checks judged in {clock.spent:.0f} s: {counted}"
    sys.stdout.write(f"\n{told}; {ward.sick.served} requests, faults {dict(ward.sick.faults)}\n")
    assert not wrong, "\n".join(wrong)
    assert ward.sick.faults.keys() == {"500", "429", "reset", "hang"}
    assert counted["inconclusive"] > 0


def test_the_catalogue_is_covered() -> None:
    """Every tenancy check that the rig's cluster can evaluate is among those that are run on the sick server."""
    catalogue = Catalogue.of([ROOT / "suites" / "tenancy"])
    wanted = {check for check, spec in catalogue.checks.items() if able(spec)}
    assert wanted - functions().keys() == set()
