"""What the checks of running pods reckon with before they touch a cluster."""

from __future__ import annotations

from pytest_k8sha.tenancy.escapes import placement
from pytest_k8sha.tenancy.escapes.placement import Node, tricks


def test_each_way_to_a_reserved_node_names_it() -> None:
    """nodeName alone passes a NoSchedule taint by; a NoExecute taint would end the pod, so everything is tolerated."""
    taint = {"key": "dedicated", "value": "db", "effect": "NoSchedule"}
    soft = {one.name: one.spec for one in tricks(Node("n1", (taint,)))}
    assert soft["nodeName"] == {"nodeName": "n1"}
    assert soft["a toleration of the node's own taint"]["tolerations"] == [
        {"key": "dedicated", "operator": "Equal", "value": "db", "effect": "NoSchedule"}
    ]
    hard = {one.name: one.spec for one in tricks(Node("n1", ({**taint, "effect": "NoExecute"},)))}
    assert hard["nodeName"]["tolerations"] == [{"operator": "Exists"}]
    assert {placement.stage.HOST: "n1"} in [spec.get("nodeSelector") for spec in hard.values()]
