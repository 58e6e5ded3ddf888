"""Making tenants: a template folder is filled for one tenant and applied; an existing tenant is taken as described.

A template folder holds ``tenant.yaml`` (`TenantFile`) and manifests. In their strings ``${tenant}`` is the tenant's
name. An owner reference without a uid gets that of the namespace or CRD of this name.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pytest_k8sha.errors import ApiError, FileProblem, FileProblems, UsageError
from pytest_k8sha.fleet.spec import Expectations, PersonaOrder, TenantOrder
from pytest_k8sha.kube import manifests
from pytest_k8sha.model import LABEL_RUN
from pytest_k8sha.tenancy import acting
from pytest_k8sha.tenancy.network import policy
from pytest_k8sha.tenancy.tenant import Persona, Tenant

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.kube.resources import Object
    from pytest_k8sha.tenancy.models.base import TenancyModel

TENANT_FILE = "tenant.yaml"


class TenantFile(BaseModel):
    """``tenant.yaml``: who is who in a tenant made from this template."""

    model_config = ConfigDict(extra="forbid")

    namespaces: list[str] = Field(min_length=1, description="the tenant's namespaces, the main one first")
    personas: dict[str, PersonaOrder] = Field(min_length=1, description="role → who")
    expects: Expectations | None = Field(None, description="what the tenant's pods promise")


def prepare(order: TenantOrder) -> tuple[TenantOrder, list[manifests.Manifest]]:
    """The order with its template filled in, and the manifests to apply. Touches no cluster.

    Raises `FileProblems` with every mistake of the template, `UsageError` for an order without people.
    """
    values = {"tenant": order.name}
    objects: list[manifests.Manifest] = []
    files: list[Path] = []
    filled = order
    if order.template:
        described = read(order.template / TENANT_FILE, values)
        filled = order.model_copy(
            update={
                "namespaces": order.namespaces or described.namespaces,
                "personas": {**described.personas, **order.personas},
                "expects": order.expects or described.expects,
            }
        )
        files = [p for p in sorted(order.template.rglob("*.yaml")) if p.name != TENANT_FILE]
    if files or order.overlays:
        objects = manifests.load([*files, *order.overlays], values)
        policy.load([*files, *order.overlays], values=values)  # what the server would refuse, with the line
    if not filled.personas:
        raise UsageError("a tenant without a template needs personas", value=order.name)
    if not filled.namespaces:
        filled = filled.model_copy(update={"namespaces": [order.name]})
    return filled, objects


def read(path: Path, values: dict[str, str]) -> TenantFile:
    """Raises `FileProblems`."""
    problems: list[FileProblem] = []
    try:
        documents = manifests.parse(path.read_text(), str(path), problems)
    except OSError as error:
        raise FileProblems([FileProblem(str(path), 0, "", f"cannot be read ({error.strerror})")]) from error
    if problems or not documents:
        raise FileProblems(problems or [FileProblem(str(path), 0, "", "is empty")])
    data, lines = documents[0]
    try:
        return TenantFile.model_validate(manifests.fill(data, values))
    except ValidationError as error:
        raise FileProblems(
            FileProblem(str(path), manifests.line_of(lines, data, e["loc"]), ".".join(map(str, e["loc"])), e["msg"])
            for e in error.errors()
        ) from error


def describe(cluster: Cluster, order: TenantOrder, model: TenancyModel | None = None) -> Tenant:
    """The tenant that an already filled order describes; no request is sent."""
    namespaces = tuple(order.namespaces or [order.name])
    personas = {role: persona(cluster, role, who, namespaces[0]) for role, who in order.personas.items()}
    return Tenant(cluster, order.name, namespaces, personas, order=order, model=model)


def persona(cluster: Cluster, role: str, who: PersonaOrder, namespace: str, *, impersonated: bool = False) -> Persona:
    """Somebody as described. ``impersonated``: the administrator acts as them, and no credentials are made."""
    connect = None
    if who.kubeconfig:
        connect = partial(acting.by_kubeconfig, cluster, str(who.kubeconfig), who.context)
    elif impersonated:
        connect = partial(acting.by_impersonation, cluster)
    return Persona(
        cluster,
        role,
        user=who.user,
        groups=tuple(who.groups),
        account=who.serviceAccount,
        namespace=namespace if who.serviceAccount else "",
        connect=connect,
    )


def establish(cluster: Cluster, order: TenantOrder, model: TenancyModel | None = None) -> Tenant:
    """Makes a tenant from its template (or takes the existing one) and returns it ready for pods.

    Raises `FileProblems`, `UsageError` for a namespace that exists already and is not this run's (nothing is changed
    then), and `ApiError` for the first object that the cluster refuses.
    """
    filled, objects = prepare(order)
    tenant = describe(cluster, filled, model)
    if objects:
        spaces = [o for o in objects if o["kind"] == "Namespace"]
        theirs = tenant.namespaces if filled.template else ()
        refuse_foreign(cluster, [*(o["metadata"]["name"] for o in spaces), *theirs])
        cluster.apply([o for o in objects if o["kind"] == "CustomResourceDefinition"])
        made = make_namespaces(cluster, spaces)
        for namespace in tenant.namespaces:
            cluster.await_namespace(namespace)
        rest = [o for o in objects if o["kind"] not in {"Namespace", "CustomResourceDefinition"}]
        cluster.apply([_owned(o, made) for o in rest], tenant.namespace)
    return tenant


def make_namespaces(cluster: Cluster, spaces: Iterable[dict[str, Any]]) -> list[Object]:
    """Makes those that are not there yet, by a request that cannot take over what somebody else made in between; takes
    back what it made when one is refused. One of this run's own is applied again."""
    made: list[Object] = []
    for space in spaces:
        name = space["metadata"]["name"]
        if cluster.guard.owns(name):
            made += cluster.apply([space])
            continue
        try:
            made.append(cluster.resource("v1", "Namespace").create(space))
        except ApiError as error:
            for earlier in made:
                cluster.delete_namespace(earlier["metadata"]["name"], wait=False)
            if error.status == 409:
                raise taken("namespace", name) from error
            raise
    return made


