"""The network's checks on real pods: they pass on good tenants, and each mutant fails those that it names."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from pytest_k8sha.checks import mutants
from pytest_k8sha.checks.catalogue import Catalogue
from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.checks.mutants import Mutant
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.fleet.spec import TenantOrder
from pytest_k8sha.kube import manifests
from pytest_k8sha.model import Verdict, nonce
from pytest_k8sha.settings import bundled
from pytest_k8sha.tenancy.network.judging import CHECKS
from pytest_k8sha.tenancy.network.survey import clear, survey
from pytest_k8sha.tenancy.network.window import judge_window
from pytest_k8sha.tenancy.template import establish
from tests.kind.kind_clusters import Images

MUTANTS = mutants.load([bundled("fixtures", "mutants", "network")])
WINDOW = "TEN-NET-009"
GOOD = bundled("fixtures", "tenants", "good")


def judged(cluster: Cluster, checks: list[str], template: Callable[[str], Path]) -> dict[str, Judge]:
    """What the checks say of a fresh tenant, made from what ``template`` gives for its neighbour's name, and of that
    neighbour, made well."""
    neighbour = establish(cluster, TenantOrder(name=nonce("n"), template=GOOD))
    tenant = establish(cluster, TenantOrder(name=nonce("t"), template=template(neighbour.name)))
    try:
        found = survey(cluster, [tenant, neighbour])
        judges = {check: Judge(rule=check) for check in checks}
        try:
            for check, judge in judges.items():
                (judge_window if check == WINDOW else CHECKS[check])(judge, found)
        finally:
            clear(cluster, found)
        return judges
    finally:
        for namespace in (*tenant.namespaces, *neighbour.namespaces):
            cluster.delete_namespace(namespace, wait=False)  # how long that takes is another check's matter


def told(judge: Judge) -> str:
    return "\n".join(f"{f.verdict} {f.subject}: {f.seen}" for f in judge.findings if f.verdict is not Verdict.PASSED)


@contextmanager
def enforcing(cluster: Cluster, wanted: str | None) -> Iterator[str]:
    """The rig's network agents enforce nowhere, or everywhere but on the last node; yields that node's name."""
    names = sorted(n["metadata"]["name"] for n in cluster.resource("v1", "Node").list())
    chosen = {None: [], "nowhere": names, "all but one node": names[-1:]}[wanted]
    try:
        for name in chosen:
            _label(cluster, name, "false")
        yield names[-1]
    finally:
        for name in chosen:
            _label(cluster, name, None)


def _label(cluster: Cluster, node: str, value: str | None) -> None:
    cluster.resource("v1", "Node").patch(node, {"metadata": {"labels": {"rig/enforce": value}}})


def test_good_tenants_pass(kind_cluster: Cluster) -> None:
    """Every check of the network passes on two good tenants, with the pods of both on both nodes."""
    judges = judged(kind_cluster, [*CHECKS, WINDOW], lambda _: GOOD)
    verdicts = {check: (judge.conclude()[0], told(judge)) for check, judge in judges.items()}
    wrong = {check: text for check, (verdict, text) in verdicts.items() if verdict is not Verdict.PASSED}
    assert wrong == {}, "\n\n".join(f"{check}:\n{text}" for check, text in wrong.items())
    rows = judges["TEN-NET-010"].tables["truth table"]
    assert {row["placement"] for row in rows} >= {"same node", "other node"}
    assert {row["route"] for row in rows} == {"pod IP", "service IP", "service name", "node port", "address"}
    assert {row["expected"] for row in rows} >= {"open", "blocked"}


@pytest.mark.parametrize("name", sorted(MUTANTS))
def test_the_mutant_fails_its_checks(name: str, kind_cluster: Cluster, images: Images, tmp_path: Path) -> None:
    """Each named check fails on real traffic, and its findings say why."""
    mutant = MUTANTS[name]
    enforce = mutant.cluster.get("enforce")
    if enforce is not None and not images.rigged:
        pytest.skip("needs a network whose agents can be told not to enforce, as the rig's")
    with enforcing(kind_cluster, enforce) as node:
        judges = judged(kind_cluster, mutant.checks, lambda other: _template(mutant, tmp_path, other))
    survived = {c: j.conclude() for c, j in judges.items() if j.conclude()[0] is not Verdict.FAILED}
    assert survived == {}, "\n".join(told(judges[check]) for check in survived)
    text = "\n".join(map(told, judges.values()))
    silent = [words for words in (w.replace("${node}", node) for w in mutant.says) if words not in text]
    assert silent == [], text[:4000]


def _template(mutant: Mutant, folder: Path, neighbour: str) -> Path:
    """The good template with the mutant's changes."""
    made = folder / "template"
    made.mkdir()
    (made / "tenant.yaml").write_text((GOOD / "tenant.yaml").read_text())
    values = {"tenant": "${tenant}", "neighbour": neighbour}
    objects = manifests.load([p for p in sorted(GOOD.glob("*.yaml")) if p.name != "tenant.yaml"], values)
    changed = [manifests.fill(one, values) for one in mutant.changed(objects)]
    (made / "objects.yaml").write_text(yaml.safe_dump_all(changed))
    return made


def test_every_check_of_the_network_has_a_mutant_here() -> None:
    """A check without a mutant is a claim without proof."""
    proved = {check for mutant in MUTANTS.values() for check in mutant.checks}
    checks = Catalogue.of([bundled("suites", "tenancy") / "test_network.py"]).checks
    assert set(checks) == proved == {*CHECKS, WINDOW}
