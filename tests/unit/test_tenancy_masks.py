"""What the diagnostics must not tell, and what they know it by."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from pytest_k8sha.tenancy import container_logs, portraits
from pytest_k8sha.tenancy.masks import Masks

VALUE = "sw0rdfish-4711"


def _learnt(**sources: Any) -> Masks:
    masks = Masks()
    masks.learn(*(sources.get(name, []) for name in ("secrets", "maps", "pods")))
    return masks


def _pod(**more: Any) -> dict[str, Any]:
    return {"metadata": {"name": "p", **more.pop("metadata", {})}, "spec": more}


@pytest.mark.parametrize(
    "sources",
    [
        {"secrets": [{"metadata": {}, "data": {"any": base64.b64encode(VALUE.encode()).decode()}}]},
        {"maps": [{"metadata": {}, "data": {"DB_PASSWORD": VALUE}}]},
        {"pods": [_pod(containers=[{"name": "c", "env": [{"name": "API_TOKEN", "value": VALUE}]}])]},
        {"pods": [_pod(initContainers=[{"name": "c", "env": [{"name": "secretKey", "value": VALUE}]}])]},
        {"pods": [_pod(metadata={"annotations": {"example.com/credentials": VALUE}})]},
    ],
)
def test_what_is_learnt_is_masked(sources: dict[str, Any]) -> None:
    """A value is masked in every line, as it is and in base64, wherever it was found."""
    masks = _learnt(**sources)
    assert VALUE not in masks.text(f"connecting with {VALUE}!")
    assert base64.b64encode(VALUE.encode()).decode()[:-2] not in masks.text(base64.b64encode(VALUE.encode()).decode())
    assert masks.text("nothing to hide") == "nothing to hide"


def test_other_values_stay() -> None:
    """What no name calls a credential is shown, so that a diagnosis still tells something; so is what is too long."""
    pods = [_pod(containers=[{"name": "c", "env": [{"name": "MODE", "value": "production"}]}])]
    maps = [{"metadata": {}, "data": {"token": "x" * 10_000}}]
    assert _learnt(pods=pods, maps=maps).text("mode production") == "mode production"


def test_half_a_line_is_left_out() -> None:
    """A log that the server cut off may end in half a secret, which nothing knows."""
    assert container_logs.whole_lines("a\nb") == "a\nb"
    cut = "first line\n" + "x" * container_logs.BYTES
    assert container_logs.whole_lines(cut) == "first line"
    assert container_logs.whole_lines("x" * container_logs.BYTES) == ""


def test_messages_can_be_left_out() -> None:
    """Where secrets are not known, what a container said at its end is not shown."""
    state = {"terminated": {"reason": "Error", "message": VALUE}}
    pod = {**_pod(), "status": {"phase": "Failed", "containerStatuses": [{"name": "c", "state": state}]}}
    assert VALUE in portraits.pod(pod)[0]
    assert VALUE not in portraits.pod(portraits.without_messages(pod))[0]
    event = {"metadata": {"name": "e"}, "involvedObject": {"kind": "Pod", "name": "p"}, "message": VALUE}
    assert VALUE not in portraits.event(portraits.without_messages(event))[0]
