"""The status of Chaos Mesh, read for what it proves."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_k8sha.chaos.mesh.status import Status


def record(phase: str = "Injected", injected: int = 1, recovered: int = 0, **more: Any) -> dict[str, Any]:
    return {
        "id": "shop/web-0/main",
        "selectorKey": ".",
        "phase": phase,
        "injectedCount": injected,
        "recoveredCount": recovered,
        **more,
    }


def status(*records: dict[str, Any], desired: str = "Run", **conditions: str) -> Status:
    return Status.of(
        {
            "status": {
                "conditions": [{"type": kind, "status": value} for kind, value in conditions.items()],
                "experiment": {"desiredPhase": desired, "containerRecords": list(records)},
            }
        }
    )


def test_an_object_without_status_proves_nothing() -> None:
    """What the controller has not looked at is neither injected nor recovered, and says so."""
    empty = Status.of({})
    assert not empty.injected
    assert not empty.recovered
    assert "no target was selected" in empty.told()
    assert "no pod is selected" in empty.told(("no pod is selected",))


def test_all_recovered_without_an_injection_is_no_recovery() -> None:
    """AllRecovered=True is what an experiment that never began looks like; the counts tell them apart."""
    never = status(record("Not Injected", 0, 0), desired="Stop", AllRecovered="True", Selected="True")
    assert never.conditions["AllRecovered"]
    assert not never.recovered
    assert not never.ever_injected
    done = status(record("Not Injected", 1, 1), desired="Stop", AllRecovered="True")
    assert done.recovered


@pytest.mark.parametrize(
    ("records", "injected"),
    [
        ([record()], True),
        ([record(), record("Not Injected", 0)], False),
        ([record("Not Injected/Wait", 0)], False),
        ([record("Injected/Wait", 1)], False),
        ([record("Injected", 0)], False),
        ([], False),
    ],
)
def test_injected_means_every_record_now(records: list[dict[str, Any]], injected: bool) -> None:
    """One target that is missed, or one on its way, is no injection; neither is a phase without a count."""
    assert status(*records, AllInjected="True").injected is injected


def test_a_recovery_that_is_asked_for_and_not_done() -> None:
    """While the desired phase is Run, or a record is still injected, nothing has been recovered."""
    assert not status(record("Not Injected", 1, 1), desired="Run").recovered
    assert not status(record("Injected", 1, 0), desired="Stop").recovered


def test_the_controllers_own_words() -> None:
    """A failure is told in the words of the newest event of the record, and how many more there are."""
    events = [
        {"type": "Failed", "operation": "Apply", "message": "old"},
        {"type": "Failed", "operation": "Apply", "message": "rpc error: unknown: tc: no such qdisc"},
        {"type": "Succeeded", "operation": "Apply", "message": ""},
    ]
    seen = status(
        record("Not Injected/Wait", 0, events=events), record("Not Injected/Wait", 0, id="shop/web-1", events=events)
    )
    told = seen.told()
    assert "injected into 0 of 2 targets (Not Injected/Wait)" in told
    assert "shop/web-0/main: rpc error: unknown: tc: no such qdisc (and 1 more)" in told
    assert seen.pods == ("shop/web-0", "shop/web-1")


def test_paused_is_read_from_its_condition() -> None:
    """A pause is told by the condition, not guessed from the records."""
    assert status(record(), Paused="True").paused
    assert not status(record(), Paused="False").paused
