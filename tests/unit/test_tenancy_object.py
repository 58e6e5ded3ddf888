"""Whether policies isolate as a tenant's object says: no way is overlooked that needs a label or a port."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_k8sha.kube import manifests
from pytest_k8sha.settings import bundled
from pytest_k8sha.tenancy.network import places, policy
from pytest_k8sha.tenancy.tenant_object import OUTSIDE, _looks, _open, _pod, _ports

NAMESPACES = {name: {"kubernetes.io/metadata.name": name} for name in ("acme", "other", "kube-system")}
GOOD = manifests.load([bundled("fixtures", "tenants", "good") / "network.yaml"], {"tenant": "acme"})


def ways(*more: dict[str, Any], without: str = "") -> list[str]:
    """What is open between the tenant and everybody else, by the good policies and these specs."""
    objects = [o for o in GOOD if o["metadata"]["name"] != without]
    meta = {"name": "more", "namespace": "acme"}
    objects += [{"apiVersion": policy.API_VERSION, "kind": "NetworkPolicy", "metadata": meta, "spec": s} for s in more]
    found = [policy.of(obj) for obj in objects]
    strangers: list[places.Place] = [places.Address(OUTSIDE)]
    looks = _looks(found)
    strangers += [_pod(n, NAMESPACES[n], look, 2) for n in ("other", "kube-system") for look in looks]
    return _open(found, strangers, [_pod("acme", NAMESPACES["acme"], look) for look in looks], _ports(found))


def test_the_good_policies_leave_nothing_open() -> None:
    """But for the name server, which is asked for."""
    assert ways() == []
    assert any("→ kube-system" in way for way in ways({"podSelector": {}, "egress": [{}]}))


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"podSelector": {}, "ingress": [{"from": [{"namespaceSelector": {}}]}]}, "other → acme TCP 8080"),
        ({"podSelector": {}, "ingress": [{"ports": [{"port": 5432}]}]}, "other → acme TCP 5432"),
        ({"podSelector": {}, "ingress": [{"ports": [{"port": 99, "protocol": "UDP"}]}]}, "other → acme UDP 99"),
        ({"podSelector": {"matchLabels": {"app": "web"}}, "ingress": [{}]}, "acme {'app': 'web'}"),
        (
            {
                "podSelector": {},
                "ingress": [{"from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "spy"}}}]}],
            },
            "other {'app': 'spy'} → acme",
        ),
        (
            {"podSelector": {}, "policyTypes": ["Egress"], "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0"}}]}]},
            f"acme → {OUTSIDE} outside",
        ),
    ],
)
def test_each_hole_is_found(spec: dict[str, Any], said: str) -> None:
    """A rule for every namespace, for one port, for pods with a label on either side, for an address outside."""
    assert any(said in way for way in ways(spec)), ways(spec)


def test_without_a_default_everything_is_open() -> None:
    """Policies that select nobody isolate nobody."""
    found = [policy.of(o) for o in GOOD if o["metadata"]["name"] == "dns"]
    assert _open(found, [places.Address(OUTSIDE)], [_pod("acme", NAMESPACES["acme"], {})], _ports(found))
