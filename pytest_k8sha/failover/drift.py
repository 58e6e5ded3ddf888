"""Drift: what differs between the objects that two or more clusters should have alike (M6).

An object is compared by what counts of it (`pytest_k8sha.recovery.manifests.rules`): what a server sets is left out,
and so are objects that clusters make by themselves. Lists whose elements have a key of their own, as Kubernetes' merge
lists do, and lists of plain values that it takes for sets are compared without their order.
"""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import Inconclusive, UsageError
from pytest_k8sha.kube import kubeconfig
from pytest_k8sha.recovery.manifests.rules import differences, normal, skipped

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_k8sha.fleet.cluster import Cluster

Object = dict[str, Any]
Key = tuple[str, str, str]

KEYED: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "containers": (("name",),),
    "env": (("name",),),
    "volumes": (("name",),),
    "volumeMounts": (("mountPath",),),
    "imagePullSecrets": (("name",),),
    "ports": (("containerPort", "protocol"), ("port", "protocol")),
    "subjects": (("kind", "namespace", "name"),),
}
"""The lists that Kubernetes merges by a key, by their field (``x-kubernetes-list-map-keys`` of its OpenAPI). Init
containers are left out, since they run in their order."""

UNORDERED = frozenset({"verbs", "resources", "apiGroups", "resourceNames", "nonResourceURLs", "accessModes"})
"""Lists of words whose order means nothing."""

OVERRIDE = re.compile(r"[A-Za-z*][^\s]*")


@dataclass(frozen=True)
class Difference:
    """``cluster`` differs from ``reference`` at ``path`` of an object; values are left out, as they may be secrets.
    ``kind`` is followed by its group where it has one (``Deployment.apps``). ``path`` is empty where the object is on
    one side alone, which ``how`` tells: missing, extra or different."""

    cluster: str
    reference: str
    kind: str
    namespace: str
    name: str
    how: str
    path: str = ""

    def __str__(self) -> str:
        whose = f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"
        match self.how:
            case "missing":
                return f"{whose} is in {self.reference} and not in {self.cluster}"
            case "extra":
                return f"{whose} is in {self.cluster} and not in {self.reference}"
        return f"{whose} differs in {self.cluster} from {self.reference} at {self.path}"


@dataclass(frozen=True)
class Override:
    """A difference that is meant: ``Kind[/namespace/name]:path``, such as
    ``Deployment.apps/shop/web:spec.replicas``; the path covers what lies below it."""

    kind: str
    where: str
    path: str

    @classmethod
    def parse(cls, text: str) -> Override:
        """Raises `UsageError`."""
        whose, colon, path = text.partition(":")
        kind, _, where = whose.partition("/")
        if not colon or not kind or not OVERRIDE.fullmatch(path):
            raise UsageError("an override is given as KIND[/NAMESPACE/NAME]:PATH", value=text)
        return cls(kind, where, path)

    def covers(self, difference: Difference) -> bool:
        whole = f"{difference.namespace}/{difference.name}".lstrip("/")
        return (
            difference.how == "different"
            and difference.kind == self.kind
            and self.where in {"", whole}
            and (difference.path == self.path or difference.path.startswith((f"{self.path}.", f"{self.path}[")))
        )


def read(
    clusters: Mapping[str, Cluster], kinds: Sequence[tuple[str, str]], namespace: str = ""
) -> dict[str, list[Object]]:
    """The objects of each cluster, all clusters at the same time. ``kinds`` are (apiVersion, kind); without a
    ``namespace`` those of all.

    Raises `UsageError` for two names that lead to one cluster, and `RequestError` where a cluster cannot be read: what
    was not seen is no likeness.
    """

    def one(cluster: Cluster) -> tuple[str, list[Object]]:
        uid = str(cluster.client.get("/api/v1/namespaces/kube-system")["metadata"]["uid"])
        return uid, [item for version, kind in kinds for item in cluster.resource(version, kind).list(namespace)]

    kubeconfig.warm()
    with ThreadPoolExecutor(max_workers=max(1, len(clusters))) as pool:
        found = dict(zip(clusters, pool.map(one, clusters.values()), strict=True))
    names: dict[str, str] = {}
    for name, (uid, _) in found.items():
        if uid in names:
            raise UsageError(f"{name} is the same cluster as {names[uid]}", value=uid, remedy="name two clusters")
        names[uid] = name
    return {name: objects for name, (_, objects) in found.items()}


def compare(sets: Mapping[str, Iterable[Object]], overrides: Sequence[Override] = ()) -> list[Difference]:
    """Every difference of each cluster from the first one. ``sets`` holds the objects by the cluster's name.

    Raises `UsageError` for fewer than two clusters, and `Inconclusive` when none of them has an object to compare: an
    empty list is no proof of likeness.
    """
    if len(sets) < 2:
        raise UsageError("drift takes two clusters or more", value=", ".join(sets))
    known = {name: _keyed(objects) for name, objects in sets.items()}
    if not any(known.values()):
        raise Inconclusive("there is no object to compare in any of the clusters")
    first, *others = known
    found: list[Difference] = []
    for other in others:
        for key in sorted({*known[first], *known[other]}):
            wanted, seen = known[first].get(key), known[other].get(key)
            if wanted is None or seen is None:
                found.append(Difference(other, first, *key, how="missing" if seen is None else "extra"))
            elif wanted != seen:
                found += [Difference(other, first, *key, how="different", path=p) for p in differences(wanted, seen)]
    return [one for one in found if not any(override.covers(one) for override in overrides)]


def _keyed(objects: Iterable[Object]) -> dict[Key, Object]:
    made = {}
    for obj in objects:
        if not skipped(obj):
            meta = obj["metadata"]
            group, slash, _ = str(obj.get("apiVersion", "")).partition("/")
            kind = f"{obj['kind']}.{group}" if slash else str(obj["kind"])
            made[(kind, str(meta.get("namespace") or ""), str(meta["name"]))] = _sorted(normal(obj))
    return made


def _sorted(value: Any, field: str = "") -> Any:
    """Lists without an order in one; keyed ones become mappings, so that a path names the element and not its place."""
    if isinstance(value, dict):
        return {key: _sorted(one, key) for key, one in value.items()}
    if not isinstance(value, list):
        return value
    # A variable may be made of those before it: then the order counts.
    built = field == "env" and any("$(" in str(one.get("value", "")) for one in value if isinstance(one, dict))
    for keys in () if built else KEYED.get(field, ()):
        if all(isinstance(one, dict) and keys[0] in one for one in value):
            # The protocol is TCP unless it is said, as the API server's default has it.
            named = {",".join(str(one.get(k, "TCP" if k == "protocol" else "")) for k in keys): one for one in value}
            if len(named) == len(value):
                return {f"[{key}]": _sorted(one) for key, one in named.items()}
    made = [_sorted(one) for one in value]
    return sorted(made) if field in UNORDERED and all(isinstance(one, str) for one in made) else made
