"""What the control plane shows and keeps: certificates, encryption at rest, the audit log."""

from collections.abc import Mapping

from pytest_k8sha import Cluster, Judge, check
from pytest_k8sha.probes import certificates, control_plane, protection


@check(
    "AVL-CRT-001",
    "Every certificate that the control plane and the kubelets serve is valid, and stays so for a month",
    severity="critical",
    impact="observe",
    why="An expired certificate stops a whole control plane at once, at a moment that nobody chose.",
    remedy="Renew what is named, and have somebody told before it expires.",
    controls=["SOC2:A1.2", "ISO-27001:A.8.24", "NIST-800-53r5:SC-12", "PCI-DSS-4:4.2.1", "DORA:9"],
)
def test_certificates_are_valid(cluster: Cluster, judge: Judge, goals: Mapping[str, float]) -> None:
    answers = certificates.ask(certificates.served(cluster))
    if judge.control(any(one.certificate for one in answers), "a handshake shows a certificate"):
        certificates.judge(judge, answers, control_plane.server_time(cluster), goals["certificate"])


@check(
    "AVL-ENC-001",
    "Secrets are encrypted in etcd",
    severity="high",
    impact="exercise",
    why="Whoever gets hold of a disk, a snapshot or a backup of etcd reads every password of the cluster.",
    remedy="Configure encryption at rest, and write the Secrets that are there anew.",
    controls=["SOC2:CC6.1", "ISO-27001:A.8.24", "NIST-800-53r5:SC-28", "PCI-DSS-4:3.5", "DORA:9", "CIS-K8s:1.2"],
    requires=["etcd:reachable"],
)
def test_secrets_are_encrypted_at_rest(cluster: Cluster, namespace: str, judge: Judge) -> None:
    protection.encryption(cluster, judge, namespace)


@check(
    "AVL-AUD-001",
    "Every API server writes what it is asked into its audit log",
    severity="high",
    impact="exercise",
    why="After an incident the audit log is the only witness; one that is empty is noticed on that day.",
    remedy="Give every API server an audit policy and a sink, and watch that something arrives.",
    controls=["SOC2:CC7.2", "ISO-27001:A.8.15", "NIST-800-53r5:AU-2", "PCI-DSS-4:10.2", "DORA:10", "CIS-K8s:1.2"],
    requires=["audit:log"],
)
def test_requests_are_audited(cluster: Cluster, namespace: str, judge: Judge) -> None:
    protection.audit(cluster, judge, namespace)
