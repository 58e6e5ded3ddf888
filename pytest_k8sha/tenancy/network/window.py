"""The first moments of a pod: policies exist, a new pod starts, and dials before anything else.

Its containers are nothing but the dialling: agnhost's ``connect`` as the first and only program, so that the first
packet leaves some tens of milliseconds after the pod's network is there. The API promises that a new pod is isolated
before it starts, and that what is allowed may come later
(https://kubernetes.io/docs/concepts/services-networking/network-policies/#pod-lifecycle).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import ApiError
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy.network.ground import CONTROL, LABEL, SECURITY, Ground, image_of
from pytest_k8sha.tenancy.network.look import Server
from pytest_k8sha.tenancy.network.settle import settle
from pytest_k8sha.tenancy.network.survey import Rules, lift, unlift
from pytest_k8sha.tenancy.network.table import Listener, cells

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.network.places import Pod
    from pytest_k8sha.tenancy.network.survey import Survey

DEADLINE = 60.0
"""Seconds for a short pod to run and end."""

TRY = 2
"""Seconds that one dialling lasts: a first packet and one retransmission."""

REPEATS = 2


@dataclass(frozen=True)
class Attempt:
    """One dialling of one new pod. ``through`` is None when the pod did not get to dial."""

    pod: str
    node: str
    target: Pod
    protocol: str
    through: bool | None
    detail: str


def judge_window(judge: Judge, survey: Survey) -> None:
    """Each tenant starts pods on each node; none may reach a neighbour's pod, which no policy lets it reach, and the
    same pods must reach it with the policies lifted."""
    ground, cluster = survey.ground, survey.ground.cluster
    spaces = list(survey.owner)
    pairs = [(mine, other) for mine in spaces for other in spaces if mine != other]
    lift(cluster, survey.owner, ground.mark)
    try:
        _await_lifted(survey, pairs)
        control = run(cluster, ground, pairs, {LABEL: ground.mark}, repeats=1)
    finally:
        unlift(cluster, survey.owner)
    settle(ground.eyes(), survey.table.promises, lifted=survey.lifted.table.seen)
    works = {(a.node, str(a.target), a.protocol) for a in control if a.through}
    for attempt in run(cluster, ground, pairs, {}, repeats=REPEATS):
        subject = f"{attempt.pod} on {attempt.node} → {attempt.target}, {attempt.protocol}"
        if attempt.through:
            judge.bad(subject, seen=f"got through in its first moments: {attempt.detail}")
        elif attempt.through is None:
            judge.unsure(subject, attempt.detail)
        elif (attempt.node, str(attempt.target), attempt.protocol) not in works:
            judge.unsure(subject, "a new pod does not get through with the policies lifted either")
        else:
            judge.ok(subject, f"did not get through: {attempt.detail}")


def _await_lifted(survey: Survey, pairs: Sequence[tuple[str, str]]) -> None:
    ground = survey.ground
    ways = [
        cell
        for mine, other in pairs
        for cell in cells(ground.pods[mine], [Listener(p, (("TCP", CONTROL),)) for p in ground.pods[other]])
    ]
    rules = Rules.of(ground.cluster)
    settle(ground.eyes(), rules.promises(ways, survey.every_node))


def run(
    cluster: Cluster,
    ground: Ground,
    pairs: Sequence[tuple[str, str]],
    labels: Mapping[str, str],
    *,
    repeats: int,
) -> list[Attempt]:
    """Starts the pods, waits for their end, and reads what became of each dialling, in their exit codes and in the
    servers' logs."""
    image, pods = image_of(cluster), cluster.resource("v1", "Pod")
    made: list[tuple[str, str, str, dict[str, tuple[Pod, str, str]]]] = []
    for mine, other in pairs:
        extra = {k: v for k, v in ground.pods[mine][0].labels.items() if not k.startswith(LABEL)}
        own = {k: v for k, v in extra.items() if not k.startswith("k8sha.dev/")}
        for node in ground.nodes:
            for _ in range(repeats):
                name = nonce("first")
                body, tries = _body(name, {**own, **labels}, node.node, image, ground.pods[other])
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
        return [a for _, name, node, tries in made for a in _attempts(name, node, tries, ended[name], arrived)]
    finally:
        for mine, name, _, _ in made:
            try:
                pods.delete(name, mine, grace=0)
            except ApiError as error:
                if error.status != 404:
                    raise


def _body(
    name: str, labels: Mapping[str, str], node: str, image: str, targets: Sequence[Pod]
) -> tuple[dict[str, Any], dict[str, tuple[Pod, str, str]]]:
    tries: dict[str, tuple[Pod, str, str]] = {}
    containers = []
    for number, target in enumerate(targets[:2]):
        where = f"[{target.ip}]:{CONTROL}" if ":" in target.ip else f"{target.ip}:{CONTROL}"
        for protocol in ("TCP", "UDP"):
            token = f"n{secrets.token_hex(6)}"
            container = f"{protocol.lower()}-{number}"
            tries[container] = (target, protocol, token)
            containers.append(
                {
                    "name": container,
                    "image": image,
                    "imagePullPolicy": "IfNotPresent",
                    "args": [
                        "connect",
                        where,
                        f"--protocol={protocol.lower()}",
                        f"--timeout={TRY}s",
                        f"--udp-data=echo {token}",
                    ],
                    "terminationMessagePolicy": "FallbackToLogsOnError",
                    "resources": {
                        "requests": {"cpu": "20m", "memory": "16Mi"},
                        "limits": {"cpu": "200m", "memory": "64Mi"},
                    },
                    "securityContext": SECURITY,
                }
            )
    spec = {
        "nodeSelector": {"kubernetes.io/hostname": node},
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 0,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "containers": containers,
    }
    return {"metadata": {"name": name, "labels": dict(labels)}, "spec": spec}, tries


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
        found.append(Attempt(name, node, target, protocol, through, words or f"ended with {ended.get('exitCode')}"))
    return found
