"""The last lines of what containers said: those first whose pods stand out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import K8shaError
from pytest_k8sha.tenancy import portraits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_k8sha.tenancy.diagnostics import Reader

CONTAINERS = 6
"""Logs of one namespace; of further ones the number is said."""
LINES = 20
BYTES = 8192
"""Of one log. A line that the server cut off is left out, since half a secret is none that is known."""

SIMULATED = "kwok.x-k8s.io/node"
"""The annotation of a node on which no container runs."""

Obj = dict[str, Any]


def tell(reader: Reader, namespace: str, pods: list[Obj]) -> None:
    """Adds the logs of a namespace to the reader's lines."""
    section = f"logs of {namespace}"
    simulated = _simulated(reader) if pods else set()
    real = [pod for pod in pods if pod.get("spec", {}).get("nodeName", "") not in simulated]
    wanted = list(_containers(real))
    for pod, container, previous in wanted[:CONTAINERS]:
        name = pod["metadata"]["name"]
        title = f"{name}/{container}" + (" before its restart" if previous else "")
        reader.at = f"log of {title}"
        if reader.clock.passed:
            reader.missing.append(f"{section}: no time was left for {title}")
            continue
        query = {"container": container, "tailLines": LINES, "limitBytes": BYTES, "previous": previous or None}
        try:
            text = reader.get(f"/api/v1/namespaces/{namespace}/pods/{name}/log", **query)
        except K8shaError as error:
            reader.missing.append(f"{section}: {title}: {error}")
            continue
        for line in reader.masks.text(whole_lines(text)).splitlines():
            reader.tell(section, f"{title}: {line}")
    if len(wanted) > CONTAINERS:
        reader.missing.append(f"{section}: {len(wanted) - CONTAINERS} further containers")
    if len(real) < len(pods):
        reader.missing.append(f"{section}: {len(pods) - len(real)} pods are on simulated nodes, and say nothing")


def whole_lines(text: Any) -> str:
    """A log as text, without its last line where the server cut that off."""
    said = text if isinstance(text, str) else str(text)
    if len(said.encode()) < BYTES:
        return said
    return said.rpartition("\n")[0]


def _simulated(reader: Reader) -> set[str]:
    nodes = reader.list("nodes", "/api/v1/nodes") or []
    return {n["metadata"]["name"] for n in nodes if SIMULATED in (n["metadata"].get("annotations") or {})} | {""}


def _containers(pods: list[Obj]) -> Iterator[tuple[Obj, str, bool]]:
    """Pod, container, and whether it is the log before the last restart that tells; the worst first."""
    for pod in sorted(pods, key=lambda pod: not portraits.pod(pod)[1]):
        for group in ("initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"):
            for status in pod.get("status", {}).get(group) or []:
                state = status.get("state") or {}
                if "running" in state or "terminated" in state:
                    yield pod, status["name"], False
                elif status.get("restartCount"):
                    yield pod, status["name"], True
