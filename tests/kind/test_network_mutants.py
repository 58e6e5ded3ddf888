"""The network's checks on real pods: they pass on good tenants, and each mutant fails those that it names."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_k8sha import _clock
from pytest_k8sha.checks import mutants
from pytest_k8sha.checks.catalogue import Catalogue
from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.checks.mutants import Mutant, merge
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.fleet.spec import TenantOrder
from pytest_k8sha.kube import manifests
from pytest_k8sha.model import Verdict, nonce
from pytest_k8sha.settings import bundled
from pytest_k8sha.tenancy.network.ground import usable_nodes
from pytest_k8sha.tenancy.network.judging import CHECKS
from pytest_k8sha.tenancy.network.survey import ROUTES, Survey, clear, survey
from pytest_k8sha.tenancy.network.table import Route
from pytest_k8sha.tenancy.network.timing import judge_times
from pytest_k8sha.tenancy.network.window import judge_alone, judge_window
from pytest_k8sha.tenancy.template import establish
from pytest_k8sha.tenancy.tenant import Tenant
from tests.kind.kind_clusters import Images
from tests.matrix import Matrix

MUTANTS = mutants.load([bundled("fixtures", "mutants", "network")])
EVERY: dict[str, Callable[[Judge, Survey], None]] = {
    **CHECKS,
    "TEN-NET-009": judge_window,
    "TEN-NET-013": judge_times,
    "TEN-NET-014": judge_alone,
}
GOOD = bundled("fixtures", "tenants", "good")
SUITE = Catalogue.of([bundled("suites", "tenancy") / "test_network.py"]).checks
BATCH = 7
"""Mutants of one survey: their probes must find room on two small nodes."""

ALONE = {"TEN-NET-009", "TEN-NET-013", "TEN-NET-014"}
"""Checks that make pods or change policies of their own: they are shown one tenant at a time."""


@dataclass
class Setup:
    """One tenant, made good or broken, and its neighbour."""

    name: str
    mutant: Mutant
    tenant: Tenant
    neighbour: Tenant

    def judge(self, check: str, found: Survey) -> Judge:
        """What the check says of this tenant."""
        whole = Judge(rule=check)
        if check in ALONE:
            pair = [self.tenant, self.neighbour]
            found = replace(found, owner={t.namespace: t.name for t in pair}, tenants=pair)
        EVERY[check](whole, found)
        others = set(found.owner.values()) - {self.tenant.name}
        mine = [
            finding
            for finding in whole.findings
            if self.tenant.name in finding.subject or not any(name in finding.subject for name in others)
        ]
        return replace(whole, findings=mine)


@dataclass
class Setups:
    """Set-ups on one cluster. Those that do not change the cluster itself are judged by one survey, for tenants do not
    see each other; the good one, and those that change it, have one of their own."""

    cluster: Cluster
    folder: Path
    matrix: Matrix
    together: list[str]
    done: dict[str, dict[str, Judge]] = field(default_factory=dict)

    def judges(self, name: str) -> dict[str, Judge]:
        """What the checks of a set-up came to, as the matrix gets it as well."""
        if name not in self.done:
            if name in self.together:
                self._judge(next(part for part in batched(self.together) if name in part), (Route.POD_IP,))
            elif name in MUTANTS:
                with enforcing(self.cluster, MUTANTS[name].cluster["enforce"]):
                    self._judge([name], ROUTES)
            else:
                self._judge([name], ROUTES)
        return self.done[name]

    def _judge(self, names: Sequence[str], routes: Sequence[Route]) -> None:
        clock = _clock.Deadline(0)
        shared = self._neighbour() if len(names) > 1 else None
        made = [self._make(name, shared) for name in names]
        partners = {frozenset((one.tenant.name, one.neighbour.name)) for one in made}
        tenants = list({t.name: t for one in made for t in (one.tenant, one.neighbour)}.values())
        try:
            found = survey(self.cluster, tenants, routes=routes, between=lambda a, b: frozenset((a, b)) in partners)
            try:
                for one in made:
                    judges = {check: one.judge(check, found) for check in one.mutant.checks}
                    self.done[one.name] = judges
                    for check, judge in judges.items():
                        self.matrix.put(check, one.name, str(judge.conclude()[0]))
            finally:
                clear(self.cluster, found)
        finally:
            for name in names:
                self.matrix.seconds[name] = round(clock.spent / len(names), 1)
            for tenant in tenants:
                self.cluster.delete_namespace(tenant.namespace, wait=False)

    def _neighbour(self) -> Tenant:
        return establish(self.cluster, TenantOrder(name=nonce("n"), template=GOOD))

    def _make(self, name: str, shared: Tenant | None) -> Setup:
        """The good set-up is a tenant that declares all there is. A mutant that changes its neighbour has its own."""
        mutant = MUTANTS.get(name) or Mutant(title="good", checks=list(EVERY), base="database")
        neighbour = shared if shared and "${neighbour}" not in str(mutant.overlay) else self._neighbour()
        values = {"neighbour": neighbour.name, "database": usable_nodes(self.cluster)[-1].ip, "tenant": "${tenant}"}
        folder = self.folder / name.replace("/", "-")
        folder.mkdir()
        tenant = establish(self.cluster, TenantOrder(name=nonce("t"), template=_template(mutant, folder, values)))
        return Setup(name, mutant, tenant, neighbour)


def batched(names: Sequence[str]) -> list[Sequence[str]]:
    return [names[start : start + BATCH] for start in range(0, len(names), BATCH)]


@pytest.fixture(scope="module")
def setups(
    kind_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory, matrix: Matrix, request: pytest.FixtureRequest
) -> Setups:
    """One survey is for all mutants that were selected and can share it."""
    matrix.titles |= {check: spec.title for check, spec in SUITE.items()}
    chosen = [item.callspec.params.get("name") for item in request.session.items if hasattr(item, "callspec")]
    together = [name for name in dict.fromkeys(chosen) if name in MUTANTS and not MUTANTS[name].cluster]
    return Setups(kind_cluster, tmp_path_factory.mktemp("setups"), matrix, together)


def told(judge: Judge) -> str:
    return "\n".join(f"{f.verdict} {f.subject}: {f.seen}" for f in judge.findings if f.verdict is not Verdict.PASSED)


@contextmanager
def enforcing(cluster: Cluster, wanted: str) -> Iterator[None]:
    """The rig's network agents enforce nowhere, or everywhere but on the last node."""
    names = nodes(cluster)
    chosen = {"nowhere": names, "all but one node": names[-1:]}[wanted]
    try:
        for name in chosen:
            _label(cluster, name, "false")
        yield
    finally:
        for name in chosen:
            _label(cluster, name, None)


