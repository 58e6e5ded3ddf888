"""A private image that is on a node already, used by somebody who could never pull it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_k8sha._wait import eventually
from pytest_k8sha.checks.denial import ADMISSION, attribute
from pytest_k8sha.errors import ApiError, NotEvaluated, WaitTimeout
from pytest_k8sha.tenancy.escapes import stage
from pytest_k8sha.tenancy.matrix import several
from pytest_k8sha.tenancy.podsecurity import author
from pytest_k8sha.tenancy.secrets import owned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.tenant import Tenant

POLICIES = ("IfNotPresent", "Never", "Always")
"""Each value of imagePullPolicy: the first two take an image that is there, whoever brought it."""

DEADLINE = 60.0
"""Seconds for the kubelet to start a container or to say that it does not get the image."""

_NOT_HAD = frozenset({"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull"})


def judge_private(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """Each tenant that names private images runs them, which brings them to a node; then everybody else tries to, on
    that very node and without credentials, by each pull policy."""
    several(tenants)
    owned(tenants)
    private = [(tenant, image) for tenant in tenants for image in tenant.expects.private_images]
    if not private:
        raise NotEvaluated(
            "no tenant names a private image", remedy="name one under expects.privateImages in tenant.yaml"
        )
    for owner, image in private:
        container = {"imagePullPolicy": "IfNotPresent"}
        with stage.running(cluster, [stage.pod(owner, image, container=container)]) as (mine,):
            node = mine["spec"]["nodeName"]
            for other in tenants:
                if other is not owner:
                    _judge_other(judge, cluster, owner, other, image, node)


def _judge_other(judge: Judge, cluster: Cluster, owner: Tenant, other: Tenant, image: str, node: str) -> None:
    client = author(other)
    made: list[tuple[str, dict[str, Any]]] = []
    try:
        for policy in POLICIES:
            subject = f"{other} runs the private image {image} of {owner} on {node} with imagePullPolicy {policy}"
            body = stage.pod(other, image, container={"imagePullPolicy": policy}, node=node)
            try:
                made.append((subject, stage.create(client, body)))
            except ApiError as error:
                denial = attribute(error)
                if denial and denial.by in ADMISSION:
                    judge.ok(subject, f"refused by {denial}")
                else:
                    judge.unsure(subject, f"an error is not a denial: {error}")
        for subject, pod in made:
            _judge_pod(judge, cluster, subject, pod)
    finally:
        stage.remove(cluster, [pod for _, pod in made])


def _judge_pod(judge: Judge, cluster: Cluster, subject: str, pod: dict[str, Any]) -> None:
    resource, meta = cluster.resource("v1", "Pod"), pod["metadata"]

    def outcome() -> tuple[bool, str] | None:
        now = resource.get(meta["name"], meta["namespace"])
        if stage.started(now):
            return True, f"it runs, from image {now['status']['containerStatuses'][0].get('imageID', '')}"
        for status in now.get("status", {}).get("containerStatuses") or []:
            waiting = (status.get("state") or {}).get("waiting") or {}
            if waiting.get("reason") in _NOT_HAD:
                return False, f"{waiting['reason']}: {waiting.get('message', '')}"[:200]
        return None

    try:
        found = eventually(
            outcome,
            what="the kubelet has looked for the image",
            timeout=DEADLINE,
            interval=0.2,
            accept=lambda seen: seen is not None,
        )
    except WaitTimeout as error:
        judge.unsure(subject, str(error))
        return
    ran, told = found or (False, "")
    judge.that(not ran, subject, seen=told)
