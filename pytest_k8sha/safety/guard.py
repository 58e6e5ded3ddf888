"""The impact guard: what a request would do to a cluster, and whether it may.

The client asks the guard before a byte is sent, so nothing that a check does can be above the ceiling of its cluster.
The same place stamps each new object with run id, owner and expiry, and journals it before it is made.
"""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import ImpactRefused
from pytest_k8sha.model import LABEL_RUN, Impact, ObjectRef, Run

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_k8sha.safety.journal import Journal

READING = frozenset({"GET", "HEAD", "OPTIONS"})

REVIEWS = frozenset(
    {
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
        ("authorization.k8s.io", "subjectaccessreviews"),
        ("authorization.k8s.io", "localsubjectaccessreviews"),
        ("authentication.k8s.io", "selfsubjectreviews"),
    }
)
"""Kinds that are created to ask a question; the API server stores none of them."""

CONNECTING = frozenset({"exec", "attach", "portforward", "proxy"})
"""Subresources that reach through the API server into a pod, service or node, even by GET and even with ``dryRun``."""

_UNCLEAR = re.compile(r"[?#%\\\s]|//|/\.{1,2}(/|$)|^[^/]|^$")
"""What a path may not hold, since it would not reach the server as it was judged: the HTTP library resolves ``..``, the
server decodes ``%2F`` and reads an empty step as a name, and a ``?`` would swallow ``dryRun``."""

OWNABLE = frozenset({("", "namespaces"), ("certificates.k8s.io", "certificatesigningrequests")})
"""Cluster-scoped kinds that a run may create for itself at *exercise*: by themselves they change nothing for others."""


@dataclass(frozen=True)
class Target:
    """The object or collection that a request path names, as the API server would read it."""

    group: str = ""
    version: str = ""
    resource: str = ""
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @classmethod
    def of(cls, path: str) -> Target:
        """Reads ``/api/v1/…`` and ``/apis/GROUP/VERSION/…``; any other path gives an empty target."""
        parts = [part for part in path.split("?")[0].split("/") if part]
        if parts[:1] == ["api"] and len(parts) > 2:
            group, version, rest = "", parts[1], parts[2:]
        elif parts[:1] == ["apis"] and len(parts) > 3:
            group, version, rest = parts[1], parts[2], parts[3:]
        else:
            return cls()
        namespace = ""
        # namespaces/NS/RESOURCE is a namespaced object, unless RESOURCE is a subresource of the namespace itself.
        if rest[0] == "namespaces" and len(rest) > 2 and rest[2] not in {"status", "finalize"}:
            namespace, rest = rest[1], rest[2:]
        resource, name, sub = (*rest, "", "", "")[:3]
        return cls(group, version, resource, namespace, name, sub)


def is_dry(method: str, query: Mapping[str, Any] | None, body: Any) -> bool:
    """Whether the server will only rehearse a write.

    A DELETE takes its options from the body when it has one, and then does not look at the query
    (``k8s.io/apiserver/pkg/endpoints/handlers/delete.go``): ``?dryRun=All`` beside a body without it really deletes.
    """
    asked = (query or {}).get("dryRun") == "All"
    if method == "DELETE" and body is not None:
        return asked and isinstance(body, dict) and body.get("dryRun") == ["All"]
    return asked


@dataclass
class Ticket:
    """A request that the guard let through. ``entry`` is its number in the journal, 0 when nothing is made."""

    body: Any
    entry: int = 0


