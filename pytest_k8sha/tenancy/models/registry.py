"""The tenancy models by name. A plugin adds its own through the hook ``pytest_k8sha_tenancy_models``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import FileProblems, UsageError
from pytest_k8sha.fleet.spec import TenantOrder

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.tenancy.models.base import TenancyModel
    from pytest_k8sha.tenancy.tenant import Tenant


DEFAULT = "namespace"
"""The model of tenants that name none."""


class Models:
    """Looks tenancy models up by name, and does for any order what its model does."""

    def __init__(self, extra: Iterable[TenancyModel] = ()) -> None:
        from pytest_k8sha.tenancy.models.base import PROMISES
        from pytest_k8sha.tenancy.models.existing import ExistingModel
        from pytest_k8sha.tenancy.models.namespace import NamespaceModel
        from pytest_k8sha.tenancy.models.tenant_crd import TenantCrdModel

        self._models: dict[str, TenancyModel] = {}
        own: list[TenancyModel] = [NamespaceModel(), TenantCrdModel(), ExistingModel()]
        for model in [*own, *extra]:
            if model.name in self._models:
                raise UsageError("two tenancy models have one name", value=model.name)
            unknown = sorted(model.promises - PROMISES.keys())
            if unknown:
                raise UsageError(
                    f"the tenancy model {model.name} promises what no check asks for",
                    value=", ".join(unknown),
                    allowed=PROMISES,
                )
            self._models[model.name] = model

    def get(self, name: str) -> TenancyModel:
        """Raises `UsageError` with the known names."""
        try:
            return self._models[name]
        except KeyError:
            raise UsageError("unknown tenancy model", value=name, allowed=self._models) from None

    @property
    def names(self) -> list[str]:
        return sorted(self._models)

    def shorthand(self, text: str) -> list[dict[str, Any]]:
        """The tenants that ``MODEL[:ARGUMENT]`` means on the command line. Raises `UsageError`."""
        name, _, argument = text.partition(":")
        model = self.get(name)
        if not (argument or model.default):
            raise UsageError(f"the tenancy model {name} needs its {model.argument}", remedy=f"tenants={name}:FILE")
        return [{"model": name, model.argument: argument or model.default} for _ in range(model.several)]

    def prepare(self, orders: Iterable[TenantOrder]) -> list[TenantOrder]:
        """Every tenant that the orders mean. Raises `FileProblems` with all mistakes of all files, `UsageError` when
        two tenants have one name or one namespace."""
        found: list[TenantOrder] = []
        mistakes = []
        for order in orders:
            try:
                found += self.get(order.model).prepare(order)
            except FileProblems as error:
                mistakes += error.problems
        if mistakes:
            raise FileProblems(dict.fromkeys(mistakes))
        names = [order.name for order in found]
        doubled = [name for name in names if names.count(name) > 1]
        if doubled:
            raise UsageError("two tenants have one name", value=doubled[0])
        spaces = [space for order in found for space in order.namespaces]
        shared = [space for space in spaces if spaces.count(space) > 1]
        if shared:
            raise UsageError("two tenants share a namespace, so that nothing keeps them apart", value=shared[0])
        return found

    def ordinary(self, name: str, overlays: Iterable[Path] = ()) -> TenantOrder:
        """A tenant such as those that are made where none is declared: of the default model and its good template."""
        given = {**self.shorthand(DEFAULT)[0], "name": name, "overlays": list(overlays)}
        (order,) = self.prepare([TenantOrder.model_validate(given)])
        return order

    def create(self, cluster: Cluster, order: TenantOrder) -> Tenant:
        return self.get(order.model).create(cluster, order)

    def describe(self, cluster: Cluster, order: TenantOrder) -> Tenant:
        return self.get(order.model).describe(cluster, order)
