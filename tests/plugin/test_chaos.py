"""Experiments in tests: the marker, the fixture, the control run, on a real local cluster without Chaos Mesh."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Inner

ORDER = """
apiVersion: k8sha.dev/v1
kind: K8shaExperiment
metadata: {{name: {name}}}
spec:
  action: {action}
  members: {{component: {component}}}
  blastRadius: 100%
  accept: [outage]
  hold: {hold}
"""
FILES = {
    "restart": ORDER.format(name="restart", action="restart", component="kube-apiserver", hold="0s"),
    "freeze": ORDER.format(name="freeze", action="freeze", component="kube-apiserver", hold="15s"),
    "scheduler": ORDER.format(name="scheduler", action="restart", component="kube-scheduler", hold="0s"),
    "nobody": """
apiVersion: k8sha.dev/v1
kind: K8shaExperiment
metadata: {name: nobody}
spec: {action: delete, pods: {namespaces: [default], names: [nobody]}}
""",
}

TESTS = """
from pytest_k8sha import apiread

@pytest.mark.chaos("restart.yaml", objective="downtime <= 120s")
def test_survives(chaos, cluster, availability):
    with availability(apiread(cluster), rate=10) as probe:
        chaos.run(probe)

@pytest.mark.chaos("restart.yaml", objective="downtime <= 400ms")
def test_hurts(chaos, cluster, availability):
    with availability(apiread(cluster), rate=60, timeout=0.3) as probe:
        chaos.run(probe)

@pytest.mark.chaos("freeze.yaml", abort="error_rate > 20% over 3s")
def test_is_aborted(chaos, cluster, availability):
    with availability(apiread(cluster), rate=10) as probe:
        chaos.run(probe)

@pytest.mark.chaos("nobody.yaml")
def test_hits_nobody(chaos):
    chaos.run()

@pytest.mark.chaos("restart.yaml")
def test_forgets(chaos):
    assert chaos.reports == []

@pytest.mark.chaos("scheduler.yaml")
def test_inside(chaos, cluster):
    with chaos.running() as live:
        assert live.report.effect
"""


def written(inner: Inner, text: str, *names: str) -> None:
    for name in names:
        (inner.pytester.path / f"{name}.yaml").write_text(FILES[name])
    inner.write(text)


def test_a_service_is_judged_under_a_fault(real: Inner) -> None:
    """Passed where the objective is kept, failed where it is not; inconclusive where the fault was aborted, hit nobody,
    or was never made. The record has fault, phases and the comparison with the same requests without a fault."""
    written(real, TESTS, *FILES)
    real.run("--k8sha-chaos-control", "-k", "not hurts")
    verdicts = {name.split(" ")[0].split("[")[0]: verdict for name, verdict in real.verdicts().items()}
    assert verdicts == {
        "test_survives": "passed",
        "test_is_aborted": "inconclusive",
        "test_hits_nobody": "inconclusive",
        "test_forgets": "inconclusive",
        "test_inside": "passed",
    }
    found = {name.split("[")[0]: result for name, result in real.results().items()}
    survived = found["test_survives"]
    quiet, hurt = survived["timelines"]
    assert quiet["subject"].endswith("without a fault")
    assert quiet["faults"] == []
    assert [fault["name"] for fault in hurt["faults"]] == ["restart: restart kube-apiserver"]
    tables = survived["tables"]
    phases = [row["phase"] for row in tables["experiment restart"]]
    assert phases == ["preflight", "steady before", "inject", "prove", "hold", "recover", "steady after"]
    (both,) = (rows for name, rows in tables.items() if name.endswith("without and with the fault"))
    assert {row["figure"] for row in both} >= {"error_rate %", "downtime s"}
    assert "the abort predicate holds: error_rate" in found["test_is_aborted"]["reason"]
    assert "zero targets" in found["test_hits_nobody"]["reason"]
    assert "zero subjects" in found["test_forgets"]["reason"]
    assert real.left() == []


def test_an_objective_that_is_not_kept_fails(real: Inner) -> None:
    """The same restart, held to less than an API server needs to start."""
    written(real, TESTS, *FILES)
    real.run("-k", "hurts")
    (result,) = real.results().values()
    assert result["verdict"] == "failed"
    assert "wanted downtime <= 400ms" in result["reason"]


@pytest.mark.parametrize(
    ("marker", "said"),
    [
        ('"missing.yaml"', "missing.yaml"),
        ('"restart.yaml", objektive="downtime <= 5s"', "objektive"),
        ('"restart.yaml", objective="downtime"', "objective"),
        ('"restart.yaml", abort="error_rate < 5%"', "abort condition"),
        ("5", "takes the files"),
    ],
)
def test_a_marker_that_cannot_be_meant_is_told_first(inner: Inner, marker: str, said: str) -> None:
    """While tests are collected, before a cluster is made."""
    written(inner, f"@pytest.mark.chaos({marker})\ndef test_x(chaos): pass\n", "restart")
    result = inner.run()
    result.assert_outcomes(errors=1)
    assert said in result.stdout.str()
    assert not inner.left()
