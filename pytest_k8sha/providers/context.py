"""The `context` provider: a cluster that somebody else runs, by its kubeconfig context. Read-only unless allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from pytest_k8sha.kube import kubeconfig
from pytest_k8sha.model import Impact
from pytest_k8sha.providers.base import ClusterState

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_k8sha.kube.etcd import EtcdAccess
    from pytest_k8sha.providers.base import Faults, Issuer, Listener, Request, Storage


class ContextOptions(BaseModel):
    """Keys of ``--k8sha-cluster NAME=context[:CONTEXT],…``."""

    model_config = ConfigDict(extra="forbid")

    kubeconfig: str | None = Field(None, description="the kubeconfig file (default: KUBECONFIG, then ~/.kube/config)")
    uid: str | None = Field(
        None, description="the uid of the cluster's kube-system namespace; needed for a ceiling above rehearse"
    )


class ContextProvider:
    """Uses a cluster and never creates or deletes one."""

    name = "context"
    options: type[BaseModel] = ContextOptions

    def create(self, request: Request) -> ClusterState:
        """Resolves the context; no request is sent. Raises `UsageError` when the kubeconfig has no such context."""
        options = request.options
        assert isinstance(options, ContextOptions)  # noqa: S101 - the registry pairs provider and options
        chosen = kubeconfig.load(options.kubeconfig, request.argument)
        state = ClusterState(
            name=request.name,
            provider=self.name,
            place=str(request.place),
            kubeconfig=options.kubeconfig or "",
            context=chosen.name,
            made=False,
            ceiling=Impact.OBSERVE,
            options=options.model_dump(),
        )
        state.save()
        return state

    def delete(self, state: ClusterState) -> None:
        """Does nothing: the cluster is not ours."""

    def alive(self, state: ClusterState) -> bool:  # noqa: ARG002 - part of the Protocol
        return True

    def capabilities(self, state: ClusterState) -> Mapping[str, str]:  # noqa: ARG002
        return {}

    def logs(self, state: ClusterState) -> Mapping[str, Path]:  # noqa: ARG002
        return {}

    def faults(self, state: ClusterState) -> Faults | None:  # noqa: ARG002
        return None

    def storage(self, state: ClusterState) -> Storage | None:  # noqa: ARG002 - part of the Protocol
        return None

    def dial(self, state: ClusterState, address: str, port: int) -> tuple[str, int]:  # noqa: ARG002
        return address, port

    def issuer(self, state: ClusterState) -> Issuer | None:  # noqa: ARG002
        return None

    def etcd(self, state: ClusterState) -> EtcdAccess | None:  # noqa: ARG002
        return None

    def listeners(self, state: ClusterState) -> tuple[Listener, ...]:  # noqa: ARG002
        return ()
