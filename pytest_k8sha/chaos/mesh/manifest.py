"""An object of Chaos Mesh as an order: linted, with the terms that it cannot say itself, and always with an end.

A manifest says what is done, to whom and for how long. How much may be hit, which seed chooses, what is let pass and
how long the proof may take are given by annotations ``k8sha.dev/TERM`` of the object, or by whoever runs it.
"""

from __future__ import annotations

import copy
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_k8sha.chaos.lint import values
from pytest_k8sha.chaos.mesh.parts import API_VERSION, POD_KINDS, Part, parts
from pytest_k8sha.chaos.order import Order
from pytest_k8sha.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

HOSTS = {"Schedule", "Workflow"}
PREFIX = "k8sha.dev/"
TERMS = ("hold", "blastRadius", "seed", "accept", "proveWithin", "recoverWithin", "measure")
"""The annotations that are read, each as YAML; the words are those of a K8shaExperiment."""

MARGIN = 30.0
"""Seconds by which the duration that is added outlives the hold and the proof, so that Chaos Mesh ends the fault only
when whoever should have ended it is gone: its duration counts from the creation."""


@dataclass(frozen=True)
class MeshObject:
    """The object of an order, as it will be sent; ``order`` has its terms."""

    order: Order
    object: dict[str, Any]

    @classmethod
    def of(cls, order: Order) -> MeshObject:
        """Raises `UsageError` for an order that holds no object of Chaos Mesh."""
        block = order.spec.manifest
        if block is None or block.object.get("apiVersion") != API_VERSION:
            raise UsageError(f"{order.name} holds no object of {API_VERSION}", value=order.spec.block)
        wrong = [part.kind for part in parts(block.object) if part.kind not in POD_KINDS]
        if wrong or not parts(block.object):
            told = ", ".join(wrong) or str(block.object.get("kind"))
            raise UsageError(f"{order.name}: {told} acts on no pod, so its effect cannot be proved", allowed=POD_KINDS)
        return cls(order, block.object)

    @property
    def kind(self) -> str:
        return str(self.object["kind"])

    @property
    def namespace(self) -> str:
        return str(self.object["metadata"].get("namespace") or "default")

    @property
    def parts(self) -> list[Part]:
        return parts(self.object)

    @property
    def lasts(self) -> bool:
        """Whether it is there until it is taken back. What a Schedule or a Workflow does comes and goes."""
        return self.kind not in HOSTS and not all(part.one_shot for part in self.parts)

    def bounded(self) -> MeshObject:
        """The same with a duration, so that it ends although nobody is left to end it.

        Raises `UsageError` where its duration is too short for the hold, or cannot be given: what a Schedule starts
        must bring its own.
        """
        spec = self.order.spec
        for part in self.parts:
            text = part.spec.get("duration")
            if part.one_shot or part.host == "Workflow":
                continue  # the templates of a Workflow have deadlines; a duration inside one is refused
            if text is None and part.host:
                raise UsageError(
                    f"{self.order.name}: the {part.kind} of its {part.host} has no duration, so it would last for ever",
                    remedy="write duration into the embedded experiment",
                )
            if text is None:
                continue
            found = values.duration(str(text))
            if found is None or found <= 0:
                raise UsageError(f"{self.order.name}: the duration would never end it", value=text, remedy="write 90s")
            if not part.host and found / values.SECOND < spec.hold:
                raise UsageError(
                    f"{self.order.name}: Chaos Mesh would end the fault before the hold of {spec.hold:g} s is over",
                    value=text,
                    remedy=f"write a duration of at least {spec.hold + MARGIN:g}s",
                )
        changed = copy.deepcopy(self.object)
        for part in parts(changed):
            if not part.host and not part.one_shot and part.spec.get("duration") is None:
                part.spec["duration"] = f"{max(1, round(spec.hold + spec.prove_within + MARGIN))}s"
        return MeshObject(self.order, changed)

    def pinned(
        self, taken: Mapping[int, list[dict[str, Any]]], far: Mapping[int, list[dict[str, Any]]] | None = None
    ) -> MeshObject:
        """The same with the pods that each part takes (by its number), and those on its far side, named one by one, and
        nothing left to choose."""
        changed = copy.deepcopy(self.object)
        for number, part in enumerate(parts(changed)):
            if not part.stable:
                continue
            _name(part.spec, taken[number])
            if part.far is not None and far and far.get(number):
                _name(part.far, far[number])
        return MeshObject(self.order, changed)


def _name(holder: dict[str, Any], pods: list[dict[str, Any]]) -> None:
    """Has a selector mean just these pods."""
    names: dict[str, list[str]] = {}
    for pod in pods:
        names.setdefault(pod["metadata"]["namespace"], []).append(pod["metadata"]["name"])
    holder["selector"] = {"namespaces": sorted(names), "pods": names}
    holder["mode"] = "all"
    holder.pop("value", None)


def as_order(document: dict[str, Any], **terms: Any) -> Order:
    """The order of a manifest: its annotations are its terms, and ``terms`` (as in a K8shaExperiment) overrule them.

    Raises pydantic's ``ValidationError``, and `UsageError` for an annotation that is no YAML.
    """
    import yaml

    meta = document.get("metadata") or {}
    annotations = meta.get("annotations") or {}
    spec: dict[str, Any] = {"action": "apply", "manifest": {"object": document}}
    for term in TERMS:
        text = annotations.get(PREFIX + term)
        if text is None:
            continue
        try:
            spec[term] = yaml.safe_load(str(text))
        except yaml.YAMLError as error:
            raise UsageError(f"the annotation {PREFIX}{term} is no YAML ({error})", value=str(text)) from error
    spec |= terms
    if "measure" in spec:
        spec["manifest"]["measure"] = spec.pop("measure")
    name = re.sub(r"[^a-z0-9-]+", "-", str(meta.get("name", "")).lower())[:63].strip("-")
    return Order.model_validate({"metadata": {"name": name or "unnamed"}, "spec": spec})
