"""Pods that wait for an image."""

from __future__ import annotations

from typing import Any

from pytest_k8sha.workloads.images import waiting
from tests.unit.workload_sample import bad, inventory, pods, verdicts, workload


def test_a_pod_that_waits_for_its_image_is_told() -> None:
    """With image, reason and the kubelet's words; also in an init container. Who waits for something else is no
    subject of this rule, and a workload without pods none at all."""
    web, api, new = workload(), workload("api"), workload("new")
    here = [*pods(web, "node-0", "node-1", "node-2"), *pods(api, "node-0")]

    def state(reason: str) -> list[dict[str, Any]]:
        return [{"image": "r/web:2", "state": {"waiting": {"reason": reason, "message": "not found"}}}]

    here[1]["status"]["initContainerStatuses"] = state("ErrImagePull")
    here[2]["status"]["containerStatuses"] = state("ImagePullBackOff")
    here[3]["status"]["containerStatuses"] = state("ContainerCreating")
    found = inventory(web, api, new, pods=here)
    told = "2 of 3 pods wait for an image: ErrImagePull of r/web:2: not found; ImagePullBackOff of r/web:2: not found"
    assert [seen.seen for seen in bad(waiting(found))] == [told]
    assert verdicts(waiting(found)) == {
        "Deployment shop/web": False,
        "Deployment shop/api": True,
        "Deployment shop/new": None,
    }
