"""Watching objects: re-list after 410, a limit to silence, and an end that is never mistaken for calm."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha.errors import ApiError, TransportError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_k8sha.kube.resources import Resource

SILENCE = 10.0
"""Seconds without a byte after which the connection counts as half open; bookmarks do not come more often than each
minute, so silence only leads to a new connection from the last known version, never to an error."""


@dataclass(frozen=True)
class Event:
    """``type`` is ADDED, MODIFIED, DELETED or RELISTED (``object`` is then a list of all there is)."""

    type: str
    object: Any


def watch(
    resource: Resource,
    namespace: str = "",
    *,
    labels: str | None = None,
    fields: str | None = None,
    timeout: float = 30.0,
    version: str | None = None,
) -> Iterator[Event]:
    """Yields one RELISTED event first (unless ``version`` is given), then each change, for ``timeout`` seconds.

    A server that closes the stream, a half-open connection and an expired version (410) are answered by a new
    connection or a new list. Raises `ApiError` for a refusal (401, 403, 404).
    """
    deadline = _clock.Deadline(timeout)
    path = resource.kind.path(namespace)
    selectors = {"labelSelector": labels, "fieldSelector": fields}
    while not deadline.passed:
        if version is None:
            answer = resource.client.request("GET", path, query=selectors)
            version = answer["metadata"]["resourceVersion"]
            yield Event("RELISTED", answer.get("items") or [])
        query: dict[str, Any] = {
            **selectors,
            "watch": "true",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": max(1, int(deadline.left)),
        }
        try:
            silence = min(SILENCE, max(0.1, deadline.left))
            for line in resource.client.stream(path, query=query, timeout=silence):
                event = json.loads(line)
                kind, item = event["type"], event["object"]
                if kind == "ERROR":
                    if item.get("code") == 410:
                        version = None
                        break
                    raise ApiError(
                        item.get("code", 500),
                        method="WATCH",
                        path=path,
                        reason=item.get("reason", ""),
                        message=item.get("message", ""),
                    )
                version = item["metadata"]["resourceVersion"]
                if kind != "BOOKMARK":
                    yield Event(kind, item)
                if deadline.passed:
                    return
        except ApiError as error:
            if error.status == 410:
                version = None
            elif not error.retryable or error.status == 404:
                raise
            else:
                _clock.pause(min(0.2, deadline.left))
        except TransportError as error:
            if error.kind not in {"timeout", "truncated"}:
                _clock.pause(min(0.2, deadline.left))