def refuse_foreign(cluster: Cluster, names: Iterable[str]) -> None:
    """Raises `UsageError` when one of these namespaces exists and this run did not make it."""
    namespaces = cluster.resource("v1", "Namespace")
    for name in dict.fromkeys(names):
        found = namespaces.find(name)
        if found is not None and (found["metadata"].get("labels") or {}).get(LABEL_RUN) != cluster.run.id:
            raise taken("namespace", name)


def taken(what: str, name: str) -> UsageError:
    return UsageError(
        f"this {what} exists already and is not this run's; nothing was changed",
        value=name,
        remedy="give the tenant another name; take one that exists by `model: existing`; or run `k8sha recover` if an "
        "earlier run left it",
    )


def _owned(manifest: manifests.Manifest, owners: Iterable[Mapping[str, Any]]) -> manifests.Manifest:
    """A manifest whose owners without a uid, which no file can know, are those of their kind and name.

    So what a tenant needs at the cluster scope can belong to its namespace, and goes with it.
    """
    uids = {(o["kind"], o["metadata"]["name"]): o["metadata"]["uid"] for o in owners}
    references = manifest["metadata"].get("ownerReferences") or []
    named = [{"uid": uids.get((r.get("kind"), r.get("name")), ""), **r} for r in references]
    return {**manifest, "metadata": {**manifest["metadata"], "ownerReferences": named}} if named else manifest


def remove(tenant: Tenant) -> None:
    """Deletes the tenant's namespaces that the run made; raises `EnvironmentFailure` when one is stuck."""
    mine = [n for n in tenant.namespaces if tenant.cluster.guard.owns(n)]
    for namespace in mine:
        tenant.cluster.delete_namespace(namespace, wait=False)
    for namespace in mine:
        tenant.cluster.delete_namespace(namespace)
