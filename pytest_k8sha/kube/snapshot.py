"""Each kind listed once: what read-only checks look at, so that thirty checks cost one list a kind."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_k8sha.kube.client import Client


@dataclass
class Snapshot:
    """Lists of one cluster, made when first asked for and then kept. `forget` after something was changed."""

    client: Client
    _lists: dict[tuple[str, str], list[dict[str, Any]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def list(self, api_version: str, kind: str, namespace: str = "") -> list[dict[str, Any]]:
        """All objects of a kind, in every namespace or in one. Do not change what it returns."""
        with self._lock:
            key = (api_version, kind)
            if key not in self._lists:
                self._lists[key] = self.client.resource(api_version, kind).list()
            items = self._lists[key]
        return [i for i in items if i["metadata"].get("namespace") == namespace] if namespace else items

    def forget(self) -> None:
        """The next look asks the server again."""
        with self._lock:
            self._lists.clear()
