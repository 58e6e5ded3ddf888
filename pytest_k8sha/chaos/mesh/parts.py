"""The experiments inside a manifest of Chaos Mesh: one, that of a Schedule, or those of a Workflow's templates."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pytest_k8sha.chaos.lint.subject import BLOCKS, ONE_SHOT

if TYPE_CHECKING:
    from collections.abc import Iterator

API_VERSION = "chaos-mesh.org/v1alpha1"
GROUP = "chaos-mesh.org"

PLURALS = {"Schedule": "schedules", "Workflow": "workflows", "StatusCheck": "statuschecks"}
"""The kinds whose plural is not the kind in small letters."""

POD_KINDS = frozenset(
    [
        "PodChaos",
        "NetworkChaos",
        "IOChaos",
        "StressChaos",
        "TimeChaos",
        "DNSChaos",
        "HTTPChaos",
        "KernelChaos",
        "BlockChaos",
        "JVMChaos",
    ]
)
"""The kinds that select pods. The others act on clouds and on machines, where nothing can be pinned or measured."""

SILENCING = {"pod-kill", "pod-failure", "container-kill", "partition"}
"""Actions that take a pod out of service; the others make it slow or wrong."""


def plural(kind: str) -> str:
    return PLURALS.get(kind, kind.lower())


@dataclass(frozen=True)
class Part:
    """One experiment of a manifest. ``spec`` is the manifest's own mapping, so that a change to it is one to the file.

    ``host`` is ``Schedule``, ``Workflow`` or empty; ``name`` that of a Workflow's template.
    """

    kind: str
    spec: dict[str, Any]
    host: str = ""
    name: str = ""

    @property
    def action(self) -> str:
        return str(self.spec.get("action", ""))

    @property
    def one_shot(self) -> bool:
        """Whether it happens once, with nothing to take back."""
        return self.kind == "PodChaos" and self.action in ONE_SHOT

    @property
    def far(self) -> dict[str, Any] | None:
        """The far side of a NetworkChaos: its own ``selector``, ``mode`` and ``value``. Rules are set there too."""
        found = self.spec.get("target") if self.kind == "NetworkChaos" else None
        return found if isinstance(found, dict) else None

    @property
    def silences(self) -> bool:
        """Whether its targets stop serving. A partition between two groups stops what passes between them alone."""
        between = self.action == "partition" and ("target" in self.spec or "externalTargets" in self.spec)
        return self.action in SILENCING and not between

    @property
    def title(self) -> str:
        told = f"{self.kind} {self.action}".strip()
        if self.kind == "StressChaos":
            told += f" {' and '.join(sorted(self.spec.get('stressors') or {}))}".rstrip()
        return told

    @property
    def stable(self) -> bool:
        """Whether its targets keep their names, so that they can be pinned by name: a pod that is killed time and
        again is another one each time."""
        return not (self.host and self.action == "pod-kill")


def parts(manifest: dict[str, Any]) -> list[Part]:
    """The experiments of a manifest; of a Workflow those of all templates, schedules among them."""
    kind, spec = str(manifest.get("kind", "")), manifest.get("spec") or {}
    if kind == "Schedule":
        return list(_inside(spec, "Schedule"))
    if kind == "Workflow":
        found = []
        for template in spec.get("templates") or []:
            for holder in (template, template.get("schedule") or {}):
                found += [replace(part, name=str(template.get("name", ""))) for part in _inside(holder, "Workflow")]
        return found
    return [Part(kind, spec)] if kind in BLOCKS else []


def _inside(holder: dict[str, Any], host: str) -> Iterator[Part]:
    for kind, block in BLOCKS.items():
        if isinstance(holder.get(block), dict):
            yield Part(kind, holder[block], host)
