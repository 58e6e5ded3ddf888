"""The way back from experiments that do not go by themselves, on a real API server.

The kinds are those of Chaos Mesh, with no controller behind them: nobody takes a finalizer away, as where an apply
fails for ever. Its webhook is one that nothing answers, as while the controller is down.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_k8sha._wait import eventually
from pytest_k8sha.chaos.mesh.ladder import (
    CHILDREN,
    HOPELESS,
    PATIENCE,
    Ladder,
    NotUndone,
    started,
    take_back,
)
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.kube.resources import Resource
from pytest_k8sha.model import Run, nonce
from pytest_k8sha.providers.registry import Registry
from tests.conftest import KeptCluster

API_VERSION = "chaos-mesh.org/v1alpha1"
FINALIZER = "chaos-mesh/records"


def definition(kind: str) -> dict[str, Any]:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1alpha1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    plural = kind.lower()
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.chaos-mesh.org"},
        "spec": {
            "group": "chaos-mesh.org",
            "names": {"kind": kind, "plural": plural, "singular": plural, "listKind": f"{kind}List"},
            "scope": "Namespaced",
            "versions": [version],
        },
    }


@pytest.fixture(scope="module")
def cluster(local_cluster: KeptCluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The kept cluster with the kinds of Chaos Mesh."""
    run = Run(id=nonce("run"), owner="tests", expires=0)
    provider = Registry().get("local")
    made = Cluster(local_cluster.state, provider, run=run, private=tmp_path_factory.mktemp("private"))
    definitions = [definition(kind) for kind in ("NetworkChaos", *CHILDREN.values())]
    made.apply(definitions)

    def offered() -> bool:
        made.client.discovery.forget()
        kinds = {kind.kind for kind in made.kinds if kind.api_version == API_VERSION}
        return kinds == {"NetworkChaos", *CHILDREN.values()}

    eventually(offered, what="the server offers the kinds", timeout=60)
    yield made
    crds = made.resource("apiextensions.k8s.io/v1", "CustomResourceDefinition")
    for one in definitions:
        crds.delete(one["metadata"]["name"])


@pytest.fixture
def space(cluster: Cluster) -> Iterator[str]:
    name = cluster.create_namespace("ladder")
    yield name
    cluster.delete_namespace(name, wait=False)


def experiment(cluster: Cluster, space: str, *, finalizers: tuple[str, ...] = (FINALIZER,)) -> dict[str, Any]:
    record = {"id": f"{space}/web-0", "phase": "Not Injected/Wait", "injectedCount": 0, "events": []}
    record["events"] = [{"type": "Failed", "message": "unable to flush ip sets for pod web-0"}]
    body = {
        "metadata": {"name": nonce("cut"), "finalizers": list(finalizers)},
        "spec": {"action": "partition"},
        "status": {"experiment": {"desiredPhase": "Run", "containerRecords": [record]}},
    }
    return cluster.resource(API_VERSION, "NetworkChaos").create(body, space)


def ladder(cluster: Cluster, made: dict[str, Any], **more: Any) -> Ladder:
    meta = made["metadata"]
    given = {"uid": meta["uid"], "wait": 0.1, **more}
    return Ladder(cluster.client, "NetworkChaos", meta["namespace"], meta["name"], **given)


def found(cluster: Cluster, made: dict[str, Any]) -> dict[str, Any] | None:
    chaos: Resource = cluster.resource(API_VERSION, "NetworkChaos")
    return chaos.find(made["metadata"]["name"], made["metadata"]["namespace"])


def test_one_that_goes_by_itself_is_deleted_and_no_more(cluster: Cluster, space: str) -> None:
    """Where nothing holds the object the first rung is the last, and to climb again does nothing."""
    made = experiment(cluster, space, finalizers=())
    assert [rung.name for rung in ladder(cluster, made).climb()] == ["delete"]
    assert found(cluster, made) is None
    again = ladder(cluster, made).climb()
    assert [rung.said for rung in again] == ["it was not there; gone"]


def test_one_that_hangs_is_climbed_to_the_top(cluster: Cluster, space: str) -> None:
    """Where nobody takes the finalizer away every rung is climbed in order, each is told while it happens with what the
    controller had said, and what the daemons work from loses this experiment's entries and keeps the others'."""
    made = experiment(cluster, space)
    mine, other = f"{space}/{made['metadata']['name']}", f"{space}/another"
    rules = [{"name": "a", "source": mine}, {"name": "b", "source": other}]
    pods = cluster.resource(API_VERSION, "PodNetworkChaos")
    pods.create({"metadata": {"name": "web-0"}, "spec": {"iptables": rules, "ipsets": rules[1:]}}, space)
    told: list[str] = []
    rungs = ladder(cluster, made, tell=lambda rung: told.append(rung.name)).climb()
    assert [rung.name for rung in rungs] == told == ["delete", "touch", "force", "finalizer", "sweep"]
    assert "unable to flush ip sets for pod web-0" in rungs[0].said
    assert all(rung.ended >= rung.began for rung in rungs)
    assert found(cluster, made) is None
    left = pods.get("web-0", space)["spec"]
    assert left == {"iptables": rules[1:], "ipsets": rules[1:]}


