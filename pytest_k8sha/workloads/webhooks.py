"""Admission webhooks: what happens to API requests when whoever answers for one is gone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import NotEvaluated
from pytest_k8sha.workloads.model import Seen, serves
from pytest_k8sha.workloads.selectors import covers, selects

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from pytest_k8sha.fleet.cluster import Cluster

Object = dict[str, Any]

KINDS = ("ValidatingWebhookConfiguration", "MutatingWebhookConfiguration")
NAME_LABEL = "kubernetes.io/metadata.name"


@dataclass(frozen=True)
class Hook:
    """One webhook that a Service of the cluster answers."""

    configuration: str
    webhook: Object
    pods: tuple[Object, ...]
    """Those that its Service selects."""
    home: Object
    """The namespace of its Service."""
    service: Object

    def __str__(self) -> str:
        return f"webhook {self.configuration}/{self.webhook['name']} ({self.place})"

    @property
    def place(self) -> str:
        meta = self.service["metadata"]
        return f"Service {meta['namespace']}/{meta['name']}"

    @property
    def fails(self) -> bool:
        """Whether requests are refused when nobody answers; the API's default is so."""
        return bool(self.webhook.get("failurePolicy", "Fail") == "Fail")

    @property
    def ready(self) -> list[Object]:
        return [p for p in self.pods if serves(p)]

    @property
    def shuts_itself_out(self) -> bool:
        """Whether a new pod of its own comes before it. What ``matchConditions`` leave out is not known here."""
        if not (self.catches("", "pods") and self.looks_at(self.home)):
            return False
        chosen = self.webhook.get("objectSelector") or {}
        return not self.pods or any(selects(chosen, p["metadata"].get("labels") or {}) for p in self.pods)

    def catches(self, group: str, resource: str, operation: str = "CREATE") -> bool:
        """Whether its rules name this kind of request."""
        return any(
            {group, "*"} & set(rule.get("apiGroups") or [])
            and {resource, "*", "*/*"} & set(rule.get("resources") or [])
            and {operation, "*"} & set(rule.get("operations") or [])
            for rule in self.webhook.get("rules") or []
        )

    def looks_at(self, namespace: Mapping[str, Any]) -> bool:
        """Whether requests in a namespace come before it."""
        labels = {NAME_LABEL: namespace["metadata"]["name"], **(namespace["metadata"].get("labels") or {})}
        return selects(self.webhook.get("namespaceSelector") or {}, labels)


def read(cluster: Cluster, namespaces: Iterable[str] = ()) -> list[Hook]:
    """The webhooks that Services answer, of the given namespaces or of all. One with a URL is somebody else's.

    Raises `NotEvaluated` where there is none.
    """
    chosen = set(namespaces)
    spaces = {n["metadata"]["name"]: n for n in cluster.snapshot.list("v1", "Namespace")}
    services = {(s["metadata"]["namespace"], s["metadata"]["name"]): s for s in cluster.snapshot.list("v1", "Service")}
    pods = cluster.snapshot.list("v1", "Pod")
    found = list(_hooks(cluster, chosen, spaces, services, pods))
    if not found:
        raise NotEvaluated("no admission webhook is answered by a Service")
    return found


def _hooks(
    cluster: Cluster,
    chosen: set[str],
    spaces: Mapping[str, Object],
    services: Mapping[tuple[str, str], Object],
    pods: list[Object],
) -> Iterator[Hook]:
    for kind in KINDS:
        for configuration in cluster.snapshot.list("admissionregistration.k8s.io/v1", kind):
            for webhook in configuration.get("webhooks") or []:
                asked = (webhook.get("clientConfig") or {}).get("service") or {}
                space, name = asked.get("namespace", ""), asked.get("name", "")
                if not name or (chosen and space not in chosen):
                    continue
                missing = {"metadata": {"namespace": space, "name": name}, "spec": {}}
                service = services.get((space, name), missing)
                selector = (service.get("spec") or {}).get("selector")
                mine = [
                    p
                    for p in pods
                    if p["metadata"]["namespace"] == space and covers(selector, p["metadata"].get("labels") or {})
                ]
                home = spaces.get(space, {"metadata": {"name": space}})
                yield Hook(configuration["metadata"]["name"], webhook, tuple(mine), home, service)


def judged(hooks: Iterable[Hook]) -> Iterator[Seen]:
    """Each webhook that fails closed has two ready pods on two nodes, and its own pods do not wait for it."""
    for hook in hooks:
        if not hook.fails:
            yield Seen(str(hook), ok=None, seen="it fails open (failurePolicy: Ignore): nobody waits for it")
            continue
        nodes = {pod["spec"].get("nodeName", "") for pod in hook.ready}
        yield Seen(
            str(hook),
            ok=len(nodes) >= 2,
            seen=f"failurePolicy Fail, and it is answered by {len(hook.ready)} ready pods on {len(nodes)} nodes",
            rule="a webhook that fails closed has two ready pods or more, on two nodes",
            remedy="run two replicas on two nodes, or set failurePolicy: Ignore where that is safe",
        )
        yield Seen(
            f"{hook}, its own pods",
            ok=not hook.shuts_itself_out,
            seen="it must allow the pods that would answer for it: when all are gone, none comes back"
            if hook.shuts_itself_out
            else "its own pods do not come before it",
            rule="a webhook that fails closed does not judge the pods that answer for it",
            remedy=f"exclude it: namespaceSelector with {NAME_LABEL} NotIn [{hook.home['metadata']['name']}]",
        )
