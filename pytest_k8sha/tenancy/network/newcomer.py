"""New pods that dial, or are dialled, in their first moments.

What dials is agnhost's ``connect``, as the first and only program of its container, so that the first packet leaves
some tens of milliseconds after the pod's network is there. What is dialled serves as soon as it can, and its address is
dialled from the moment on that the API tells it.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import ApiError, RequestError, WaitTimeout
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy.network.agent import LANES, Agent, dial
from pytest_k8sha.tenancy.network.ground import CONTROL, SECURITY, Ground, image_of
from pytest_k8sha.tenancy.network.look import Server
from pytest_k8sha.tenancy.network.places import Pod
from pytest_k8sha.tenancy.network.settle import TICK, answered

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.kube.resources import Resource
    from pytest_k8sha.tenancy.network.agent import Lane

DEADLINE = 240.0
"""Seconds for a short pod to run and end."""

TRY = 2
"""Seconds that one dialling lasts: a first packet and one retransmission."""

WATCHED = 2.0
"""Seconds for which a new pod is dialled."""

Pairs = Sequence[tuple[str, str]]
"""Namespaces: whose new pods dial, and whose pods they dial; or whose pods dial, and whose new pods they dial."""


@dataclass(frozen=True)
class Attempt:
    """One dialling of, or to, one new pod. ``way`` is what its control must share. ``through`` is None when nobody got
    to dial."""

    subject: str
    way: tuple[str, ...]
    through: bool | None
    detail: str


def leave(
    cluster: Cluster,
    ground: Ground,
    pairs: Pairs,
    labels: Mapping[str, str],
    delays: Mapping[str, int],
    *,
    repeats: int,
) -> list[Attempt]:
    """Starts the pods, waits for their end, and reads what became of each dialling, in their exit codes and in the
    servers' logs."""
    image, pods = image_of(cluster), cluster.resource("v1", "Pod")
    made: list[tuple[str, str, str, dict[str, tuple[Pod, str, str]]]] = []
    for mine, other in pairs:
        for node in ground.nodes:
            for _ in range(repeats):
                name = nonce("first")
                carried = {**own_labels(ground, mine), **labels}
                body, tries = _body(name, carried, node.node, image, ground.pods[other], delays.get(mine, 0))
                pods.create(body, mine)
                made.append((mine, name, node.node, tries))
    ended: dict[str, dict[str, Any]] = {}

    def over() -> bool:
        for mine, name, _, _ in made:
            pod = pods.get(name, mine) if name not in ended else None
            if pod and pod.get("status", {}).get("phase") in {"Succeeded", "Failed"}:
                ended[name] = pod
        return len(ended) == len(made)

    try:
        eventually(over, what="the new pods have dialled", timeout=DEADLINE, interval=0.3)
        servers = [Server(p, f"p{CONTROL}") for _, other in pairs for p in ground.pods[other]]
        arrived, _ = ground.eyes().logs(servers, DEADLINE)
        return [
            a
            for mine, name, node, tries in made
            for a in _attempts(f"{mine}/{name}", node, tries, ended[name], arrived)
        ]
    finally:
        for mine, name, _, _ in made:
            _remove(pods, name, mine)


def _body(
    name: str, labels: Mapping[str, str], node: str, image: str, targets: Sequence[Pod], delay: int
) -> tuple[dict[str, Any], dict[str, tuple[Pod, str, str]]]:
    tries: dict[str, tuple[Pod, str, str]] = {}
    containers = []
    for number, target in enumerate(targets[:2]):
        where = f"[{target.ip}]:{CONTROL}" if ":" in target.ip else f"{target.ip}:{CONTROL}"
        for protocol in ("TCP", "UDP"):
            token = f"n{secrets.token_hex(6)}"
            container = f"{protocol.lower()}-{number}"
            tries[container] = (target, protocol, token)
            args = ["connect", where, f"--protocol={protocol.lower()}", f"--timeout={TRY}s", f"--udp-data=echo {token}"]
            containers.append(_container(container, image, args))
    return _pod(name, labels, node, containers, image, delay), tries


def _attempts(
    name: str,
    node: str,
    tries: Mapping[str, tuple[Pod, str, str]],
    pod: Mapping[str, Any],
    arrived: Mapping[str, tuple[str, str]],
) -> list[Attempt]:
    found = []
    states = {s["name"]: s.get("state", {}) for s in pod.get("status", {}).get("containerStatuses") or []}
    for container, (target, protocol, token) in tries.items():
        ended = states.get(container, {}).get("terminated") or {}
        words = str(ended.get("message") or "").strip()
        through: bool | None = None
        if token in arrived:
            through, words = True, f"{target} logged its nonce"
        elif ended.get("exitCode") == 0:
            through, words = True, "the connection was made"
        elif words.startswith("TIMEOUT"):
            through = False
        subject = f"new pod {name} on {node} → {target}, {protocol}"
        way = (node, str(target), protocol)
        found.append(Attempt(subject, way, through, words or f"ended with {ended.get('exitCode')}"))
    return found


# --- new pods that are dialled ---------------------------------------------------------------------------------------


