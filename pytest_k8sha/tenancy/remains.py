"""What still speaks of a tenant after its deletion: every kind is listed, and every text of every object compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import ApiError, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.kube.discovery import Kind
    from pytest_k8sha.tenancy.tenant import Tenant

PASSING = frozenset({"Event", "Lease"})
"""Kinds that are about what is gone, or are renewed all the time."""

OTHERS = frozenset({("rbac.authorization.k8s.io", "rolebindings")})
"""Kinds in other tenants' namespaces that give this tenant something."""


@dataclass(frozen=True)
class Left:
    """An object that is still there. ``waits`` are the finalizers that keep it, when its deletion was asked for."""

    kind: Kind
    name: str
    namespace: str = ""
    waits: tuple[str, ...] = ()
    going: bool = False
    """Its deletion was asked for, or it belongs to a namespace that is gone."""

    def __str__(self) -> str:
        where = f"{self.namespace}/" if self.namespace else ""
        waiting = f", which waits for {', '.join(self.waits)}" if self.waits else ""
        return f"{self.kind.kind} {where}{self.name}{waiting}"


@dataclass
class Remains:
    """What is left of a tenant. ``unread`` are the kinds that could not be listed, and why."""

    found: list[Left] = field(default_factory=list)
    unread: list[str] = field(default_factory=list)


def remains(cluster: Cluster, tenant: Tenant) -> Remains:
    """Every object in one of the tenant's namespaces; and every cluster-scoped object and every binding elsewhere that
    names the tenant: in its own name, in a label, or in any text of what it says, such as the subject of a binding or
    of a FlowSchema, the claim of a PersistentVolume, the service of a webhook."""
    words = words_of(tenant)
    left = Remains()
    for kind in cluster.kinds:
        if "list" not in kind.verbs or kind.kind in PASSING:
            continue
        try:
            items = cluster.client.get(kind.path()).get("items") or []
        except RequestError as error:
            left.unread.append(f"{kind.qualified}: {error}")
            continue
        for obj in items:
            meta = obj["metadata"]
            if kind.namespaced:
                elsewhere = (kind.group, kind.plural) in OTHERS and names(obj, words)
                theirs = meta.get("namespace") in tenant.namespaces or elsewhere
            else:
                theirs = tenant.name in meta["name"] or meta["name"] in tenant.namespaces or names(obj, words)
            if theirs:
                ending = bool(meta.get("deletionTimestamp"))
                waits = tuple(meta.get("finalizers") or ()) if ending else ()
                owners = {o["name"] for o in meta.get("ownerReferences") or [] if o["kind"] == "Namespace"}
                going = ending or bool(owners & set(tenant.namespaces))
                left.found.append(Left(kind, meta["name"], meta.get("namespace", ""), waits, going))
    return left


def words_of(tenant: Tenant) -> frozenset[str]:
    """The names that are this tenant's alone: its own, those of its namespaces, and those of its people and of their
    groups that hold its own."""
    people = {word for persona in tenant.personas.values() for word in (persona.user, *persona.groups)}
    return frozenset({tenant.name, *tenant.namespaces, *(word for word in people if tenant.name in word)})


def names(obj: dict[str, Any], words: Iterable[str]) -> bool:
    """Whether any text of the object, its labels included, is one of these words. What others noted about it, in
    annotations and managed fields, and who last changed it, does not count."""
    meta = obj["metadata"]
    if set((meta.get("labels") or {}).values()) & set(words):
        return True
    return any(
        text in words for key, value in obj.items() if key not in {"metadata", "status"} for text in _texts(value)
    )


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts(item)


def clean(cluster: Cluster, left: Remains) -> None:
    """Takes away what a check's own tenant left; what will not go stays for the run's own sweep."""
    for one in left.found:
        resource = cluster.resource(one.kind.api_version, one.kind.kind)
        try:
            resource.delete(one.name, one.namespace)
            if one.waits:
                resource.patch(one.name, {"metadata": {"finalizers": None}}, one.namespace)
        except ApiError as error:
            if error.status != 404:
                continue
        except RequestError:
            continue
