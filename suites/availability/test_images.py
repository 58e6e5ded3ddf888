"""Images that cannot be had, told before the pod that needs them is. Read-only."""

from pytest_k8sha import Judge, check
from pytest_k8sha.workloads import images
from pytest_k8sha.workloads.model import Inventory, report

REDUNDANCY = ["SOC2:A1.2", "ISO-27001:A.8.14", "NIST-800-53r5:CP-2", "NIST-800-53r5:SI-13", "DORA:7", "DORA:11"]


@check(
    "AVL-IMG-001",
    "No pod waits for an image that cannot be pulled",
    severity="high",
    impact="observe",
    why="An update that hangs on its image leaves the old replicas serving, and nobody notices until one is lost.",
    remedy="Correct the image's name, the pull secret, or the way to the registry.",
    controls=REDUNDANCY,
)
def test_images_are_there(inventory: Inventory, judge: Judge) -> None:
    report(judge, images.waiting(inventory))
