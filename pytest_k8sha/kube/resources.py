"""The operations on one kind."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import ApiError
from pytest_k8sha.model import LABEL_RUN, ObjectRef

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_k8sha.kube.client import Client
    from pytest_k8sha.kube.discovery import Kind
    from pytest_k8sha.kube.watch import Event

Object = dict[str, Any]

FIELD_MANAGER = "pytest-k8sha"
PAGE = 500


class Resource:
    """Get, list, create, apply, patch, delete and watch objects of one kind, as plain dictionaries.

    Every method raises `ApiError` and `TransportError`. ``dry_run`` asks the server to rehearse (``dryRun=All``).
    """

    def __init__(self, client: Client, kind: Kind) -> None:
        self.client = client
        self.kind = kind

    def get(self, name: str, namespace: str = "", *, subresource: str = "") -> Object:
        return self._typed(self.client.request("GET", self.kind.path(namespace, name, subresource)))

    def find(self, name: str, namespace: str = "") -> Object | None:
        """The object, or None when there is none."""
        try:
            return self.get(name, namespace)
        except ApiError as error:
            if error.status == 404:
                return None
            raise

    def list(self, namespace: str = "", *, labels: str | None = None, fields: str | None = None) -> list[Object]:
        """All objects, page by page. Each carries its kind and apiVersion, which lists leave out."""
        items: list[Object] = []
        query: dict[str, Any] = {"limit": PAGE, "labelSelector": labels, "fieldSelector": fields}
        while True:
            answer = self.client.request("GET", self.kind.path(namespace), query=query)
            items += answer.get("items") or []
            query["continue"] = answer.get("metadata", {}).get("continue")
            if not query["continue"]:
                break
        for item in items:
            self._typed(item)
        return items

    def create(self, body: Mapping[str, Any], namespace: str = "", *, dry_run: bool = False) -> Object:
        where = namespace or (body.get("metadata") or {}).get("namespace", "")
        query = {"fieldValidation": "Strict", "fieldManager": FIELD_MANAGER, "dryRun": "All" if dry_run else None}
        full = {"apiVersion": self.kind.api_version, "kind": self.kind.kind, **body}
        return self._typed(self.client.request("POST", self.kind.path(where), query=query, body=full))

    def apply(
        self, body: Mapping[str, Any], namespace: str = "", *, dry_run: bool = False, force: bool = True
    ) -> Object:
        """Server-side apply with strict validation.

        An object that is not there yet is stamped as the run's own; one that exists and is somebody else's is changed
        but never claimed, so that no clean-up deletes it.
        """
        ref = ObjectRef.of(dict(body))
        where = namespace or ref.namespace
        query = {
            "fieldValidation": "Strict",
            "fieldManager": FIELD_MANAGER,
            "force": force,
            "dryRun": "All" if dry_run else None,
        }
        full: Object = {"apiVersion": self.kind.api_version, "kind": self.kind.kind, **body}
        existing = self.find(ref.name, where)
        run = self.client.guard.run
        if existing is None or (existing["metadata"].get("labels") or {}).get(LABEL_RUN) == run.id:
            full = self.client.guard.stamp(full)
        path = self.kind.path(where, ref.name)
        answer = self.client.request("PATCH", path, query=query, body=full, content_type="application/apply-patch+yaml")
        if existing is None and not dry_run and self.kind.plural == "namespaces" and not self.kind.group:
            self.client.guard.namespaces.add(ref.name)
        return self._typed(answer)

    def patch(
        self,
        name: str,
        patch: Any,
        namespace: str = "",
        *,
        subresource: str = "",
        content_type: str = "application/merge-patch+json",
        dry_run: bool = False,
    ) -> Object:
        """A merge patch by default; a list is a JSON patch with ``application/json-patch+json``."""
        query = {"dryRun": "All"} if dry_run else None
        path = self.kind.path(namespace, name, subresource)
        return self._typed(self.client.request("PATCH", path, query=query, body=patch, content_type=content_type))

    def replace(
        self, body: Mapping[str, Any], namespace: str = "", *, subresource: str = "", dry_run: bool = False
    ) -> Object:
        ref = ObjectRef.of(dict(body))
        path = self.kind.path(namespace or ref.namespace, ref.name, subresource)
        query = {"dryRun": "All"} if dry_run else None
        return self._typed(self.client.request("PUT", path, query=query, body=dict(body)))

    def delete(
        self, name: str, namespace: str = "", *, uid: str = "", grace: int | None = None, dry_run: bool = False
    ) -> None:
        """Deletes in the background. With ``uid`` only that very object; ``grace`` is in seconds."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid:
            options["preconditions"] = {"uid": uid}
        if grace is not None:
            options["gracePeriodSeconds"] = grace
        if dry_run:
            options["dryRun"] = ["All"]  # with a body, the server does not look at the query
        query = {"dryRun": "All"} if dry_run else None
        self.client.request("DELETE", self.kind.path(namespace, name), query=query, body=options)

    def watch(
        self, namespace: str = "", *, labels: str | None = None, fields: str | None = None, timeout: float = 30.0
    ) -> Iterator[Event]:
        """Events from now on, for ``timeout`` seconds (see `pytest_k8sha.kube.watch`)."""
        from pytest_k8sha.kube.watch import watch

        return watch(self, namespace, labels=labels, fields=fields, timeout=timeout)

    def _typed(self, item: Any) -> Object:
        if not isinstance(item, dict):
            return {}
        item.setdefault("kind", self.kind.kind)  # the items of a list come without
        item.setdefault("apiVersion", self.kind.api_version)
        return item
