"""One cluster as a check uses it."""

from __future__ import annotations

import base64
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_k8sha._wait import eventually
from pytest_k8sha.capabilities.probe import Capabilities, probe
from pytest_k8sha.errors import ApiError, EnvironmentFailure, NotEvaluated, UsageError, WaitTimeout
from pytest_k8sha.fleet.faults import JournalledFaults
from pytest_k8sha.fleet.storage import JournalledStorage
from pytest_k8sha.kube import kubeconfig
from pytest_k8sha.kube.client import Client
from pytest_k8sha.kube.snapshot import Snapshot
from pytest_k8sha.model import Impact, Run, nonce
from pytest_k8sha.safety.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pytest_k8sha.kube.discovery import Kind
    from pytest_k8sha.kube.etcd import Etcd
    from pytest_k8sha.kube.resources import Object, Resource
    from pytest_k8sha.providers.base import ClusterState, Faults, Issuer, Provider, Storage
    from pytest_k8sha.safety.journal import Journal

TOKEN_SPEC = {"expirationSeconds": 3600}

NAMESPACE_DEADLINE = 60.0
"""Seconds for a namespace to be gone."""


class Cluster:
    """A cluster of the fleet, used as its administrator; `user` and `service_account` give other identities.

    Everything is read when first used. ``namespaces`` are those that the run made before this process began.
    """

    def __init__(
        self,
        state: ClusterState,
        provider: Provider,
        *,
        run: Run,
        private: Path,
        journal: Journal | None = None,
        ceiling: Impact | None = None,
    ) -> None:
        self.state = state
        self.provider = provider
        self.run = run
        self._private = private
        self.ceiling = state.ceiling if ceiling is None else ceiling
        # Whose a namespace is may be asked before anything else was: the client is then made for it.
        self.guard = Guard(
            cluster=state.name,
            ceiling=self.ceiling,
            run=run,
            journal=journal,
            look=lambda namespace: self.client.look(namespace),
        )

    @property
    def name(self) -> str:
        return self.state.name

    @property
    def private(self) -> Path:
        """A folder (0700) for keys that must be files."""
        return self._private

    def __repr__(self) -> str:
        return f"<Cluster {self.name}, {self.state.provider}, up to {self.ceiling}>"

    @cached_property
    def client(self) -> Client:
        """The administrator's client. Raises `UsageError` when a raised ceiling is not backed by the right identity."""
        context = kubeconfig.load(self.state.kubeconfig or None, self.state.context or None)
        client = Client(context.connector(self._private), guard=self.guard, private=self._private, who="administrator")
        if not self.state.made and self.ceiling > Impact.REHEARSE:
            # A context's name may point to another cluster tomorrow; its uid does not.
            wanted = self.state.options.get("uid")
            found = client.get("/api/v1/namespaces/kube-system")["metadata"]["uid"]
            if wanted != found:
                raise UsageError(
                    f"cluster {self.name} may be used up to {self.ceiling} only when its identity is given and right",
                    value=wanted,
                    remedy=f"if you mean this very cluster, give uid={found}",
                )
        self.guard.uid = self.state.details.get("uid", "")
        return client

    @cached_property
    def capabilities(self) -> Capabilities:
        """What the cluster can do, probed once."""
        found = probe(self.client, self.provider.capabilities(self.state))
        self.guard.uid = found.uid
        return found

    @cached_property
    def snapshot(self) -> Snapshot:
        """Each kind listed once, for read-only checks."""
        return Snapshot(self.client)

    @property
    def kinds(self) -> list[Kind]:
        """Every resource of the cluster, in the version that the server prefers."""
        return self.client.discovery.preferred

    def resource(self, api_version: str, kind: str) -> Resource:
        return self.client.resource(api_version, kind)

    @cached_property
    def faults(self) -> Faults:
        """The faults that can be injected, each journalled before it is made where the cluster outlives the run.

        Raises `NotEvaluated` where the provider can inject none, or the ceiling is below *disrupt*."""
        faults = self.provider.faults(self.state)
        if faults is None:
            raise NotEvaluated(f"the provider {self.state.provider} of cluster {self.name} injects no faults")
        if self.ceiling < Impact.DISRUPT:
            raise NotEvaluated(f"cluster {self.name} may be used up to {self.ceiling}; faults need disrupt")
        return JournalledFaults(self.name, faults, self.guard.journal) if self.guard.journal else faults

    @cached_property
    def etcd(self) -> Etcd:
        """The members of the cluster's etcd, each asked by itself.

        Raises `NotEvaluated` where the provider cannot reach them."""
        from pytest_k8sha.kube.etcd import Etcd

        access = self.provider.etcd(self.state)
        if access is None:
            raise NotEvaluated(f"the provider {self.state.provider} of cluster {self.name} cannot reach etcd")
        return Etcd(access, self.ceiling)

    @cached_property
    def storage(self) -> Storage:
        """The cluster's etcd, whose data can be replaced; an exchange is journalled as a fault is.

        Raises `NotEvaluated` where the provider cannot, on a cluster that this project did not make, and below the
        ceiling *disrupt*: a restore takes away what was written since the snapshot."""
        find = getattr(self.provider, "storage", None)  # a provider of a plugin may be older than this
        found: Storage | None = find(self.state) if find else None
        if found is None:
            raise NotEvaluated(f"the provider {self.state.provider} of cluster {self.name} replaces no data of etcd")
        if not self.state.made or self.ceiling < Impact.DISRUPT:
            made = "was made by this project" if self.state.made else "was not made by this project"
            raise NotEvaluated(
                f"cluster {self.name} {made} and may be used up to {self.ceiling}; a restore needs a cluster of ours, "
                "up to disrupt"
            )
        return JournalledStorage(self.name, found, self.guard.journal) if self.guard.journal else found

    def user(self, name: str, groups: tuple[str, ...] = ()) -> Client:
        """A client with a real client certificate for the user: by the provider's CA where it has one, else by a
        CertificateSigningRequest; by impersonation where a certificate cannot be had within the ceiling."""
        issuer: Issuer | None = self.provider.issuer(self.state)
        if issuer is not None:
            certificate, key = issuer.issue(name, groups)
            return self.client.with_certificate(certificate, key, who=name)
        if self.ceiling >= Impact.EXERCISE and "can:approve" in self.capabilities.known:
            certificate, key = self._signed(name, groups)
            return self.client.with_certificate(certificate, key, who=name)
        # Users of a real cluster are always in this group; impersonation does not add it.
        return self.client.impersonate(name, (*groups, "system:authenticated"))

    def service_account(self, name: str, namespace: str) -> Client:
        """A client with a real token (one hour) of the service account; by impersonation below *exercise*."""
        who = f"system:serviceaccount:{namespace}:{name}"
        if self.ceiling < Impact.EXERCISE:
            groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated")
            return self.client.impersonate(who, groups)
        answer = self.client.request(
            "POST",
            f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}/token",
            body={
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"expirationSeconds": 3600},
            },
        )
        return self.client.with_token(answer["status"]["token"], who=who)

    def apply(self, manifests: Iterable[Mapping[str, Any]], namespace: str = "") -> list[Object]:
        """Server-side apply, in the given order, each object stamped and journalled; waits for new CRDs and policies.

        Raises `ApiError` for the first object that is refused.
        """
        made = []
        for manifest in manifests:
            try:
                target = self.client.resource(manifest["apiVersion"], manifest["kind"])
            except NotEvaluated:
                # A CRD of the same set may have brought the kind.
                self.client.discovery.forget()
                target = self.client.resource(manifest["apiVersion"], manifest["kind"])
            where = (manifest["metadata"].get("namespace") or namespace) if target.kind.namespaced else ""
            made.append(target.apply(manifest, where))
        self.snapshot.forget()
        return made

    def create_namespace(self, prefix: str = "k8sha", labels: Mapping[str, str] | None = None) -> str:
        """A new namespace of the run, ready for pods (its default service account exists); returns its name."""
        name = nonce(prefix)
        body = {"metadata": {"name": name, "labels": dict(labels or {})}}
        self.resource("v1", "Namespace").create(body)
        self.await_namespace(name)
        return name

    def announce_namespaces(self, names: Iterable[str]) -> None:
        """Journals namespaces that somebody else, such as a controller, is about to make for this run."""
        if self.guard.journal:
            paths = [{"path": f"/api/v1/namespaces/{name}", "kind": "Namespace", "generate": ""} for name in names]
            shared = {"cluster": self.name, "uid": self.guard.uid}
            self.guard.journal.intents("object", [{**shared, **entry} for entry in paths])

    def claim_namespace(self, name: str) -> None:
        """Stamps a namespace that was made for this run, so that every process of the run knows it as its own."""
        self.guard.claim(name)
        self.resource("v1", "Namespace").patch(name, {"metadata": {"labels": self.run.labels}})

    def await_namespace(self, name: str) -> None:
        """Waits until pods can be created there: the controller manager has made the default service account."""
        accounts = self.resource("v1", "ServiceAccount")
        eventually(
            lambda: accounts.get("default", name),
            what=f"the default service account of {name}",
            timeout=120,
            interval=0.05,
        )

    def delete_namespace(self, name: str, *, wait: bool = True) -> None:
        """Deletes a namespace of the run. Raises `EnvironmentFailure` with what remains when it is stuck.

        Refuses a namespace that the run did not create, whatever the ceiling.
        """
        if not self.guard.owns(name):
            raise UsageError("this namespace is not the run's own and will not be deleted", value=name)
        namespaces = self.resource("v1", "Namespace")
        try:
            namespaces.delete(name)
        except ApiError as error:
            if error.status == 404:
                return
            raise
        if not wait:
            return
        try:
            eventually(
                lambda: namespaces.find(name) is None,
                what=f"namespace {name} is gone",
                timeout=NAMESPACE_DEADLINE,
                describe=lambda _: "it is still there",
            )
        except WaitTimeout as error:
            raise EnvironmentFailure(
                f"namespace {name} is stuck after {error.waited:.0f} s: {self.remains(name)}",
                remedy="remove the finalizers named here if their controller is gone",
            ) from error

    def remains(self, namespace: str) -> str:
        """What keeps a namespace from going away, in the words of its conditions."""
        found = self.resource("v1", "Namespace").find(namespace) or {}
        conditions = found.get("status", {}).get("conditions") or []
        told = [c.get("message", "") for c in conditions if c.get("status") == "True"]
        return "; ".join(filter(None, told)) or f"finalizers {found.get('spec', {}).get('finalizers')}"

    def _signed(self, user: str, groups: tuple[str, ...]) -> tuple[str, str]:
        from pytest_k8sha.kube.identity import signing_request

        key, request = signing_request(user, groups)
        csrs = self.resource("certificates.k8s.io/v1", "CertificateSigningRequest")
        spec = {
            "request": base64.b64encode(request.encode()).decode(),
            "signerName": "kubernetes.io/kube-apiserver-client",
            "expirationSeconds": 3600,
            "usages": ["client auth"],
        }
        csr = csrs.create({"metadata": {"name": nonce("k8sha-user")}, "spec": spec})
        name = csr["metadata"]["name"]
        try:
            condition = {"type": "Approved", "status": "True", "reason": "k8sha", "message": f"run {self.run.id}"}
            csrs.replace({**csr, "status": {"conditions": [condition]}}, subresource="approval")
            signed = eventually(
                lambda: csrs.get(name).get("status", {}).get("certificate", ""),
                what=f"the certificate of {user} is signed",
                timeout=60.0,
            )
        finally:
            csrs.delete(name)
        return base64.b64decode(signed).decode(), key
