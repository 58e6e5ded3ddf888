"""The ground of the tests on a real Chaos Mesh: a cluster that has one, workloads on it, and a look at its nodes."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from pytest_k8sha import _process
from pytest_k8sha._wait import eventually
from pytest_k8sha.chaos.engines import engine_for
from pytest_k8sha.chaos.experiment import Experiment
from pytest_k8sha.chaos.mesh.manifest import as_order
from pytest_k8sha.chaos.mesh.parts import API_VERSION
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.model import Impact, Run
from pytest_k8sha.providers.base import ClusterState
from pytest_k8sha.providers.kind.engine import Engine
from pytest_k8sha.providers.registry import Registry
from pytest_k8sha.workloads.model import is_ready
from tests.kind import kind_clusters, serving_rig
from tests.kind.kind_clusters import ROOT, Images

KEPT = "K8SHA_TEST_MESH"
"""Environment variable, for quick turns: ``NAME=KUBECONFIG`` of a kind cluster that has Chaos Mesh already."""

CANNOT = 75
"""The exit code of ``ci/chaos-mesh`` on a machine that cannot provide it."""

CONTROLLER = {"labels": "app.kubernetes.io/component=controller-manager,app.kubernetes.io/name=chaos-mesh"}
NAMESPACE = "chaos-mesh"

LOOK = r"""
for pid in $(ls /proc | grep -E '^[0-9]+$'); do
  read -r _ rest < /proc/$pid/stat 2>/dev/null || continue
  state=${rest##*) }; name=${rest%%)*}
  case ${state%% *} in T|t) echo "process $pid ${name#(} is stopped";; esac
  case $name in *stress-ng*) echo "process $pid ${name#(} runs";; esac
  net=$(readlink /proc/$pid/ns/net 2>/dev/null) || continue
  case " $seen " in *" $net "*) continue;; esac
  seen="$seen $net"
  [ "$net" != "$(readlink /proc/1/ns/net)" ] || continue
  at() { nsenter -t $pid -n "$@" 2>/dev/null; }
  for save in iptables-legacy-save iptables-nft-save; do
    at $save | grep '^-A CHAOS-' | sed "s/^/rule of $pid: /"
  done
  at tc qdisc show | grep -v 'noqueue\|qdisc pfifo_fast\|qdisc fq_codel' | sed "s/^/qdisc of $pid: /"
done
"""
"""Prints what a fault has left in a node: stopped and stressing processes, rules and queues of pods' networks. Chains
and sets that no rule refers to are left by Chaos Mesh itself, and drop nothing."""


@dataclass
class Ground:
    """``kubeconfig`` is that of the cluster as its users have it; ``name`` that of the kind cluster."""

    name: str
    kubeconfig: Path
    uid: str
    engine: Engine
    images: Images

    @property
    def order(self) -> str:
        """The value of ``--k8sha-cluster`` by which somebody uses a cluster that is not this project's own."""
        return f"mesh=context,kubeconfig={self.kubeconfig},ceiling=disrupt,uid={self.uid}"

    @property
    def nodes(self) -> list[str]:
        return self.engine.names(self.name)

    def left(self) -> list[str]:
        """What is left of faults in the nodes, by what the nodes themselves say."""
        found = []
        for node in self.nodes:
            done = self.engine.execute(node, "bash", "-c", LOOK, timeout=120)
            found += [f"{node}: {line}" for line in done.stdout.splitlines()]
        return found


def _kept() -> tuple[str, Path] | None:
    name, _, path = os.environ.get(KEPT, "").partition("=")
    return (name, Path(path)) if path else None


@contextlib.contextmanager
def ground_in(base: Path, engine: Engine, images: Images) -> Iterator[Ground]:
    """A cluster of three nodes with Chaos Mesh. Skips the tests, with the reason, where it cannot be had."""
    kept = _kept()
    if kept:
        yield Ground(*kept, uid=_uid(kept[1], base), engine=engine, images=images)
        return
    with kind_clusters.fleet(base, images.order("mesh", nodes=3)) as fleet:
        cluster = fleet["mesh"]
        name, kubeconfig = cluster.state.details["cluster"], Path(cluster.state.kubeconfig)
        done = _process.run([ROOT / "ci" / "chaos-mesh", name, str(kubeconfig)], timeout=900, check=False)
        if done.code == CANNOT:
            pytest.skip(f"not run, since Chaos Mesh cannot be installed: {done.stdout.strip()}")
        assert done.code == 0, done.stdout + done.stderr
        yield Ground(name, kubeconfig, uid=_uid(kubeconfig, base), engine=engine, images=images)


def _uid(kubeconfig: Path, base: Path) -> str:
    state = ClusterState("look", "context", str(base), str(kubeconfig), made=False, ceiling=Impact.OBSERVE)
    looking = Cluster(state, Registry().get("context"), run=Run("r-look", "tests", 0), private=base)
    return str(looking.client.get("/api/v1/namespaces/kube-system")["metadata"]["uid"])


