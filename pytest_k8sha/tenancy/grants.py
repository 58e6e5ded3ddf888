"""Who allowed it: from an authoriser's reason to the binding, the role and the very rule."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import K8shaError
from pytest_k8sha.tenancy.access import Pair, Rule

if TYPE_CHECKING:
    from pytest_k8sha.fleet.cluster import Cluster

_REASON = re.compile(
    r'allowed by (?P<binding>RoleBinding|ClusterRoleBinding) "(?P<name>[^"]+)" of (?P<role>Role|ClusterRole) '
    r'"(?P<rolename>[^"]+)" to (?P<subject>\w+) "(?P<who>[^"]+)"'
)
"""The words of the RBAC authoriser (plugin/pkg/auth/authorizer/rbac/rbac.go, `clusterRoleBindingDescriber`)."""

_API = "rbac.authorization.k8s.io/v1"


def explain(cluster: Cluster, reason: str, pair: Pair | None = None) -> str:
    """The reason, with the rule of the role that matches ``pair`` where it can be found."""
    found = _REASON.search(reason)
    if not found or pair is None:
        return reason
    namespace = found["name"].partition("/")[2] if found["role"] == "Role" else ""  # "BINDING/NAMESPACE"
    try:
        role = cluster.resource(_API, found["role"]).find(found["rolename"], namespace)
    except K8shaError:
        return reason
    for data in (role or {}).get("rules") or []:
        if Rule.of(data).matches(pair):
            return f"{reason}, by the rule {spell(data)}"
    return reason


def remedy(reason: str) -> str:
    """What to change: the rule when the binding is the tenant's own, else the binding."""
    found = _REASON.search(reason)
    if not found:
        return "take the right from whoever the cluster's authoriser gives it to"
    return (
        f'take the rule out of {found["role"]} "{found["rolename"]}", or {found["subject"]} "{found["who"]}" out of '
        f'{found["binding"]} "{found["name"]}"'
    )


def spell(rule: dict[str, Any]) -> str:
    """A rule in one line: ``[get list] on [secrets] of [""]``."""

    def words(key: str) -> str:
        return " ".join(word or '""' for word in rule.get(key) or [])

    names = f" named [{words('resourceNames')}]" if rule.get("resourceNames") else ""
    return f"[{words('verbs')}] on [{words('resources')}] of [{words('apiGroups')}]{names}"
