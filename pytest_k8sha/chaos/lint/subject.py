"""What a rule is given: one experiment, wherever in a manifest it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pytest_k8sha.chaos.lint.finding import Report
    from pytest_k8sha.chaos.lint.shapes import Bundle
    from pytest_k8sha.chaos.lint.tree import Node

BLOCKS = {
    "AWSChaos": "awsChaos",
    "AzureChaos": "azureChaos",
    "BlockChaos": "blockChaos",
    "DNSChaos": "dnsChaos",
    "GCPChaos": "gcpChaos",
    "HTTPChaos": "httpChaos",
    "IOChaos": "ioChaos",
    "JVMChaos": "jvmChaos",
    "KernelChaos": "kernelChaos",
    "NetworkChaos": "networkChaos",
    "PhysicalMachineChaos": "physicalmachineChaos",
    "PodChaos": "podChaos",
    "StressChaos": "stressChaos",
    "TimeChaos": "timeChaos",
}
"""Kind → the field that holds it inside a Schedule or a template of a Workflow."""

ONE_SHOT = {"pod-kill", "container-kill"}
"""Actions of PodChaos that happen once: they have no duration and nothing to recover."""


@dataclass(frozen=True, slots=True)
class Subject:
    """The spec of one object of Chaos Mesh.

    ``root`` is the object in the file; ``host`` is where the spec stands: on its own, in a Schedule, in a Workflow.
    ``namespace`` is that of the object, empty where the file does not say. ``shared`` when the document has anchors.
    """

    kind: str
    spec: Node
    root: Node
    report: Report
    bundle: Bundle
    namespace: str = ""
    host: Literal["", "Schedule", "Workflow"] = ""
    shared: bool = False

    @property
    def action(self) -> str:
        """The action, or an empty text."""
        return self.spec.text("action") or ""