def web(images: Images, name: str, *, replicas: int = 2, host: bool = False, port: int = 8080) -> list[dict[str, Any]]:
    """A Deployment that answers HTTP, and its Service. ``host`` puts it on its nodes' own network."""
    labels = {"app": name}
    container = {
        "name": "web",
        "image": images.probe,
        "imagePullPolicy": "IfNotPresent",
        "command": ["agnhost", "netexec", f"--http-port={port}", "--udp-port=-1"],
        "ports": [{"containerPort": port}],
        "readinessProbe": {"httpGet": {"path": "/", "port": port}, "periodSeconds": 1, "failureThreshold": 1},
    }
    shell = {
        "name": "shell",
        "image": images.shell,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "1000000"],
    }
    pod = {
        "terminationGracePeriodSeconds": 0,
        "hostNetwork": host,
        "containers": [container] if host else [container, shell],
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name},
        "spec": {"selector": labels, "ports": [{"port": 80, "targetPort": port}]},
    }
    return [deployment, service]


def chaos(kind: str, space: str, app: str, spec: dict[str, Any], *, mode: str = "one", **terms: str) -> dict[str, Any]:
    """An object of Chaos Mesh about the pods of a workload; ``terms`` are those of the experiment, as annotations."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind,
        "metadata": {
            "name": f"{app}-{kind.lower()}",
            "namespace": space,
            "annotations": {f"k8sha.dev/{name}": value for name, value in terms.items()},
        },
        "spec": {"mode": mode, "selector": {"namespaces": [space], "labelSelectors": {"app": app}}, **spec},
    }


def experiment(cluster: Cluster, manifest: dict[str, Any], folder: Path, **more: Any) -> Experiment:
    wanted = as_order(manifest)
    return Experiment(cluster, wanted, engine_for(cluster, wanted), folder=folder, **more)


def ready(cluster: Cluster, *spaces: str) -> None:
    """Waits until all workloads there are ready."""
    serving_rig.whole(cluster, list(spaces))


def objects(cluster: Cluster, namespace: str = "") -> list[str]:
    """Every object of Chaos Mesh that there is, those of its own daemons left out when they hold nothing."""
    found = []
    for kind in cluster.kinds:
        if kind.api_version != API_VERSION or "list" not in kind.verbs:
            continue
        for item in cluster.resource(API_VERSION, kind.kind).list(namespace):
            held = [v for v in (item.get("spec") or {}).values() if isinstance(v, list) and v]
            if kind.kind.startswith("Pod") and kind.kind != "PodChaos" and not held:
                continue
            found.append(f"{kind.kind} {item['metadata']['namespace']}/{item['metadata']['name']}")
    return found


def kill_controller(cluster: Cluster) -> None:
    """SIGKILL to the controller of Chaos Mesh; its Deployment makes another one."""
    pods = cluster.resource("v1", "Pod")
    for controller in pods.list(NAMESPACE, **CONTROLLER):
        pods.delete(controller["metadata"]["name"], NAMESPACE, grace=0)


@dataclass
class Stage:
    """A user's view of the cluster, with the workloads ``web`` (2 pods), ``one`` and ``host`` in one namespace."""

    ground: Ground
    cluster: Cluster
    space: str
    folder: Path

    def experiment(self, manifest: dict[str, Any], **more: Any) -> Experiment:
        self.fresh()
        return experiment(self.cluster, manifest, self.folder, **more)

    def fresh(self) -> None:
        """All is ready, and no container has been started again: a kubelet takes its time for the next start of one
        that has. By the pods themselves: what their Deployment says of them is a moment late."""
        pods = self.cluster.resource("v1", "Pod")
        wanted = sum(d["spec"]["replicas"] for d in self.cluster.resource("apps/v1", "Deployment").list(self.space))

        def good() -> list[str]:
            found = []
            for pod in pods.list(self.space):
                statuses = (pod.get("status") or {}).get("containerStatuses") or []
                if pod["metadata"].get("deletionTimestamp"):
                    continue
                if any(int(status.get("restartCount") or 0) for status in statuses):
                    pods.delete(pod["metadata"]["name"], self.space)
                elif is_ready(pod):
                    found.append(pod["metadata"]["name"])
            return found

        eventually(good, what=f"{wanted} fresh pods", timeout=180, accept=lambda names: len(names) == wanted)
        ready(self.cluster, self.space)

    def pods(self, app: str) -> list[dict[str, Any]]:
        self.fresh()
        return self.cluster.resource("v1", "Pod").list(self.space, labels=f"app={app}")

    def measure(self, source: str, *argv: str, container: str = "web", **more: str) -> str:
        """The annotation that measures a fault by a command in a pod of the workload ``source``."""
        selector = {"matchLabels": {"app": source}}
        return json.dumps(
            {"command": argv, "namespace": self.space, "selector": selector, "container": container, **more}
        )

    def nothing_is_left(self) -> None:
        """Neither an object of Chaos Mesh nor anything in the nodes."""
        assert objects(self.cluster, self.space) == []
        assert eventually(lambda: self.ground.left() or ["none"], accept=lambda seen: seen == ["none"], timeout=30)


@contextlib.contextmanager
def stage_in(base: Path, ground: Ground) -> Iterator[Stage]:
    """The workloads in a fresh namespace, which goes with them."""
    with kind_clusters.fleet(base, ground.order) as fleet:
        cluster = fleet["mesh"]
        space = cluster.create_namespace("mesh")
        images = ground.images
        host = web(images, "host", replicas=1, host=True, port=18080)
        cluster.apply([*web(images, "web"), *web(images, "one", replicas=1), *host], space)
        yield Stage(ground, cluster, space, base)
        cluster.delete_namespace(space)