def arrive(
    cluster: Cluster, ground: Ground, pairs: Pairs, labels: Mapping[str, str], delays: Mapping[str, int]
) -> list[Attempt]:
    """A new server on each node for each namespace that is dialled; the probes that dial it are at the ready before."""
    jobs = [
        (target, node.node, [p for mine, other in pairs if other == target for p in ground.pods[mine][:2]])
        for target in dict.fromkeys(other for _, other in pairs)
        for node in ground.nodes
    ]

    def one(job: tuple[str, str, list[Pod]]) -> list[Attempt]:
        target, node, sources = job
        return _arrive(cluster, ground, (target, node), sources, {**own_labels(ground, target), **labels}, delays)

    with ThreadPoolExecutor(max(1, len(jobs))) as pool:
        return [attempt for attempts in pool.map(one, jobs) for attempt in attempts]


def _arrive(
    cluster: Cluster,
    ground: Ground,
    where: tuple[str, str],
    sources: Sequence[Pod],
    labels: Mapping[str, str],
    delays: Mapping[str, int],
) -> list[Attempt]:
    namespace, node = where
    pods, name, image = cluster.resource("v1", "Pod"), nonce("first"), image_of(cluster)
    delay = delays.get(namespace, 0)
    served = _container("main", image, ["netexec", f"--http-port={CONTROL}", f"--udp-port={CONTROL}"])

    def address() -> str:
        status = pods.get(name, namespace).get("status", {})
        running = any("running" in (s.get("state") or {}) for s in status.get("containerStatuses") or [])
        return str(status.get("podIP") or "") if running or not delay else ""

    pods.create(_pod(name, labels, node, [served], image, delay), namespace)
    try:
        ip = eventually(address, what=f"the address of {name}", timeout=DEADLINE, interval=TICK, growth=1)
        known = _clock.now()
        with ThreadPoolExecutor(len(sources)) as pool:
            sent = list(pool.map(lambda source: _knock(Agent(cluster.client, source, CONTROL), ip), sources))
        server = Server(Pod(name, ground.namespaces[namespace], ip, node=node), "main")
        arrived, unread = ground.eyes().logs([server], _clock.now() - known)
    except (RequestError, WaitTimeout) as error:
        told = f"new pod {namespace}/{name} on {node}"
        return [Attempt(f"{source} → {told}", (str(source), namespace, node), None, str(error)) for source in sources]
    finally:
        _remove(pods, name, namespace)
    return [
        Attempt(
            f"{source} → new pod {server.pod} on {node}, {protocol}",
            (str(source), namespace, node, protocol),
            *_came(probes, arrived, unread, known),
        )
        for source, knocks in zip(sources, sent, strict=True)
        for protocol, probes in knocks.items()
    ]


def _knock(agent: Agent, ip: str) -> dict[str, list[tuple[str, Lane]]]:
    """Dials every `TICK` over UDP and TCP by turns; each probe with its nonce."""
    sent: dict[str, list[tuple[str, Lane]]] = {"UDP": [], "TCP": []}
    with agent.line(LANES) as line:
        began = _clock.now()
        while line.room and _clock.now() - began < WATCHED:
            due = began + (LANES - line.room) * TICK
            line.listen(max(0.0, due - _clock.now()), until=lambda due=due: _clock.now() >= due)  # type: ignore[misc]
            _clock.pause(due - _clock.now())
            token = f"n{secrets.token_hex(6)}"
            if line.room % 2:
                sent["TCP"].append((token, line.send(dial(ip, CONTROL, "http", f"echo?msg={token}".encode()))))
            else:
                sent["UDP"].append((token, line.send(dial(ip, CONTROL, "udp", f"echo {token}".encode()))))
        line.listen(TRY)
    return sent


def _came(
    probes: Sequence[tuple[str, Lane]], arrived: Mapping[str, object], unread: Mapping[str, str], known: float
) -> tuple[bool | None, str]:
    """Whether one of the probes came through, and what is told of it."""
    through = [lane for token, lane in probes if token in arrived or answered(lane)]
    if through:
        first = min(lane.sent for lane in through)
        return (
            True,
            f"{len(through)} of {len(probes)} probes, the first {first - known:.2f} s after its address was known",
        )
    lost = [lane.problem for _, lane in probes if lane.problem]
    if unread or lost or not probes:
        return None, next(iter([*unread.values(), *lost]), "nothing was sent")
    return False, f"{len(probes)} probes, from {probes[0][1].sent - known:.2f} s after its address was known"


# --- the pods --------------------------------------------------------------------------------------------------------


def own_labels(ground: Ground, namespace: str) -> dict[str, str]:
    """The labels that the tenant's pods carry, without those of the probes."""
    labels = ground.pods[namespace][0].labels
    return {key: value for key, value in labels.items() if not key.startswith("k8sha.dev/")}


def _container(name: str, image: str, args: list[str]) -> dict[str, Any]:
    return {
        "name": name,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": args,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "resources": {"requests": {"cpu": "20m", "memory": "16Mi"}, "limits": {"cpu": "200m", "memory": "64Mi"}},
        "securityContext": SECURITY,
    }


def _pod(
    name: str, labels: Mapping[str, str], node: str, containers: list[dict[str, Any]], image: str, delay: int
) -> dict[str, Any]:
    """A pod that ends by itself or is ended; with a ``delay`` an init container waits so many seconds."""
    waiting = ["logs-generator", "--log-lines-total=2", f"--run-duration={delay}s"]
    spec = {
        "nodeSelector": {"kubernetes.io/hostname": node},
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "initContainers": [_container("wait", image, waiting)] if delay else [],
        "containers": containers,
    }
    return {"metadata": {"name": name, "labels": dict(labels)}, "spec": spec}


def _remove(pods: Resource, name: str, namespace: str) -> None:
    try:
        pods.delete(name, namespace, grace=0)
    except ApiError as error:
        if error.status != 404:
            raise
