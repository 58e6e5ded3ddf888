"""What a tenancy model is: the Protocol, and the words of what isolation it promises."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from pytest_k8sha.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.fleet.spec import TenantOrder
    from pytest_k8sha.tenancy.tenant import Tenant

PROMISES = {
    "quota": "what a tenant takes from all is bounded",
    "limits": "one container and one volume claim are bounded",
    "network": "pods of different tenants do not reach each other",
    "pod-security": "pods with more privileges than the tenant may have are refused",
    "policies": "pods carry the required labels, and their images come from allowed registries",
    "namespaces": "nobody of a tenant makes, replaces or deletes namespaces",
    "lifecycle": "tenants are made and deleted by the model, whole",
    "object": "an object of the API describes the tenant, and its status is true",
}
"""What a check may ask for by ``promises=[…]``: where a tenant's model does not promise it, the check is *not
evaluated*. That nobody of a tenant acts in another tenant's namespaces is no promise among others: every model makes
it."""


class TenancyModel(Protocol):
    """How tenants of one sort are made. Stateless: everything known about a tenant is in its order and in the cluster.

    An order goes through `prepare` first, which reads files and touches no cluster; `create` and `describe` are given
    what it returned.
    """

    name: str
    options: type[BaseModel]
    """The keys of its own that a tenant in a fleet file may set, with defaults."""
    promises: frozenset[str]
    """Words of `PROMISES`."""
    argument: str
    """The key that is meant by the argument in ``tenants=MODEL:ARGUMENT``."""

    @property
    def default(self) -> str:
        """That argument where none is given; empty when there is none."""

    several: int
    """How many tenants ``tenants=MODEL`` asks for."""

    def prepare(self, order: TenantOrder) -> list[TenantOrder]:
        """The tenants that are meant, each with name, namespaces, personas and promises filled in.

        Raises `FileProblems` with every mistake of every file, `UsageError` for an order that cannot be meant.
        """

    def create(self, cluster: Cluster, order: TenantOrder) -> Tenant:
        """Makes the tenant with its namespaces and users, and returns when pods can run there; a model that makes
        none proves that the tenant is there and that each persona can be acted as.

        Raises `UsageError` for what exists already and is not this run's (nothing is changed then), `ApiError` for
        what the cluster refuses, `EnvironmentFailure` for what it cannot do.
        """

    def describe(self, cluster: Cluster, order: TenantOrder) -> Tenant:
        """The tenant that an order describes; no request is sent."""

    def delete(self, tenant: Tenant) -> None:
        """Asks for the end of the tenant and of all that belongs to it, and does not wait for it."""


def check_promises(words: Iterable[str]) -> None:
    """Raises `UsageError` for a word that is none of `PROMISES`."""
    for word in words:
        if word not in PROMISES:
            raise UsageError("unknown promise of tenancy models", value=word, allowed=PROMISES)


def promised(order: TenantOrder, made: Iterable[str]) -> list[str]:
    """The promises of an order: those that it gives, else those that its model makes. Raises `UsageError` for a word
    that is unknown, or that the model does not promise."""
    known = sorted(made)
    for word in order.promises:
        if word not in known:
            raise UsageError(
                f"tenant {order.name}: the model {order.model} makes no such promise", value=word, allowed=known
            )
    return sorted(order.promises) or known