@dataclass
class Guard:
    """Judges every request to one cluster.

    ``ceiling`` is the highest impact allowed. ``namespaces`` are those known to be the run's own; others are proved by
    ``look``, which reads a namespace and returns it (or None). Without a ``journal`` new objects are stamped but not
    journalled, which is right only for a cluster that ends with the run.
    """

    cluster: str
    ceiling: Impact
    run: Run
    journal: Journal | None = None
    namespaces: set[str] = field(default_factory=set)
    own: set[tuple[str, str, str]] = field(default_factory=set)
    """Group, resource and name of objects known to be the run's own; ``NAMESPACE/NAME`` of one in a namespace."""
    look: Callable[[str], Mapping[str, Any] | None] | None = None
    uid: str = ""
    """The cluster's identity (uid of kube-system), written with each journal entry."""

    def __post_init__(self) -> None:
        self._foreign: set[str] = set()
        self._lock = threading.RLock()

    def impact(self, method: str, path: str, query: Mapping[str, Any] | None = None, body: Any = None) -> Impact:
        """The impact of a request, in the words of `pytest_k8sha.model.Impact`."""
        method = method.upper()
        target = Target.of(path)
        connecting = target.subresource in CONNECTING
        if method in READING and not connecting:
            return Impact.OBSERVE
        if method == "POST" and (target.group, target.resource) in REVIEWS:
            return Impact.OBSERVE
        if is_dry(method, query, body) and not connecting:
            return Impact.REHEARSE
        return Impact.EXERCISE if self._is_own(method, target) else Impact.DISRUPT

    def admit(self, method: str, path: str, query: Mapping[str, Any] | None, body: Any) -> Ticket:
        """Lets a request through, stamped and journalled, or raises `ImpactRefused`."""
        if _UNCLEAR.search(path):
            raise ImpactRefused(
                "a path that can be read in two ways is not sent",
                value=path,
                remedy="give plain names in the path, and the query as a query",
            )
        method = method.upper()
        impact = self.impact(method, path, query, body)
        if impact > self.ceiling:
            raise ImpactRefused(
                f"{method} {path} has the impact {impact}, above the ceiling of {self.cluster}; it was not sent",
                value=str(self.ceiling),
                remedy=f"allow it for this cluster by name: --k8sha-cluster {self.cluster}=…,ceiling={impact}",
            )
        if impact < Impact.EXERCISE or method not in {"POST", "PATCH", "PUT"} or not isinstance(body, dict):
            return Ticket(body)
        target = Target.of(path)
        creates = method == "POST" and not target.subresource and not target.name and "metadata" in body
        applies = method == "PATCH" and not target.subresource and (query or {}).get("fieldManager") and "kind" in body
        if not creates and not (applies and body.get("metadata", {}).get("labels", {}).get(LABEL_RUN) == self.run.id):
            return Ticket(body)
        stamped = self.stamp(body)
        if self.journal is None:
            return Ticket(stamped)
        ref = ObjectRef.of(stamped)
        entry = self.journal.intent(
            "object",
            cluster=self.cluster,
            uid=self.uid,
            path=path if applies else f"{path.split('?')[0]}/{ref.name}",
            kind=ref.kind,
            generate=body["metadata"].get("generateName", ""),
        )
        return Ticket(stamped, entry)

    def settle(self, ticket: Ticket, method: str, path: str, answer: Any, *, refused: bool) -> None:
        """Notes what became of an admitted request. ``refused``: the server said no, so nothing was made."""
        target = Target.of(path)
        if refused:
            if ticket.entry and self.journal:
                self.journal.gone([ticket.entry])
            return
        if method == "POST" and not target.subresource and isinstance(answer, dict):
            ref = ObjectRef.of(answer)
            with self._lock:
                if target.resource == "namespaces" and not target.group:
                    self.namespaces.add(ref.name)
                    self._foreign.discard(ref.name)
                elif not target.namespace:
                    self.own.add((target.group, target.resource, ref.name))
        if ticket.entry and self.journal and isinstance(answer, dict):
            meta = answer.get("metadata", {})
            made = {"object": meta.get("uid", "")}
            if method == "POST":
                made["path"] = f"{path.split('?')[0]}/{meta.get('name', '')}"
            self.journal.made(ticket.entry, **made)

    def stamp(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """A copy of an object that carries run id, owner and expiry."""
        meta = dict(body.get("metadata") or {})
        meta["labels"] = {**(meta.get("labels") or {}), **self.run.labels}
        return {**body, "metadata": meta}

    def _is_own(self, method: str, target: Target) -> bool:
        kind = (target.group, target.resource)
        if target.namespace:
            return (*kind, f"{target.namespace}/{target.name}") in self.own or self.owns(target.namespace)
        if kind == ("", "namespaces") and target.name:
            return self.owns(target.name)
        if method == "POST" and not target.name:
            return kind in OWNABLE
        return (*kind, target.name) in self.own

    def claim(self, namespace: str) -> None:
        """The caller has proved that this namespace was made for the run: it was not there before, and is there now."""
        with self._lock:
            self.namespaces.add(namespace)
            self._foreign.discard(namespace)

    def owns(self, namespace: str) -> bool:
        """Whether this run created the namespace: seen when it was made, or proved by its label on the server."""
        with self._lock:
            if namespace in self.namespaces:
                return True
            if namespace in self._foreign or self.look is None:
                return False
            found = self.look(namespace)
            labels = (found or {}).get("metadata", {}).get("labels") or {}
            mine = bool(labels.get(LABEL_RUN) == self.run.id)
            (self.namespaces if mine else self._foreign).add(namespace)
            return mine
