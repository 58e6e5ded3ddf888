"""Tenants that the checks of running pods pass on or fail on, with policies of their own, and what goes wrong beside a
cluster: programs that copy secrets or hand volumes on, a reserved node, a kubelet without credentials."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from pytest_k8sha import _clock
from pytest_k8sha._wait import eventually
from pytest_k8sha.checks.mutants import Mutant
from pytest_k8sha.errors import ApiError
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.fleet.spec import TenantOrder
from pytest_k8sha.kube import manifests
from pytest_k8sha.model import nonce
from pytest_k8sha.providers.kind.engine import Engine
from pytest_k8sha.settings import bundled
from pytest_k8sha.tenancy import pods
from pytest_k8sha.tenancy.template import establish
from pytest_k8sha.tenancy.tenant import Tenant

GOOD = bundled("fixtures", "tenants", "good")
POLICIES = [bundled("fixtures", "policies") / f"{name}.yaml" for name in ("placement", "private-images")]
POLICY_KINDS = ("ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding")
GOOD_MUTANT = Mutant(title="the good set-up", checks=["TEN-ALL-000"], name="good")


@dataclass
class Workshop:
    """Makes tenants on one cluster and takes everything of theirs down, what lies outside their namespaces too."""

    cluster: Cluster
    engine: Engine
    folder: Path
    probe: str
    wide: dict[str, list[tuple[str, str, str]]] = field(default_factory=dict)

    def tenant(self, prefix: str, mutant: Mutant = GOOD_MUTANT, neighbour: str = "") -> Tenant:
        """A tenant of the good template with the mutant's changes, and with policies that hold for it alone, so that
        one cluster has tenants with them and without. Its private image is on every node."""
        name = nonce(prefix)
        made = self.folder / name
        made.mkdir()
        private = f"registry.example.com/{name}/agnhost:1"
        described = (GOOD / "tenant.yaml").read_text() + f"  privateImages: [{private}]\n"
        (made / "tenant.yaml").write_text(described)
        values = {"tenant": name, "neighbour": neighbour}
        files = [p for p in sorted(GOOD.glob("*.yaml")) if p.name != "tenant.yaml"]
        objects = [
            bound(manifests.fill(o, values), name) for o in mutant.changed(manifests.load([*files, *POLICIES], values))
        ]
        (made / "objects.yaml").write_text(yaml.safe_dump_all(manifests.in_order(objects)))
        self.wide[name] = [
            (o["apiVersion"], o["kind"], o["metadata"]["name"])
            for o in objects
            if not o["metadata"].get("namespace") and o["kind"] != "Namespace"
        ]
        self.tag(private)
        tenant = establish(self.cluster, TenantOrder(name=name, template=made))
        if any(o["kind"] == POLICY_KINDS[1] and o["metadata"]["name"].startswith("private-images") for o in objects):
            self._await_policy(tenant)
        return tenant

    def tag(self, image: str) -> None:
        """Puts the probe image on every node under another name."""
        for node in self.cluster.resource("v1", "Node").list():
            words = ("ctr", "--namespace=k8s.io", "images", "tag", "--force", self.probe, image)
            self.engine.execute(node["metadata"]["name"], *words)

    def _await_policy(self, tenant: Tenant) -> None:
        """A policy holds some moments after it was made."""
        wrong = pods.pod(tenant)
        wrong["spec"]["containers"][0]["image"] = "registry.example.com/nobody/none:1"

        def refused() -> bool:
            try:
                self.cluster.resource("v1", "Pod").create(wrong, dry_run=True)
            except ApiError as error:
                return "private-images" in error.message
            return False

        eventually(refused, what=f"the policies of {tenant} hold", timeout=60)

    def close(self, tenants: list[Tenant]) -> None:
        for tenant in tenants:
            for namespace in tenant.namespaces:
                self.cluster.delete_namespace(namespace, wait=False)
            for api_version, kind, name in self.wide.pop(tenant.name):
                resource = self.cluster.resource(api_version, kind)
                if resource.find(name):
                    resource.delete(name)


def bound(manifest: dict[str, Any], tenant: str) -> dict[str, Any]:
    """A policy, or its binding, for one tenant alone."""
    if manifest["kind"] not in POLICY_KINDS:
        return manifest
    manifest["metadata"]["name"] += f"-{tenant}"
    if manifest["kind"] == POLICY_KINDS[1]:
        manifest["spec"]["policyName"] += f"-{tenant}"
        selector = {"matchLabels": {"kubernetes.io/metadata.name": tenant}}
        manifest["spec"]["matchResources"] = {"namespaceSelector": selector}
    return manifest


@contextmanager
def program(step: Callable[[], None]) -> Iterator[None]:
    """Something that goes on beside the cluster, a step every 200 ms."""
    end = threading.Event()
    problems: list[Exception] = []

    def work() -> None:
        while not end.is_set():
            try:
                step()
            except ApiError as error:
                if error.status not in {404, 409}:
                    problems.append(error)
            _clock.pause(0.2)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield
    finally:
        end.set()
        thread.join(30)
    assert problems == []


@contextmanager
def copying_secrets(cluster: Cluster, source: str, target: str) -> Iterator[None]:
    """Copies each secret of one namespace into another."""
    secrets = cluster.resource("v1", "Secret")

    def step() -> None:
        there = {one["metadata"]["name"] for one in secrets.list(target)}
        for one in secrets.list(source):
            if one["metadata"]["name"] not in there:
                body = {"metadata": {"name": one["metadata"]["name"]}, "type": one["type"], "data": one["data"]}
                secrets.create(body, target)

    with program(step):
        yield


@contextmanager
def handing_volumes_on(cluster: Cluster, storage_class: str) -> Iterator[None]:
    """Clears the claimRef of each volume of a class that its claim gave up."""
    volumes = cluster.resource("v1", "PersistentVolume")

    def step() -> None:
        for one in volumes.list():
            mine = one["spec"].get("storageClassName") == storage_class
            if (
                mine
                and one["status"].get("phase") == "Released"
                and one["spec"]["persistentVolumeReclaimPolicy"] == "Retain"
            ):
                volumes.patch(one["metadata"]["name"], {"spec": {"claimRef": None}})

    with program(step):
        yield


@contextmanager
def priority_classes(cluster: Cluster) -> Iterator[None]:
    """The classes that the platform has for tenants."""
    made = cluster.apply(manifests.load([bundled("fixtures", "policies") / "priorities.yaml"]))
    try:
        yield
    finally:
        for one in made:
            cluster.resource(one["apiVersion"], one["kind"]).delete(one["metadata"]["name"])


@contextmanager
def reserved_node(cluster: Cluster) -> Iterator[str]:
    """The last node is kept for somebody else by a taint."""
    nodes = cluster.resource("v1", "Node")
    name = max(n["metadata"]["name"] for n in nodes.list())
    before = nodes.get(name)["spec"].get("taints") or []
    taint = {"key": "k8sha.dev/dedicated", "value": "platform", "effect": "NoSchedule"}
    nodes.patch(name, {"spec": {"taints": [*before, taint]}})
    try:
        yield name
    finally:
        nodes.patch(name, {"spec": {"taints": before or None}})


CONFIG = "/var/lib/kubelet/config.yaml"
KEPT = "/var/lib/kubelet/k8sha-kept.yaml"


@contextmanager
def open_kubelet(cluster: Cluster, engine: Engine) -> Iterator[str]:
    """The kubelet of the last node serves its read-only port."""
    name = max(n["metadata"]["name"] for n in cluster.resource("v1", "Node").list())
    engine.execute(name, "cp", CONFIG, KEPT)
    try:
        engine.execute(name, "sed", "-i", "$areadOnlyPort: 10255", CONFIG)
        _restart(engine, name)
        yield name
    finally:
        engine.execute(name, "cp", KEPT, CONFIG)
        _restart(engine, name)
        eventually(lambda: _is_ready(cluster, name), what=f"node {name} is Ready", timeout=120)


def _restart(engine: Engine, node: str) -> None:
    engine.execute(node, "systemctl", "restart", "kubelet")


def _is_ready(cluster: Cluster, node: str) -> bool:
    conditions = cluster.resource("v1", "Node").get(node)["status"]["conditions"]
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def told(findings: list[Any]) -> str:
    """Findings as text."""
    return "\n".join(json.dumps(finding.as_dict()) for finding in findings)
