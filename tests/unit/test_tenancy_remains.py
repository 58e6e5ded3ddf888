"""Whether an object speaks of a tenant: by any text that it says, and by nothing that others noted about it."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_k8sha.fleet.spec import TenantOrder
from pytest_k8sha.tenancy.creation import _pairs
from pytest_k8sha.tenancy.remains import names, words_of
from pytest_k8sha.tenancy.tenant import Persona, Tenant

ACME = Tenant(
    None,  # type: ignore[arg-type]
    "acme",
    ("acme", "acme-dev"),
    {
        "admin": Persona(None, "admin", user="acme-admin", groups=("acme:admins", "staff")),  # type: ignore[arg-type]
        "workload": Persona(None, "workload", account="app", namespace="acme"),  # type: ignore[arg-type]
    },
    order=TenantOrder(name="acme"),
)
WORDS = words_of(ACME)


def test_only_what_is_the_tenant_s_alone_counts() -> None:
    """A group that others share, and everybody's group, would find what is not the tenant's."""
    assert {
        *("acme", "acme-dev", "acme-admin", "acme:admins"),
        *("system:serviceaccount:acme:app", "system:serviceaccounts:acme"),
    } == WORDS


@pytest.mark.parametrize(
    "obj",
    [
        {"subjects": [{"kind": "Group", "name": "acme:admins"}]},
        {"subjects": [{"kind": "ServiceAccount", "name": "app", "namespace": "acme"}]},
        {"spec": {"claimRef": {"namespace": "acme-dev", "name": "data"}}},
        {"webhooks": [{"clientConfig": {"service": {"namespace": "acme", "name": "hook"}}}]},
        {"spec": {"rules": [{"subjects": [{"kind": "Group", "group": {"name": "acme:admins"}}]}]}},
        {"metadata": {"labels": {"tenant": "acme"}}},
    ],
)
def test_objects_of_any_kind_name_the_tenant(obj: dict[str, Any]) -> None:
    """A binding, a volume, a webhook, a flow schema, a label."""
    assert names({"metadata": {}, **obj}, WORDS)


@pytest.mark.parametrize(
    "obj",
    [
        {"subjects": [{"kind": "Group", "name": "staff"}, {"kind": "Group", "name": "system:authenticated"}]},
        {"subjects": [{"kind": "Group", "name": "acme:admins:former"}]},
        {"metadata": {"annotations": {"note": "acme"}, "managedFields": [{"manager": "acme"}]}},
        {"status": {"message": "acme"}},
        {"spec": {"args": ["--tenant=acme"]}},
    ],
)
def test_others_do_not(obj: dict[str, Any]) -> None:
    """Shared groups, longer names, what others noted, and texts in which the name is a part."""
    assert not names({"metadata": {}, **obj}, WORDS)


def test_every_part_of_a_rule_is_asked_for() -> None:
    """Each verb on each resource; a star by something that exists; a name only where the rule has one."""
    rule = {"verbs": ["get", "*"], "apiGroups": ["", "*"], "resources": ["pods/log", "*"], "resourceNames": ["one"]}
    asked = {(p.verb, p.group, p.resource, p.subresource, p.name) for p in _pairs(rule)}
    assert asked == {("get", "", "pods", "log", "one"), ("get", "", "pods", "", "one")}