def nodes(cluster: Cluster) -> list[str]:
    return sorted(n["metadata"]["name"] for n in cluster.resource("v1", "Node").list())


def _label(cluster: Cluster, node: str, value: str | None) -> None:
    cluster.resource("v1", "Node").patch(node, {"metadata": {"labels": {"rig/enforce": value}}})


def test_good_tenants_pass(setups: Setups) -> None:
    """Every check of the network passes on two good tenants, with the pods of both on both nodes."""
    judges = setups.judges("network/good")
    verdicts = {check: (judge.conclude()[0], told(judge)) for check, judge in judges.items()}
    wrong = {check: text for check, (verdict, text) in verdicts.items() if verdict is not Verdict.PASSED}
    assert wrong == {}, "\n\n".join(f"{check}:\n{text}" for check, text in wrong.items())
    rows = judges["TEN-NET-010"].tables["truth table"]
    assert {row["placement"] for row in rows} >= {"same node", "other node"}
    assert {row["route"] for row in rows} == {"pod IP", "service IP", "service name", "node port", "address"}
    assert {row["expected"] for row in rows} >= {"open", "blocked"}


def test_each_policy_has_its_time(setups: Setups) -> None:
    """The way to the name server depends on one policy, the ingress controller's on another: each has measures, for
    being written and for being removed, with bounds; what depends on nothing alone says so."""
    judge = setups.judges("network/good")["TEN-NET-013"]
    names = {measure.name.rpartition("/")[2]: measure for measure in judge.measures}
    assert {"dns", "ingress-controller", "same-namespace", "database"} <= set(names)
    for measure in judge.measures:
        assert measure.lo is not None
        assert 0 <= measure.lo <= measure.value < 20
    rows = judge.tables["time to enforce"]
    assert {row["change"] for row in rows} == {"written", "removed"}
    skipped = {f.subject.rpartition("/")[2]: f.seen for f in judge.findings if f.verdict is Verdict.NOT_EVALUATED}
    assert "depends on it alone" in skipped["default-deny"]


