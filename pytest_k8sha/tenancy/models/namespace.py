"""The default: a tenant is namespaces with roles, quotas, limits and policies in them, made from a template folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha.errors import UsageError
from pytest_k8sha.fleet.spec import NoKeys
from pytest_k8sha.model import nonce
from pytest_k8sha.settings import bundled
from pytest_k8sha.tenancy import template
from pytest_k8sha.tenancy.models.base import PROMISES, promised

if TYPE_CHECKING:
    from pydantic import BaseModel

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.fleet.spec import TenantOrder
    from pytest_k8sha.tenancy.tenant import Tenant


class NamespaceModel:
    """See `pytest_k8sha.tenancy.models.base.TenancyModel`. Without a template the tenant exists already, and is taken
    as its order describes it."""

    name = "namespace"
    options: type[BaseModel] = NoKeys
    promises = frozenset(PROMISES) - {"object"}
    argument = "template"
    several = 2

    @property
    def default(self) -> str:
        return str(bundled("fixtures", "tenants", "good"))

    def prepare(self, order: TenantOrder) -> list[TenantOrder]:
        if not order.name and not order.template:
            raise UsageError("a tenant without a template exists already, and so needs its name")
        named = order if order.name else order.model_copy(update={"name": nonce("tenant")})
        filled, _ = template.prepare(named)
        made = self.promises if filled.template else self.promises - {"lifecycle"}
        return [filled.model_copy(update={"promises": promised(filled, made)})]

    def create(self, cluster: Cluster, order: TenantOrder) -> Tenant:
        return template.establish(cluster, order, self)

    def describe(self, cluster: Cluster, order: TenantOrder) -> Tenant:
        return template.describe(cluster, order, self)

    def delete(self, tenant: Tenant) -> None:
        for namespace in tenant.namespaces:
            if tenant.cluster.guard.owns(namespace):
                tenant.cluster.delete_namespace(namespace, wait=False)