def test_another_object_of_the_same_name_is_let_be(cluster: Cluster, space: str) -> None:
    """An experiment is its uid: what was made under its name later is somebody else's."""
    made = experiment(cluster, space, finalizers=())
    rungs = ladder(cluster, made, uid="00000000-0000-0000-0000-000000000000").climb()
    assert [rung.name for rung in rungs] == ["delete"]
    assert found(cluster, made) is not None


def test_one_that_cannot_be_injected_is_not_waited_for_long(cluster: Cluster, space: str) -> None:
    """Where the controller has said that it fails, the patience is the short one; where it said nothing, the long."""
    hopeless, silent = experiment(cluster, space), experiment(cluster, space)
    silent["status"]["experiment"]["containerRecords"][0]["events"] = []
    cluster.resource(API_VERSION, "NetworkChaos").replace(silent, space)
    short, long = (ladder(cluster, one, wait=0.2).climb() for one in (hopeless, silent))
    took = [rungs[0].ended - rungs[0].began for rungs in (short, long)]
    assert took[0] >= HOPELESS["delete"] * 0.2
    assert took[1] >= PATIENCE["delete"] * 0.2


def test_what_a_schedule_has_started_is_climbed_for(cluster: Cluster, space: str) -> None:
    """Also when the schedule itself is gone: its name is in the owners of what it started, and is used once."""
    made = experiment(cluster, space)
    other = experiment(cluster, space)
    owner = {"apiVersion": API_VERSION, "kind": "Schedule", "name": "gone-1", "uid": "0", "controller": True}
    chaos = cluster.resource(API_VERSION, "NetworkChaos")
    chaos.patch(made["metadata"]["name"], {"metadata": {"ownerReferences": [owner]}}, space)
    take_back(cluster, {"kind": "NetworkChaos", "namespace": space, "name": "never-made"})
    assert [meta["name"] for _, meta in started(cluster.client, "Schedule", space, "gone-1")] == [
        made["metadata"]["name"]
    ]
    assert found(cluster, other) is not None


def test_a_sweep_that_sees_not_all_is_an_error(cluster: Cluster, space: str) -> None:
    """Who may not list what the daemons work from cannot say that nothing is left, and does not."""
    rules = [{"apiGroups": ["chaos-mesh.org"], "resources": ["networkchaos"], "verbs": ["*"]}]
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "metadata": {"name": "narrow"}}
    binding = {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "narrow"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "narrow"}],
    }
    cluster.apply([{**role, "kind": "Role", "rules": rules}, {**role, "kind": "RoleBinding", **binding}], space)
    meta = experiment(cluster, space, finalizers=())["metadata"]
    climbing = Ladder(cluster.user("narrow"), "NetworkChaos", space, meta["name"], wait=0.1)
    with pytest.raises(NotUndone, match="nobody knows what it left: PodNetworkChaos cannot be listed"):
        climbing.climb()
    assert "sweep" in [rung.name for rung in climbing.rungs]


def webhook(space: str) -> dict[str, Any]:
    """A webhook that refuses every change of the namespace's experiments, since nothing answers at its address."""
    rule = {
        "apiGroups": ["chaos-mesh.org"],
        "apiVersions": ["v1alpha1"],
        "operations": ["UPDATE"],
        "resources": ["networkchaos"],
    }
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": f"down-{space}"},
        "webhooks": [
            {
                "name": "down.chaos-mesh.org",
                "clientConfig": {"url": "https://127.0.0.1:1/"},
                "rules": [rule],
                "failurePolicy": "Fail",
                "sideEffects": "None",
                "timeoutSeconds": 1,
                "admissionReviewVersions": ["v1"],
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": space}},
            }
        ],
    }


def test_webhooks_that_are_down_are_waited_for(cluster: Cluster, space: str) -> None:
    """While the controller is away its webhooks refuse every change: the way back goes on when they answer again, and
    says what is the matter when they do not."""
    made = experiment(cluster, space)
    cluster.apply([webhook(space)])
    hooks = cluster.resource("admissionregistration.k8s.io/v1", "ValidatingWebhookConfiguration")
    try:
        with pytest.raises(NotUndone, match="the webhooks of Chaos Mesh") as said:
            ladder(cluster, made, wait=0.02).climb()
        assert "controller" in str(said.value)
        assert found(cluster, made) is not None
        back = threading.Timer(1.0, lambda: hooks.delete(f"down-{space}"))
        back.start()
        assert ladder(cluster, made, wait=0.3).climb()[-1].name == "finalizer"
        back.join()
    finally:
        if hooks.find(f"down-{space}"):
            hooks.delete(f"down-{space}")
    assert found(cluster, made) is None
