"""Diagnostics stay small and tell no secrets, whatever the cluster holds."""

from __future__ import annotations

from pytest_k8sha.tenancy import portraits
from pytest_k8sha.tenancy.diagnostics import LIMIT, Diagnosis


def test_bounded() -> None:
    """However much there is, 64 KiB are kept, and what was left out is said."""
    found = Diagnosis()
    for number in range(5000):
        found.add("pods", f"pod {number} " + "x" * 1000)
    size = sum(len(line.encode()) for lines in found.data.values() for line in lines)
    assert size <= LIMIT + 1000
    assert found.data["left out"]


def test_brief() -> None:
    """The short text holds what stands out, and how much more there is."""
    found = Diagnosis()
    for number in range(20):
        found.add("events", f"Warning {number}", notable=True)
    assert found.brief.splitlines()[0] == "events: Warning 0"
    assert found.brief.splitlines()[-1] == "and 5 more"


def test_no_secret_and_no_variable() -> None:
    """A Secret is told by its keys, a pod without its environment."""
    line, _ = portraits.keys({"metadata": {"name": "s"}, "type": "Opaque", "data": {"key": "dmFsdWU="}})
    assert line == "s: Opaque, keys key"
    pod = {
        "metadata": {"name": "p"},
        "spec": {"containers": [{"name": "c", "image": "i", "env": [{"name": "A", "value": "hidden"}]}]},
        "status": {"phase": "Pending", "conditions": [{"status": "False", "message": "no node fits"}]},
    }
    line, notable = portraits.pod(pod)
    assert line == "p Pending on no node, image i: no node fits"
    assert notable
    again = {**pod, "status": {"phase": "Running", "containerStatuses": [{"name": "c", "restartCount": 2}]}}
    assert portraits.pod(again) == ("p Running on no node, image i: restarted 2 times", True)
