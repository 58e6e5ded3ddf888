"""The kubelet's port that asks for no credentials, from inside a pod."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from pytest_k8sha.errors import RequestError
from pytest_k8sha.tenancy.escapes import stage
from pytest_k8sha.tenancy.network.agent import Agent, dial, dialled
from pytest_k8sha.tenancy.network.ground import address_of, usable_nodes
from pytest_k8sha.tenancy.secrets import owned

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.network.places import Address
    from pytest_k8sha.tenancy.tenant import Tenant

READ_ONLY = 10255
"""The port without authentication (https://kubernetes.io/docs/reference/config-api/kubelet-config.v1beta1/,
``readOnlyPort``)."""

KUBELET = 10250

DIAL = 8.0
"""Seconds: agnhost gives a connection five."""


def judge_read_only(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """From a pod of each tenant on each node to every node's read-only port. A pod always reaches its own node, so
    there the answer of the port with credentials is the positive control, and silence means that nobody serves."""
    owned(tenants)
    image = stage.ensure_image(cluster)
    nodes = [address_of(node) for node in cluster.resource("v1", "Node").list()]
    homes = [(tenant, home) for tenant in tenants for home in usable_nodes(cluster)]
    wanted = [stage.pod(tenant, image, stage.SERVE, node=home.node) for tenant, home in homes]
    with stage.running(cluster, wanted) as made, ThreadPoolExecutor(len(made) or 1) as pool:
        asking = [(tenant, home, stage.agent(cluster, pod)) for (tenant, home), pod in zip(homes, made, strict=True)]
        for tenant, home, agent in asking:
            answer, _ = _ask(agent, home, KUBELET)
            judge.control(bool(answer), f"a pod of {tenant} reaches the kubelet of its own {home}")
        questions = [(*one, node) for one in asking for node in nodes]
        answers = list(pool.map(lambda question: _try(question[2], question[3]), questions))
    for (tenant, home, _, node), (answer, problem) in zip(questions, answers, strict=True):
        _judge_port(judge, f"a pod of {tenant} on {home} asks the kubelet of {node}", answer, problem)


def _try(agent: Agent, node: Address) -> tuple[str, str]:
    try:
        return _ask(agent, node, READ_ONLY)
    except (RequestError, ValueError) as error:
        return "", f"it could not be asked: {error}"


def _ask(agent: Agent, node: Address, port: int) -> tuple[str, str]:
    """What came back, or what went wrong."""
    responses, errors = dialled(agent.get(dial(node.ip, port, "http", b"healthz"), timeout=DIAL))
    return (responses[0] if responses else ""), (errors[0] if errors else "")


def _judge_port(judge: Judge, subject: str, answer: str, problem: str) -> None:
    if answer:
        judge.bad(subject, seen=f"port {READ_ONLY} is open without credentials and answers {answer[:80]!r}")
    elif any(words in problem for words in ("refused", "timeout", "deadline exceeded", "Client.Timeout", "no route")):
        judge.ok(subject, f"nobody answers: {problem[-80:]}")
    else:
        judge.unsure(subject, f"neither an answer nor a refusal: {problem[-160:] or 'nothing'}")
