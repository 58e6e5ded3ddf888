"""Private images that are on a node already."""

from __future__ import annotations

from pytest_k8sha import Cluster, Judge, Tenant, check
from pytest_k8sha.tenancy.escapes import images


@check(
    "TEN-IMG-001",
    "A tenant's private image runs for no other tenant, although it is on the node",
    severity="high",
    impact="exercise",
    promises=["policies"],
    why="The registry asks for credentials when an image is pulled; a node that has the image already asks nobody, and "
    "an image holds the program, and often a secret that was built into it.",
    remedy="Bind a policy that ties a registry path to its tenant (fixtures/policies/private-images.yaml), switch "
    "AlwaysPullImages on, or have the kubelet verify credentials (imagePullCredentialsVerificationPolicy).",
    controls=["NIST-800-53r5:AC-3", "NIST-800-53r5:CM-7", "SOC2:CC6.1", "ISO-27001:A.8.3", "PCI-4:7.2", "CIS-K8s:5.5"],
    requires=["nodes:real"],
)
def test_private_images_are_private(cluster: Cluster, tenants: list[Tenant], judge: Judge) -> None:
    images.judge_private(judge, cluster, tenants)
