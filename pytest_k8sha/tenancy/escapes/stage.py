"""Pods of a tenant that really run, made as the tenant's own people make them, and what is seen from inside them.

The probe image (agnhost) has no shell, so files are read by its ``mounttest`` and texts are printed by its
``entrypoint-tester``, both started in the running container by ``exec``.
"""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import ApiError, Inconclusive, NotEvaluated, WaitTimeout
from pytest_k8sha.kube.execute import Executed, execute
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy import pods
from pytest_k8sha.tenancy.network.agent import Agent
from pytest_k8sha.tenancy.network.ground import SECURITY, image_of, is_ready, trouble, why
from pytest_k8sha.tenancy.network.places import Namespace, Pod

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.kube.client import Client
    from pytest_k8sha.tenancy.tenant import Tenant

    Manifest = dict[str, Any]

START = 120.0
"""Seconds for pods to be ready."""

PORT = 8080
"""Where ``netexec`` serves HTTP."""

SERVE = ("netexec", f"--http-port={PORT}", "--udp-port=-1")
"""A server that echoes."""

RESOURCES: Mapping[str, Any] = {
    "requests": {"cpu": "20m", "memory": "32Mi"},
    "limits": {"cpu": "200m", "memory": "128Mi"},
}

PROGRAMS = ("agnhost", "/agnhost")
"""Where the probe image has its program: on the path, or, as published, at the root."""

HOST = "kubernetes.io/hostname"


def ensure_image(cluster: Cluster) -> str:
    """The probe image, on every node. Raises `NotEvaluated` with its name when it cannot be had."""
    image = image_of(cluster)
    ensure = getattr(cluster.provider, "ensure_image", None)
    if ensure is not None:
        ensure(cluster.state, image)
    return image


def pod(
    tenant: Tenant,
    image: str,
    args: Sequence[str] = ("pause",),
    *,
    container: Mapping[str, Any] | None = None,
    node: str = "",
    **spec: Any,
) -> Manifest:
    """A pod of the probe image that keeps every rule. ``container`` is merged into its container; ``node`` is where
    the scheduler must put it."""
    one = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": list(args),
        "securityContext": copy.deepcopy(SECURITY),
        "resources": copy.deepcopy(RESOURCES),
        **(container or {}),
    }
    if node:
        spec["nodeSelector"] = {HOST: node}
    return pods.pod(tenant, name=nonce("run"), containers=[one], **spec)


def create(client: Client, manifest: Manifest) -> Manifest:
    """Makes the pod as ``client``. Raises `ApiError` when it is refused."""
    return client.resource("v1", "Pod").create(manifest)


def await_ready(cluster: Cluster, made: Sequence[Manifest], timeout: float = START) -> list[Manifest]:
    """The pods as they are when all are ready. Raises `NotEvaluated` with the image's name when one cannot start."""
    resource = cluster.resource("v1", "Pod")
    seen: dict[str, Manifest] = {}

    def ready() -> bool:
        for one in made:
            meta = one["metadata"]
            if meta["name"] in seen and is_ready(seen[meta["name"]]):
                continue
            found = seen[meta["name"]] = resource.get(meta["name"], meta["namespace"])
            reason = trouble(found)
            if reason:
                image = found["spec"]["containers"][0]["image"]
                raise NotEvaluated(f"the probe image {image} cannot start: {reason}", remedy="give another image")
        return all(is_ready(one) for one in seen.values())

    try:
        eventually(ready, what="the pods are ready", timeout=timeout, interval=0.1)
    except WaitTimeout as error:
        waiting = [f"{n} ({one['spec']['containers'][0]['image']}: {why(one)})" for n, one in seen.items()]
        raise NotEvaluated(f"pods of the probe image were not ready: {'; '.join(waiting)}") from error
    return [seen[one["metadata"]["name"]] for one in made]


def remove(cluster: Cluster, made: Sequence[Manifest]) -> None:
    """Deletes the pods at once; what is gone already is no error."""
    resource = cluster.resource("v1", "Pod")
    for one in made:
        try:
            resource.delete(one["metadata"]["name"], one["metadata"]["namespace"], grace=0)
        except ApiError as error:
            if error.status != 404:
                raise


@contextmanager
def running(cluster: Cluster, wanted: Sequence[Manifest]) -> Iterator[list[Manifest]]:
    """Makes the pods as the administrator, yields them when all are ready, and deletes them."""
    made: list[Manifest] = []
    try:
        made.extend(create(cluster.client, one) for one in wanted)  # those before one that is refused are kept
        yield await_ready(cluster, made)
    finally:
        remove(cluster, made)


def agent(cluster: Cluster, one: Manifest) -> Agent:
    """The agent in a pod that runs `SERVE`."""
    return Agent(cluster.client, Pod.of(one, Namespace(one["metadata"]["namespace"])), PORT)


def call(client: Client, one: Manifest, *words: str) -> Executed:
    """Runs the probe image's program in the running container. Raises `ApiError` and `TransportError`, and
    `Inconclusive` when the program is not there."""
    meta = one["metadata"]
    missing: ApiError | None = None
    for program in PROGRAMS:
        try:
            done = execute(client, meta["name"], meta["namespace"], [program, *words])
        except ApiError as error:
            if error.status == 500 and _is_missing(error.message):
                missing = error
                continue
            _told_apart(client, one, error)
            raise
        if done.code not in {126, 127}:
            return done
    if missing:  # a container that ends at this very moment has no files any more either
        _told_apart(client, one, missing)
    raise Inconclusive(f"the probe image has no program {' or '.join(PROGRAMS)}", value=one["spec"]["containers"][0])


def _told_apart(client: Client, one: Manifest, error: ApiError | None = None) -> None:
    """Raises `NotEvaluated` where the container has ended by itself: one that ends at once is ready for a moment."""
    if error and error.status == 403:
        return
    meta = one["metadata"]
    for status in client.resource("v1", "Pod").get(meta["name"], meta["namespace"])["status"]["containerStatuses"]:
        ended = {**(status.get("lastState") or {}), **(status.get("state") or {})}.get("terminated")
        if ended:
            raise NotEvaluated(
                f"the probe image {one['spec']['containers'][0]['image']} cannot start: it ends with code "
                f"{ended['exitCode']}",
                remedy="give another image",
            ) from error


def _is_missing(text: str) -> bool:
    return "executable file not found" in text or "no such file or directory" in text


def read(client: Client, one: Manifest, path: str) -> str | None:
    """The content of a file inside the running container, None when there is none. Raises as `call` does, and
    `Inconclusive` when it is there and cannot be read."""
    done = call(client, one, "mounttest", f"--file_content={path}")
    head = f'content of file "{path}": '
    if done.code == 0 and head in done.stdout:
        return done.stdout.partition(head)[2].removesuffix("\n")
    if "no such file or directory" in done.stdout:
        return None
    _told_apart(client, one)
    # Never with what was printed: it may be a secret.
    raise Inconclusive(f"{path} in {one['metadata']['name']} could not be read (exit code {done.code})")


def events(cluster: Cluster, one: Manifest) -> list[Manifest]:
    """What is told of this very pod."""
    meta = one["metadata"]
    return cluster.resource("v1", "Event").list(meta["namespace"], fields=f"involvedObject.uid={meta['uid']}")


def started(one: Mapping[str, Any]) -> bool:
    """Whether a container of the pod runs, or ran."""
    states = [s.get("state") or {} for s in one.get("status", {}).get("containerStatuses") or []]
    return any("running" in state or "terminated" in state for state in states)