def test_whose_names_resolve_is_told(setups: Setups) -> None:
    """The cluster's name server answers everybody: each tenant's pods get the other's names, and the record says so."""
    rows = setups.judges("network/good")["TEN-NET-005"].tables["names of other tenants' services"]
    assert len({row["pod"] for row in rows}) >= 4
    assert {row["resolves"] for row in rows} == {"yes"}


def test_sctp_is_dialled_or_said_to_be_missing(setups: Setups) -> None:
    """Where the kernels have SCTP, the table has its ways; else a subject says so in words, and nothing is judged."""
    judge = setups.judges("network/good")["TEN-NET-010"]
    dialled = [row for row in judge.tables["truth table"] if row["protocol"] == "SCTP"]
    missing = [f for f in judge.findings if f.subject == "SCTP"]
    assert bool(dialled) != bool(missing)
    for finding in missing:
        assert finding.verdict is Verdict.NOT_EVALUATED
        assert "kernel" in finding.seen


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_the_mutant_fails_its_checks(name: str, setups: Setups, images: Images) -> None:
    """Each named check fails on real traffic, and its findings say why."""
    mutant = MUTANTS[name]
    if mutant.cluster and not images.rigged:
        pytest.skip("needs a network whose agents can be told not to enforce, as the rig's")
    judges = setups.judges(name)
    survived = {c: j.conclude() for c, j in judges.items() if j.conclude()[0] is not Verdict.FAILED}
    assert survived == {}, "\n".join(told(judges[check]) for check in survived)
    text = "\n".join(map(told, judges.values()))
    node = nodes(setups.cluster)[-1]
    silent = [words for words in (w.replace("${node}", node) for w in mutant.says) if words not in text]
    assert silent == [], text[:4000]


def _template(mutant: Mutant, folder: Path, values: Mapping[str, str]) -> Path:
    """The good template with what its base adds (fixtures/network/BASE) and the mutant's changes."""
    base = bundled("fixtures", "network", mutant.base) if mutant.base != "good" else None
    made = folder / "template"
    made.mkdir()
    described: Any = yaml.safe_load((GOOD / "tenant.yaml").read_text())
    sources = [GOOD, *([base] if base else [])]
    if base:
        described = merge(described, manifests.fill(yaml.safe_load((base / "tenant.yaml").read_text()), values))
    (made / "tenant.yaml").write_text(yaml.safe_dump(described))
    files = [path for source in sources for path in sorted(source.glob("*.yaml")) if path.name != "tenant.yaml"]
    changed = [manifests.fill(one, values) for one in mutant.changed(manifests.load(files, values))]
    (made / "objects.yaml").write_text(yaml.safe_dump_all(changed))
    return made


def test_every_check_of_the_network_has_a_mutant_here() -> None:
    """A check without a mutant is a claim without proof."""
    proved = {check for mutant in MUTANTS.values() for check in mutant.checks}
    assert set(SUITE) == proved == set(EVERY)
