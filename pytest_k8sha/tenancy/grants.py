"""Who allowed it: from an authoriser's reason to the binding, the role and the very rule."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import K8shaError
from pytest_k8sha.tenancy.access import Pair, Rule

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.model import Finding
    from pytest_k8sha.tenancy.diagnostics import Reader
    from pytest_k8sha.tenancy.tenant import Persona

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


# --- for the diagnostics ---------------------------------------------------------------------------------------------

SUBJECTS = 8
"""Findings that are looked into; those of one grant count once."""
RULES = 12
SECTION = "who allowed this"


def tell(reader: Reader, findings: Iterable[Finding], personas: Iterable[Persona]) -> None:
    """For each failed finding the very binding and its role, down to the rules; and every binding of the personas that
    the findings name, so that what a finding does not say can be found."""
    reader.at = SECTION
    listed = list(findings)
    grants: dict[str, tuple[re.Match[str], Finding]] = {}
    for finding in listed:
        for found in _REASON.finditer(finding.seen):
            grants.setdefault(found[0], (found, finding))
    for found, finding in list(grants.values())[:SUBJECTS]:
        _tell_binding(reader, found, finding)
    if len(grants) > SUBJECTS:
        reader.missing.append(f"{SECTION}: {len(grants) - SUBJECTS} further grants")
    named = [p for p in personas if any(str(p) in f.subject or p.user in f.subject for f in listed)]
    if named:
        _tell_personas(reader, named[:SUBJECTS])


def _tell_binding(reader: Reader, found: re.Match[str], finding: Finding) -> None:
    name, _, namespace = found["name"].partition("/")
    subject = finding.subject if len(finding.subject) <= 160 else finding.subject[:159] + "…"
    reader.tell(SECTION, f"{subject} — {found['subject']} {found['who']} by {found['binding']} {found['name']}")
    try:
        binding = reader.get(_path(found["binding"], name, namespace))
        role = reader.get(_path(found["role"], found["rolename"], namespace))
    except K8shaError as error:
        reader.missing.append(f"{SECTION}: {found['binding']} {found['name']}: {error}")
        return
    reader.tell(SECTION, f"· {found['binding']} {found['name']}: {_origin(binding)}", notable=True)
    reader.tell(SECTION, f"· {found['role']} {found['rolename']}: {_origin(role)}")
    for rule in (role.get("rules") or [])[:RULES]:
        said = spell(rule)
        mark = ", which lets it" if said in finding.seen else ""
        reader.tell(SECTION, f"·· {said}{mark}", notable=bool(mark))


def _tell_personas(reader: Reader, personas: list[Persona]) -> None:
    section = "what else these subjects may"
    bindings = [
        *(reader.list(section, "/apis/rbac.authorization.k8s.io/v1/rolebindings") or []),
        *(reader.list(section, "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings") or []),
    ]
    for persona in personas:
        for binding in bindings:
            if _DEFAULT in (binding["metadata"].get("labels") or {}) or not _binds(binding, persona):
                continue
            meta, ref = binding["metadata"], binding["roleRef"]
            where = f"in {meta['namespace']}" if meta.get("namespace") else "everywhere"
            reader.tell(
                section, f"{persona} {where}: {ref['kind']} {ref['name']} by {meta['name']}; {_origin(binding)}"
            )


_DEFAULT = "kubernetes.io/bootstrapping"
"""The label of what every cluster has from the beginning, such as system:basic-user for everybody."""


def _binds(binding: dict[str, Any], persona: Persona) -> bool:
    for subject in binding.get("subjects") or []:
        kind, name = subject.get("kind"), subject.get("name")
        if (kind == "User" and name == persona.user) or (kind == "Group" and name in persona.groups):
            return True
        if kind == "ServiceAccount" and f"system:serviceaccount:{subject.get('namespace')}:{name}" == persona.user:
            return True
    return False


def _path(kind: str, name: str, namespace: str) -> str:
    where = f"namespaces/{namespace}/" if kind in {"Role", "RoleBinding"} else ""
    return f"/apis/{_API}/{where}{kind.lower()}s/{name}"


def _origin(obj: dict[str, Any]) -> str:
    """When it was made, and by which programs it was written."""
    managers = dict.fromkeys(str(entry.get("manager")) for entry in obj["metadata"].get("managedFields") or [])
    return f"made {obj['metadata'].get('creationTimestamp', '?')}, written by {', '.join(managers) or 'nobody known'}"
