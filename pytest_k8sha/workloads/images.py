"""Pods that wait for an image: what their kubelet says of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_k8sha.workloads.model import Seen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_k8sha.workloads.model import Inventory

REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"})
"""Why a container waits for its image (``pkg/kubelet/images/types.go``)."""


def waiting(inventory: Inventory) -> Iterator[Seen]:
    """Each workload, and which of its pods cannot have an image. One without pods shows nothing here."""
    for workload in inventory.workloads:
        pods = inventory.pods_of(workload)
        if not pods:
            yield Seen(str(workload), ok=None, seen="it has no pod, so that no image is asked for")
            continue
        stuck = [(pod["metadata"]["name"], *one) for pod in pods for one in _missing(pod)]
        names = {name for name, *_ in stuck}
        told = "; ".join(sorted({f"{reason} of {image}: {message}" for _, image, reason, message in stuck}))
        yield Seen(
            str(workload),
            ok=not stuck,
            seen=f"{len(names)} of {len(pods)} pods wait for an image: {told}"
            if stuck
            else f"{len(pods)} pods have their images",
            rule="every pod has its images",
            remedy="correct spec.template.spec.containers[].image, its imagePullSecrets, or the way to the registry; "
            "until then a pod that is lost is not replaced",
        )


def _missing(pod: dict[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Image, reason and message of each container that waits for its image."""
    status = pod.get("status") or {}
    for one in [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]:
        held = (one.get("state") or {}).get("waiting") or {}
        if held.get("reason") in REASONS:
            yield one.get("image", ""), held["reason"], held.get("message", "no message")
