"""A tenant and its personas: the people and programs that act in its name, each with real credentials."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import NotEvaluated
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy import acting

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.fleet.spec import Expectations, TenantOrder
    from pytest_k8sha.kube.client import Client
    from pytest_k8sha.kube.resources import Object, Resource
    from pytest_k8sha.tenancy.models.base import TenancyModel


class Persona:
    """Somebody of a tenant: a user with groups, a service account, or whoever ``connect`` logs in as.

    ``user`` and ``groups`` are what the API server's authoriser sees, the groups that it adds itself included; where
    only the server knows them, it is asked once.
    """

    def __init__(
        self,
        cluster: Cluster,
        role: str,
        *,
        user: str = "",
        groups: tuple[str, ...] = (),
        account: str = "",
        namespace: str = "",
        connect: Callable[[Persona], Client] | None = None,
    ) -> None:
        self.cluster = cluster
        self.role = role
        self.account = account
        self.namespace = namespace
        self._user = user
        self._own_groups = groups
        self._connect = connect

    def __str__(self) -> str:
        return f"{self.role} ({self.user})"

    @cached_property
    def user(self) -> str:
        if self.account:
            return f"system:serviceaccount:{self.namespace}:{self.account}"
        return self._user or self._seen[0]

    @cached_property
    def groups(self) -> tuple[str, ...]:
        if self.account:
            return ("system:serviceaccounts", f"system:serviceaccounts:{self.namespace}", "system:authenticated")
        return (*self._own_groups, "system:authenticated") if self._user else self._seen[1]

    @cached_property
    def _seen(self) -> tuple[str, tuple[str, ...]]:
        """Who the server takes the credentials for."""
        return acting.whoami(self.client)

    @cached_property
    def client(self) -> Client:
        """A client with this persona's own credentials: a client certificate, a service account token, those of a
        kubeconfig; or the administrator's, who impersonates."""
        if self._connect:
            return self._connect(self)
        if self.account:
            return self.cluster.service_account(self.account, self.namespace)
        return self.cluster.user(self.user, self._own_groups)

    def resource(self, api_version: str, kind: str) -> Resource:
        """The operations on one kind, as this persona."""
        return self.client.resource(api_version, kind)

    def request(self, verb: str, obj: Mapping[str, Any], **query: Any) -> Any:
        """One request of the Kubernetes verb (get, list, watch, create, update, patch, delete, deletecollection) on an
        object, sent as this persona. A watch ends with its first event, or after a second without one. Raises
        `ApiError` and `TransportError`."""
        meta = obj["metadata"]
        kind = self.client.discovery.find(obj["apiVersion"], obj["kind"])
        collection = kind.path(meta.get("namespace", ""))
        one = kind.path(meta.get("namespace", ""), meta.get("name", ""))
        match verb:
            case "get":
                return self.client.request("GET", one, query=query)
            case "list":
                return self.client.request("GET", collection, query={"limit": 1, **query})
            case "watch":
                watching = {"watch": "true", "timeoutSeconds": 1, "resourceVersion": "0", **query}
                return next(self.client.stream(collection, query=watching, timeout=5.0), None)
            case "create":
                return self.client.request("POST", collection, query=query, body=dict(obj))
            case "update":
                return self.client.request("PUT", one, query=query, body=dict(obj))
            case "patch":
                return self.client.request("PATCH", one, query=query, body={"metadata": {}})
            case "delete":
                return self.client.request("DELETE", one, query=query)
            case "deletecollection":
                return self.client.request("DELETE", collection, query=query)
        raise NotEvaluated("unknown verb", value=verb)

    def review(
        self, verb: str, *, group: str = "", resource: str, subresource: str = "", namespace: str = "", name: str = ""
    ) -> Object:
        """The body of a SubjectAccessReview for this persona, user **and** groups."""
        attributes = {
            "verb": verb,
            "group": group,
            "resource": resource,
            "subresource": subresource,
            "namespace": namespace,
            "name": name,
        }
        return {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {
                "user": self.user,
                "groups": list(self.groups),
                "resourceAttributes": {k: v for k, v in attributes.items() if v},
            },
        }

    def may(
        self, verb: str, *, group: str = "", resource: str, subresource: str = "", namespace: str = "", name: str = ""
    ) -> tuple[bool, str]:
        """What the cluster's authorisers say, and their reason: ``RBAC: allowed by RoleBinding …``."""
        body = self.review(
            verb, group=group, resource=resource, subresource=subresource, namespace=namespace, name=name
        )
        answer = self.cluster.client.request("POST", "/apis/authorization.k8s.io/v1/subjectaccessreviews", body=body)
        status = answer["status"]
        return bool(status.get("allowed")), str(status.get("reason") or status.get("evaluationError") or "")


class Tenant:
    """A tenant of one cluster. ``namespaces[0]`` is where its objects go unless told otherwise."""

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        namespaces: tuple[str, ...],
        personas: Mapping[str, Persona],
        *,
        order: TenantOrder | None = None,
        model: TenancyModel | None = None,
    ) -> None:
        self.cluster = cluster
        self.name = name
        self.namespaces = namespaces
        self.personas = dict(personas)
        self.order = order
        """How the tenant was ordered, its template filled in."""
        self.model = model
        """How it came to be, and how another one is made; None for a tenant that no model answers for."""

    def __repr__(self) -> str:
        return f"<Tenant {self.name} on {self.cluster.name}: {', '.join(self.namespaces)}>"

    def __str__(self) -> str:
        return f"tenant {self.name}"

    @property
    def namespace(self) -> str:
        return self.namespaces[0]

    def persona(self, role: str) -> Persona:
        """Raises `NotEvaluated` when the tenant has nobody in that role."""
        try:
            return self.personas[role]
        except KeyError:
            raise NotEvaluated(f"tenant {self.name} has no {role}", value=role, allowed=self.personas) from None

    @property
    def expects(self) -> Expectations:
        """What the tenant's pods promise; an empty promise where nothing was said."""
        from pytest_k8sha.fleet.spec import Expectations

        return (self.order.expects if self.order else None) or Expectations()

    @property
    def promises(self) -> frozenset[str]:
        """What isolation is promised, in words of `pytest_k8sha.tenancy.models.base.PROMISES`; all where none is."""
        from pytest_k8sha.tenancy.models.base import PROMISES

        return frozenset((self.order.promises if self.order else None) or PROMISES)

    @property
    def owned(self) -> bool:
        """Whether this run made the tenant, so that checks may put objects into it."""
        return all(self.cluster.guard.owns(namespace) for namespace in self.namespaces)

    @property
    def admin(self) -> Persona:
        return self.persona("admin")

    @property
    def developer(self) -> Persona:
        return self.persona("developer")

    @property
    def viewer(self) -> Persona:
        return self.persona("viewer")

    @property
    def workload(self) -> Persona:
        """The service account that the tenant's pods run as."""
        return self.persona("workload")

    def create_secret(self, value: str, *, name: str = "") -> Object:
        """A secret in the tenant's namespace, made by the cluster's administrator."""
        self.cluster.run.secrets.add(value)
        body = {"metadata": {"name": name or nonce("secret")}, "stringData": {"value": value}}
        return self.cluster.resource("v1", "Secret").create(body, self.namespace)
