"""A tenant is an object of the API (``multitenancy.example.com/v1`` Tenant, see fixtures/crds/tenant.yaml), and a
controller makes what belongs to it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import ApiError, EnvironmentFailure, FileProblem, FileProblems, NotEvaluated, WaitTimeout
from pytest_k8sha.model import nonce
from pytest_k8sha.settings import bundled
from pytest_k8sha.tenancy import template
from pytest_k8sha.tenancy.models.base import PROMISES, promised

if TYPE_CHECKING:
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.fleet.spec import TenantOrder
    from pytest_k8sha.kube.resources import Object, Resource
    from pytest_k8sha.tenancy.tenant import Tenant

GROUP = "multitenancy.example.com"
API = f"{GROUP}/v1"
KIND = "Tenant"
OWNER = f"{GROUP}/tenant"
"""The label by which a namespace says whose it is."""


class TenantCrdOptions(BaseModel):
    """Keys of a tenant with ``model: tenant-crd``."""

    model_config = ConfigDict(extra="forbid")

    deadline: float = Field(60.0, gt=0, description="seconds for the controller to report a tenant ready")


class TenantCrdModel:
    """See `pytest_k8sha.tenancy.models.base.TenancyModel`. The template holds the Tenant object; the cluster has the
    CustomResourceDefinition, and a controller for it."""

    name = "tenant-crd"
    options: type[BaseModel] = TenantCrdOptions
    promises = frozenset(PROMISES)
    argument = "template"
    several = 2

    @property
    def default(self) -> str:
        return str(bundled("fixtures", "tenants", "tenant-crd"))

    def prepare(self, order: TenantOrder) -> list[TenantOrder]:
        update: dict[str, Any] = {} if order.name else {"name": nonce("tenant")}
        if order.template is None:
            update["template"] = bundled("fixtures", "tenants", "tenant-crd")
        filled, objects = template.prepare(order.model_copy(update=update))
        spec = self._object(filled, objects)["spec"]
        made = set(self.promises)
        if not (spec.get("networking") or {}).get("isolation", True):
            made.remove("network")
        if not spec.get("quota"):
            made.remove("quota")
        if (spec.get("security") or {}).get("podSecurity") == "privileged":
            made.remove("pod-security")
        return [filled.model_copy(update={"promises": promised(filled, made)})]

    def create(self, cluster: Cluster, order: TenantOrder) -> Tenant:
        options = TenantCrdOptions.model_validate(order.keys)
        filled, objects = template.prepare(order)
        body = self._object(filled, objects)
        tenants = self._resource(cluster)
        if tenants.find(order.name) is not None:
            raise template.taken(KIND, order.name)
        template.refuse_foreign(cluster, order.namespaces)
        # The controller makes them for us, so they are in the journal before the controller hears of it.
        cluster.announce_namespaces(order.namespaces)
        try:
            tenants.create(body)
        except ApiError as error:
            if error.status == 409:
                raise template.taken(KIND, order.name) from error
            raise
        self._await_ready(tenants, order.name, options.deadline)
        for namespace in order.namespaces:
            cluster.claim_namespace(namespace)
            cluster.await_namespace(namespace)
        cluster.apply([o for o in objects if o is not body], order.namespaces[0])
        return self.describe(cluster, filled)

    def describe(self, cluster: Cluster, order: TenantOrder) -> Tenant:
        return template.describe(cluster, order, self)

    def delete(self, tenant: Tenant) -> None:
        try:
            self._resource(tenant.cluster).delete(tenant.name)
        except ApiError as error:
            if error.status != 404:
                raise

    def _resource(self, cluster: Cluster) -> Resource:
        cluster.client.discovery.forget()  # the kind may have come with the manifests of `apply`
        try:
            return cluster.resource(API, KIND)
        except NotEvaluated as error:
            raise EnvironmentFailure(
                f"cluster {cluster.name} has no {API} {KIND}",
                remedy="apply fixtures/crds/tenant.yaml and run a controller for it; see docs/tenancy-models.md",
            ) from error

    @staticmethod
    def _object(order: TenantOrder, objects: list[Object]) -> Object:
        """The Tenant of the template, which must be the only one, and must agree with ``tenant.yaml``."""
        found = [o for o in objects if o["kind"] == KIND and o["apiVersion"].startswith(f"{GROUP}/")]
        where = str(order.template)
        problems = []
        if len(found) != 1 or found[0]["metadata"].get("name") != order.name:
            problems.append(FileProblem(where, 0, "", f"one {API} {KIND} named ${{tenant}} is expected"))
        elif not isinstance(found[0].get("spec"), dict):
            problems.append(FileProblem(where, 0, "spec", f"the {KIND} has none"))
        elif found[0]["spec"].get("namespaces") != order.namespaces:
            named = found[0]["spec"].get("namespaces")
            said = f"the {KIND} names {named}, and tenant.yaml {order.namespaces}"
            problems.append(FileProblem(where, 0, "spec.namespaces", said))
        if any(o["kind"] == "Namespace" for o in objects):
            problems.append(FileProblem(where, 0, "", "the controller makes the namespaces; leave them out"))
        if problems:
            raise FileProblems(problems)
        return found[0]

    @staticmethod
    def _await_ready(tenants: Resource, name: str, deadline: float) -> None:
        def phase() -> Object:
            found = tenants.get(name)
            return {**(found.get("status") or {}), "generation": found["metadata"].get("generation")}

        def settled(seen: Object) -> bool:
            ready = seen.get("phase") == "Ready" and seen.get("observedGeneration") == seen["generation"]
            return ready or seen.get("phase") == "Failed"

        try:
            seen = eventually(
                phase,
                what=f"tenant {name} is reported ready",
                timeout=deadline,
                interval=0.05,
                accept=settled,
                describe=lambda seen: f"phase {seen.get('phase', 'none')}: {messages(seen)}",
            )
        except WaitTimeout as error:
            raise EnvironmentFailure(str(error), remedy="see whether the controller of Tenants runs") from error
        if seen["phase"] == "Failed":
            raise EnvironmentFailure(f"the controller could not make tenant {name}: {messages(seen)}")


def messages(status: Object) -> str:
    """What the conditions of a status say."""
    said = [f"{c.get('type')}={c.get('status')} {c.get('message', '')}" for c in status.get("conditions") or []]
    return "; ".join(said) or "no condition"
