"""Tenants that somebody else made, by whatever means: a mapping file says who they are and how to act as them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from pytest_k8sha.errors import EnvironmentFailure, UsageError
from pytest_k8sha.tenancy import acting, mapping, template
from pytest_k8sha.tenancy.models.base import PROMISES, promised
from pytest_k8sha.tenancy.tenant import Tenant

if TYPE_CHECKING:
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.fleet.spec import TenantOrder


class ExistingOptions(BaseModel):
    """Keys of a tenant with ``model: existing``."""

    model_config = ConfigDict(extra="forbid")

    mapping: Path | None = Field(
        None, description="a mapping file (`k8sha schema tenants`): all of its tenants, or the one of `name`"
    )


class ExistingModel:
    """See `pytest_k8sha.tenancy.models.base.TenancyModel`. It only reads, and acts as nobody but by impersonation or
    by a kubeconfig, so that it works below any ceiling."""

    name = "existing"
    options: type[BaseModel] = ExistingOptions
    promises = frozenset(PROMISES) - {"lifecycle", "object"}
    argument = "mapping"
    default = ""
    several = 1

    def prepare(self, order: TenantOrder) -> list[TenantOrder]:
        given = ExistingOptions.model_validate(order.keys)
        if order.template or order.overlays:
            raise UsageError("an existing tenant has no template and no overlays", value=order.name or order.template)
        if given.mapping is None:
            if not (order.name and order.personas):
                raise UsageError(
                    "an existing tenant needs a mapping, or name, namespaces and personas of its own",
                    value=order.name or None,
                    remedy="its schema: k8sha schema tenants",
                )
            return [self._filled(order)]
        if order.namespaces or order.personas:
            raise UsageError("namespaces and personas are in the mapping", value=str(given.mapping))
        found = [mapping.order_of(tenant) for tenant in mapping.read(given.mapping)]
        if order.name:
            found = [tenant for tenant in found if tenant.name == order.name]
            if not found:
                names = [tenant.name for tenant in mapping.read(given.mapping)]
                raise UsageError(f"{given.mapping} has no such tenant", value=order.name, allowed=names)
        return [
            self._filled(tenant.model_copy(update={"promises": tenant.promises or order.promises})) for tenant in found
        ]

    def _filled(self, order: TenantOrder) -> TenantOrder:
        return order.model_copy(
            update={"namespaces": order.namespaces or [order.name], "promises": promised(order, self.promises)}
        )

    def create(self, cluster: Cluster, order: TenantOrder) -> Tenant:
        """Proves that the tenant is as described. Raises `EnvironmentFailure` with everything that is not."""
        tenant = self.describe(cluster, order)
        namespaces = cluster.resource("v1", "Namespace")
        problems = [f"there is no namespace {name}" for name in tenant.namespaces if namespaces.find(name) is None]
        problems += filter(None, map(acting.problem, tenant.personas.values()))
        if problems:
            raise EnvironmentFailure(
                f"{tenant} is not as it is described; nothing was changed: {'; '.join(problems)}",
                remedy="correct the mapping, or let the administrator impersonate these users, groups and accounts",
            )
        return tenant

    def describe(self, cluster: Cluster, order: TenantOrder) -> Tenant:
        personas = {
            role: template.persona(cluster, role, who, order.namespaces[0], impersonated=True)
            for role, who in order.personas.items()
        }
        return Tenant(cluster, order.name, tuple(order.namespaces), personas, order=order, model=self)

    def delete(self, tenant: Tenant) -> None:
        raise UsageError("an existing tenant is not deleted", value=tenant.name)
