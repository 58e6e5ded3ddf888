# ruff: noqa: E501 - a table of cases reads better unbroken
"""A record as a first run leaves it: ``east`` keeps its promises, ``west`` has the handbook's leaking tenant.

``python tests/unit/report_sample.py FOLDER`` writes it, and the report made from it, into a folder.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pytest_k8sha.record.chain import Record

START = "2026-03-02T08:{minute:02d}:{second:02d}.000+00:00"

# id, severity, impact, title
CHECKS = [
    ("TEN-ACC-001", "high", "observe", "A tenant's roles grant nothing outside its own namespaces"),
    ("TEN-ACC-002", "critical", "exercise", "Every request of a tenant to its neighbour's objects is refused"),
    ("TEN-ACC-003", "high", "observe", "No binding of a tenant names system:authenticated or another tenant's group"),
    ("TEN-ACC-004", "critical", "exercise", "A tenant cannot read its neighbour's secrets"),
    ("TEN-ACC-005", "critical", "observe", "A viewer cannot read secrets"),
    ("TEN-ACC-006", "high", "observe", "A developer cannot run commands in pods that mount secrets"),
    ("TEN-ESC-001", "critical", "exercise", "A tenant cannot bind itself to a role with more rights"),
    ("TEN-ESC-002", "critical", "exercise", "A tenant cannot write a role with more rights than its own"),
    ("TEN-ESC-003", "critical", "exercise", "A tenant cannot impersonate users, groups or service accounts"),
    ("TEN-ESC-004", "high", "exercise", "A tenant cannot make tokens for service accounts of others"),
    ("TEN-ESC-005", "high", "observe", "A tenant cannot approve certificate requests"),
    ("TEN-ESC-006", "critical", "observe", "A tenant cannot reach kubelets through nodes/proxy"),
    ("TEN-ESC-007", "high", "observe", "A tenant cannot change admission webhooks"),
    ("TEN-NSP-001", "high", "exercise", "A tenant cannot change the labels of its namespace"),
    ("TEN-NSP-002", "high", "exercise", "A tenant cannot write the status or the finalisers of a namespace"),
    ("TEN-NET-001", "high", "exercise", "A tenant cannot point a Service at its neighbour's pods"),
    ("TEN-QUO-001", "medium", "exercise", "A pod above the quota is refused, by the name of the quota"),
    ("TEN-QUO-002", "medium", "exercise", "The number of objects of each counted kind is limited"),
    ("TEN-QUO-003", "low", "observe", "No quota is used to more than 90 per cent"),
    ("TEN-LIM-001", "medium", "exercise", "A container without requests gets the default ones"),
    ("TEN-LIM-002", "medium", "exercise", "A container above the maximum or below the minimum is refused"),
    ("TEN-POD-001", "critical", "rehearse", "A pod that breaks the baseline standard is refused, whatever field it uses"),
    ("TEN-POD-002", "high", "exercise", "A Deployment cannot start a pod that breaks the standard"),
    ("TEN-ADM-001", "medium", "rehearse", "An object without the required labels is refused on create and update"),
    ("TEN-ADM-002", "high", "rehearse", "An image from another registry is refused"),
    ("TEN-VIS-001", "medium", "observe", "A tenant sees its own namespaces only"),
    ("TEN-LIF-001", "medium", "exercise", "Deleting a tenant leaves nothing of it behind"),
    ("AVL-CTL-001", "critical", "observe", "Every API server answers /readyz with all checks in order"),
    ("AVL-CTL-002", "high", "observe", "Every API server renews its lease"),
    ("AVL-CTL-003", "high", "disrupt", "Another scheduler takes over when its leader is gone"),
    ("AVL-CTL-004", "high", "disrupt", "Another controller manager takes over when its leader is gone"),
    ("AVL-WRK-001", "high", "observe", "Every workload has two replicas or more"),
    ("AVL-WRK-002", "high", "rehearse", "Every workload has a disruption budget that can be kept"),
    ("AVL-WRK-003", "medium", "observe", "Every workload has three probes that are not the same"),
    ("AVL-WRK-004", "medium", "observe", "Every container names an image by a fixed tag or digest"),
    ("AVL-WRK-005", "medium", "observe", "Every container requests CPU and memory"),
    ("AVL-WRK-006", "low", "observe", "Every pod has time to end before it is killed"),
    ("AVL-PLC-001", "high", "observe", "The replicas of a workload are on several nodes and zones"),
    ("AVL-EVC-001", "high", "rehearse", "One pod of each workload can be evicted"),
    ("AVL-NOD-001", "high", "disrupt", "Pods of a lost node are replaced elsewhere in time"),
    ("AVL-NET-001", "medium", "exercise", "A pod reaches a pod on another node"),
]  # fmt: skip

WHY = {
    "TEN-ACC-004": "A secret that the neighbour can read is no secret: database passwords, tokens and keys of one tenant become"
    " those of all.",
    "TEN-ACC-005": "Whoever may only look must not look at credentials. With them a viewer becomes whoever they belong to.",
    "TEN-NET-001": "Who may write endpoints can send the traffic of its own Service, and of an ingress above it, to pods that"
    " no policy lets it reach.",
    "AVL-WRK-002": "Without a budget a drain may stop all replicas at once; with one that cannot be kept no node can be drained.",
}  # fmt: skip
REMEDY = {
    "TEN-ACC-004": "Grant secrets by name (resourceNames), or not at all; let workloads mount them instead.",
    "TEN-ACC-005": "List the resources of the viewer role one by one instead of '*', and leave out secrets.",
    "TEN-NET-001": "Take endpoints and endpointslices out of the role; controllers write them.",
    "AVL-WRK-002": "Add a PodDisruptionBudget with maxUnavailable: 1 whose selector is that of the Deployment.",
}

# What west breaks: subject, what was seen, the rule where it is finer than the title, the remedy where it differs.
BROKEN: dict[str, list[tuple[str, ...]]] = {
    "TEN-ACC-002": [
        (f"{verb} {kind}", f"User blue-viewer may {verb} {kind} in namespace green-shop, by ClusterRoleBinding handbook-viewers")
        for kind in ("secrets", "configmaps", "pods", "pods/log", "services", "endpoints", "events")
        for verb in ("get", "list", "watch", "deletecollection")
    ],
    "TEN-ACC-004": [
        ("Secret green-shop/db", "get as blue-viewer was answered with 200; expected 403 Forbidden by RBAC", "get is refused by RBAC"),
        ("Secret green-shop/*", "list as blue-viewer was answered with 200 and 3 secrets", "list is refused by RBAC"),
        ("Secret green-shop/*", "watch as blue-viewer was opened and sent an ADDED event", "watch is refused by RBAC"),
    ],
    "TEN-ACC-005": [("Role blue-shop/viewer", "apiGroups [\"\"], resources [\"*\"], verbs [get list watch]: this includes secrets")],
    "TEN-ACC-006": [("Role blue-shop/developer", "may create pods/exec; the pods web-0 and web-1 mount Secret blue-shop/db")],
    "TEN-NSP-001": [("Namespace blue-shop", "a merge patch of metadata.labels by blue-admin was answered with 200; the label pod-security.kubernetes.io/enforce is now privileged")],
    "TEN-NET-001": [
        ("EndpointSlice blue-shop/k8sha-4be21c", "blue-admin wrote 10.244.3.17, an address of Pod green-shop/web-7d9f, into its own slice"),
        ("Endpoints blue-shop/<script>alert(1)</script>", "blue-admin wrote the same address"),
    ],
    "TEN-QUO-002": [("ResourceQuota blue-shop/compute", "counts no services.loadbalancers and no persistentvolumeclaims", "", "Add count/… entries to spec.hard.")],
    "TEN-POD-001": [
        (f"Pod with {field}", f"a dry-run create with {field} was accepted in namespace blue-shop, which only warns", "Pod Security baseline", "Label the namespace pod-security.kubernetes.io/enforce=baseline.")
        for field in (
            "hostNetwork", "hostPID", "hostIPC", "hostPath volume", "privileged container", "privileged init container",
            "capability NET_ADMIN", "capability SYS_ADMIN", "procMount Unmasked", "seccomp Unconfined", "sysctl kernel.msgmax",
            "host port 80", "AppArmor unconfined", "SELinux type spc_t",
        )
    ],
    "TEN-POD-002": [("Deployment blue-shop/k8sha-77ae", "2 of 2 privileged pods are running")],
    "TEN-VIS-001": [("User blue-viewer", "lists 11 namespaces; 1 is its own")],
    "AVL-WRK-001": [("Deployment blue-shop/cart", "spec.replicas is 1"), ("StatefulSet blue-shop/db", "spec.replicas is 1")],
    "AVL-WRK-002": [
        ("Deployment blue-shop/web", "no PodDisruptionBudget selects its pods"),
        ("Deployment blue-shop/cart", "PodDisruptionBudget blue-shop/cart has minAvailable 1 with 1 replica: an eviction was answered with 429", "a voluntary eviction is possible", "Raise the replicas, or use maxUnavailable: 1."),
    ],
    "AVL-WRK-003": [("Deployment blue-shop/web, container web", "liveness and readiness are the same request: httpGet /healthz on 8080")],
    "AVL-WRK-004": [("Deployment blue-shop/cart, container cart", "image registry.example.com/cart has no tag")],
    "AVL-PLC-001": [("Deployment blue-shop/web", "3 of 3 replicas on node west-node-2, zone b")],
}  # fmt: skip

OPEN = {
    ("TEN-LIF-001", "west"): "the namespace k8sha-19fd3c02ab was still Terminating after 60.0 s; last seen: 1 Pod with finaliser example.com/hold",
    ("AVL-CTL-003", "west"): "positive control: the scheduler has one member only, so there is nobody to take over; nothing is proved",
    ("TEN-ADM-002", "west"): "zero subjects: there was nothing to look at, and nothing is not a pass",
}  # fmt: skip
LEFT_OUT = {"AVL-NET-001": "requires nodes:real, and the nodes of this cluster are simulated by KWOK"}
MEASURES = {
    "AVL-CTL-003": {"takeover": {"value": 16.84, "unit": "s", "lo": 14.9, "hi": 18.8}},
    "AVL-CTL-004": {"takeover": {"value": 15.2, "unit": "s", "lo": 13.3, "hi": 17.2}},
    "AVL-NOD-001": {
        "NotReady after": {"value": 48.31, "unit": "s", "lo": 47.8, "hi": 48.8},
        "replaced after": {"value": 63.902, "unit": "s", "lo": 63.4, "hi": 64.4},
    },
    "AVL-WRK-001": {"replicas, median": {"value": 2, "unit": ""}},
}


def result(check: tuple[str, str, str, str], cluster: str, n: int) -> dict[str, Any]:
    """The data of one result line."""
    id_, severity, impact, title = check
    findings: list[dict[str, str]] = []
    verdict, reason, passed = "passed", "", 3 + n % 9
    if id_ in LEFT_OUT:
        verdict, reason, passed = "not evaluated", LEFT_OUT[id_], 0
    elif (id_, cluster) in OPEN:
        verdict, reason, passed = "inconclusive", OPEN[id_, cluster], 0
        findings = [
            {"subject": "positive control", "verdict": "inconclusive", "seen": reason, "rule": "", "remedy": ""}
        ]
    elif cluster == "west" and id_ in BROKEN:
        verdict = "failed"
        for item in BROKEN[id_]:
            subject, seen, rule, remedy = (*item, "", "", "")[:4]
            findings.append({"subject": subject, "verdict": "failed", "seen": seen, "rule": rule, "remedy": remedy})
        reason = f"{findings[0]['subject']}: {findings[0]['seen']}"
    data = {
        "check": id_, "title": title, "suite": "tenancy" if id_.startswith("TEN") else "availability",
        "severity": severity, "impact": impact, "controls": ["NIST-800-53r5:AC-3", "CIS-K8s:5.1", "ISO-27001:A.5.15"][: 1 + n % 3],
        "why": WHY.get(id_, "What one tenant can do to another, it will do one day, by mistake or on purpose."),
        "remedy": REMEDY.get(id_, "Compare with the tenant in fixtures/tenants, which passes this check."),
        "cluster": cluster, "nodeid": f"suites/{'tenancy' if id_.startswith('TEN') else 'availability'}/test_{id_[4:7].lower()}.py::test_{id_[4:].lower().replace('-', '_')}[{cluster}]",
        "verdict": verdict, "reason": reason, "duration": round(0.04 + (n * 37 % 100) / 130, 3),
        "started": START.format(minute=n // 60, second=n % 60),
        "findings": findings,
        "subjects": {"passed": passed, "failed": len(findings) if verdict == "failed" else 0, "inconclusive": int(verdict == "inconclusive"), "not evaluated": 0},
        "measures": MEASURES.get(id_, {}),
    }  # fmt: skip
    if id_ == "TEN-POD-002" and verdict == "failed":
        data["diagnostics"] = {
            "events of blue-shop": "8s  Normal   SuccessfulCreate  replicaset/k8sha-77ae  Created pod: k8sha-77ae-x2x9p\n"
            "8s  Warning  FailedScheduling  <none>",
            "pods": [{"name": "k8sha-77ae-x2x9p", "phase": "Running", "node": "west-node-2"}],
        }
    return data


def cluster(name: str, **facts: Any) -> dict[str, Any]:
    """The data of one cluster line."""
    capabilities = {
        "admission:PodSecurity": "probed: a privileged pod was refused by dry run",
        "admission:ValidatingAdmissionPolicy": "admissionregistration.k8s.io/v1 is served",
        "nodes:simulated": "9 nodes carry kwok.x-k8s.io/node",
        "audit": "a canary request reached the audit log",
        "evict": "policy/v1 is served",
    }
    return {
        "name": name, "provider": "local", "version": "v1.36.3", "uid": "", "ceiling": "disrupt", "impact": "disrupt",
        "members": 1, "nodes": 3, "capabilities": capabilities, "made": True, **facts,
    }  # fmt: skip


def write(path: Path, *, ended: bool = True) -> Record:
    """Writes the sample; without its end it looks like a crash."""
    with Record(path) as record:
        argv = [
            "k8sha",
            "run",
            "--k8sha-cluster",
            "east=local,members=3,nodes=9,zones=3",
            "--k8sha-cluster",
            "west=local",
        ]
        record.append(
            "run.start",
            {
                "run": "k8sha-7f3a91c2d0", "owner": "ci", "tool_version": "0.1.0", "python": "3.11.7", "argv": argv,
                "shard": "", "clusters": ["east", "west"],
            },
        )  # fmt: skip
        record.append("cluster", cluster("east", uid="5b0c8a52-6a0e-4f7e-9a58-5d7f6f1f3c11", members=3, nodes=9))
        record.append("cluster", cluster("west", uid="c1d2a7f0-3f6e-4b77-8a0a-0f4e2f9f7a20"))
        n = 0
        for check in CHECKS:
            for name in ("east", "west"):
                record.append("result", result(check, name, n))
                n += 1
        record.append(
            "teardown",
            {
                "what": "Namespace k8sha-19fd3c02ab", "cluster": "west",
                "problem": "still Terminating after 60.0 s: Pod hold has the finaliser example.com/hold",
                "remedy": "remove the finaliser, then run: k8sha recover",
            },
        )  # fmt: skip
        if ended:
            record.append("run.end", {"exitstatus": 1, "totals": {}, "duration": 41.7, "interrupted": False})
    return record


if __name__ == "__main__":
    from pytest_k8sha.reports import make

    folder = Path(sys.argv[1])
    (folder / "record.jsonl").unlink(missing_ok=True)
    write(folder / "record.jsonl")
    sys.stdout.write(f"{make([folder / 'record.jsonl'], folder)}\n")
