"""Whom a selector of Chaos Mesh means, decided on objects that were listed before, as its controller decides it.

Source: ``pkg/selector/pod`` and ``pkg/selector/generic`` of Chaos Mesh 2.8.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha.workloads.selectors import selects

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

Object = dict[str, Any]


@dataclass(frozen=True)
class Selection:
    """The ``selector``, ``mode`` and ``value`` of an experiment; ``own`` is the namespace of its object, which counts
    where the selector names none (the webhook fills it in)."""

    selector: Mapping[str, Any]
    mode: str
    value: str = ""
    own: str = ""
    unknown: tuple[str, ...] = field(default=())
    """Fields of the selector that are not read here; none of those that Chaos Mesh 2.8 has."""

    @classmethod
    def of(cls, holder: Mapping[str, Any], own: str) -> Selection:
        """From the object that has ``selector``, ``mode`` and ``value``: a spec, or the target of a NetworkChaos."""
        selector = holder.get("selector") or {}
        return cls(
            selector,
            str(holder.get("mode", "")),
            str(holder.get("value") or ""),
            own,
            tuple(sorted(set(selector) - KNOWN)),
        )

    @property
    def namespaces(self) -> tuple[str, ...]:
        """The namespaces that pods are looked for in."""
        if self.selector.get("pods"):
            return tuple(self.selector["pods"])
        return tuple(self.selector.get("namespaces") or ()) or (self.own,)

    @property
    def by_node(self) -> bool:
        """Whether nodes must be listed to decide."""
        return bool(self.selector.get("nodeSelectors")) and not self.selector.get("pods")

    def fitting(self, pods: Iterable[Object], nodes: Iterable[Object] = ()) -> list[Object]:
        """The pods that the selector means, before the mode takes its share. Finished pods are among them, as in Chaos
        Mesh, which then cannot inject anything into them."""
        named = self.selector.get("pods")
        if named:  # overrides every other filter
            return [p for p in pods if p["metadata"]["name"] in (named.get(p["metadata"].get("namespace", "")) or ())]
        places = self._nodes(nodes)
        return [pod for pod in pods if self._fits(pod, places)]

    def taken(self, fitting: Sequence[Object], seed: int) -> list[Object]:
        """The share that the mode takes; the same seed takes the same pods from the same."""
        ordered = sorted(fitting, key=lambda p: (p["metadata"].get("namespace", ""), p["metadata"]["name"]))
        draw = random.Random(seed)  # noqa: S311 - repeatable, not secret
        chosen = draw.sample(ordered, self._count(len(ordered), draw))
        return sorted(chosen, key=ordered.index)

    def _count(self, of: int, draw: random.Random) -> int:
        number = int(self.value) if self.value.isdigit() else 0
        match self.mode:
            case "all":
                return of
            case "one":
                return min(1, of)
            case "fixed":
                return min(number, of)
            case "fixed-percent":
                return math.floor(of * min(number, 100) / 100)
            case "random-max-percent":
                return math.floor(of * draw.randint(0, min(number, 100)) / 100)
        return 0

    def _nodes(self, nodes: Iterable[Object]) -> set[str] | None:
        """Names of the nodes whose pods are meant; None for all. ``nodes`` and ``nodeSelectors`` add up."""
        names, labels = self.selector.get("nodes") or [], self.selector.get("nodeSelectors") or {}
        if not names and not labels:
            return None
        found = set(names)
        if labels:
            wanted = {"matchLabels": labels}
            found |= {n["metadata"]["name"] for n in nodes if selects(wanted, n["metadata"].get("labels") or {})}
        # The controller takes an empty list of nodes for no condition at all (`nodeSelector.Match`).
        return found or None

    def _fits(self, pod: Object, places: set[str] | None) -> bool:
        meta, selector = pod["metadata"], self.selector
        if meta.get("namespace", "") not in self.namespaces:
            return False
        if places is not None and pod.get("spec", {}).get("nodeName") not in places:
            return False
        rules = {
            "matchLabels": selector.get("labelSelectors") or {},
            "matchExpressions": selector.get("expressionSelectors") or [],
        }
        if not selects(rules, meta.get("labels") or {}):
            return False
        if not selects({"matchLabels": selector.get("annotationSelectors") or {}}, meta.get("annotations") or {}):
            return False
        fields = selector.get("fieldSelectors") or {}
        if any(_field(pod, path) != str(value) for path, value in fields.items()):
            return False
        return _phase(str(pod.get("status", {}).get("phase", "")), selector.get("podPhaseSelectors") or [])


KNOWN = frozenset(
    [
        "namespaces",
        "fieldSelectors",
        "labelSelectors",
        "annotationSelectors",
        "expressionSelectors",
        "nodes",
        "nodeSelectors",
        "pods",
        "podPhaseSelectors",
    ]
)


def _field(pod: Object, path: str) -> str:
    """The value of a selectable field such as ``spec.nodeName``, as a text."""
    found: Any = pod
    for part in path.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    if isinstance(found, bool):
        return str(found).lower()
    return "" if found is None else str(found)


def _phase(phase: str, wanted: Sequence[str]) -> bool:
    """``[A, B]`` means either of them, ``!A`` none of it."""
    chosen = [one for one in wanted if not one.startswith("!")]
    return (not chosen or phase in chosen) and f"!{phase}" not in wanted
