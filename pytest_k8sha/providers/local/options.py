"""What a local cluster can be told: ``--k8sha-cluster east=local,members=3,nodes=9`` or the keys of a fleet file."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from pytest_k8sha.settings import DEFAULT_KUBERNETES

_QUANTITY = re.compile(r"^[0-9]+(\.[0-9]+)?(m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?$")
_VERSION = re.compile(r"^v?(1\.\d+\.\d+)$")
_PLUGIN = re.compile(r"^[A-Z][A-Za-z0-9]+$")
_GATE = re.compile(r"^[A-Z][A-Za-z0-9]+=(true|false)$")
_FLAG = re.compile(r"^[a-z][a-z0-9-]*(=.*)?$")


def _words(value: Any) -> Any:
    """On a command line a list is written ``a+b``, since the comma parts the keys."""
    return [word for word in value.split("+") if word] if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], BeforeValidator(_words)]


def _dashes(name: str) -> str:
    return name.replace("_", "-")


class LocalOptions(BaseModel):
    """The options of one local cluster. Lists are written ``a+b`` on a command line."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=_dashes, populate_by_name=True)

    members: int = Field(1, ge=1, le=5, description="control-plane members, each an etcd and an API server")
    nodes: int = Field(3, ge=0, le=1000, description="simulated nodes (KWOK)")
    zones: int = Field(3, ge=1, le=26, description="zones that the nodes are spread over")
    kubernetes: str = Field("", description=f"Kubernetes version; empty means {DEFAULT_KUBERNETES}")
    cpu: str = Field("8", description="CPU capacity of a node")
    memory: str = Field("16Gi", description="memory capacity of a node")
    pods: int = Field(110, ge=1, le=1000, description="pods that a node takes")
    port: int = Field(0, ge=0, le=65535, description="the port of the stable address; 0 means any free one")
    admission_on: Words = Field((), description="admission plugins on top of those that kubeadm enables")
    admission_off: Words = Field((), description="admission plugins that are switched off")
    authorization: Words = Field(("Node", "RBAC"), description="authorisation modes, in order")
    anonymous_auth: bool = Field(True, description="whether requests without credentials are let in as anonymous")  # noqa: FBT003
    feature_gates: Words = Field((), description="feature gates of every Kubernetes program, as Name=true")
    apiserver_args: Words = Field((), description="further flags of kube-apiserver, without the leading dashes")
    controller_manager_args: Words = Field((), description="further flags of kube-controller-manager")
    etcd_args: Words = Field((), description="further flags of etcd, such as quota-backend-bytes=16777216")
    links: bool = Field(
        False,  # noqa: FBT003
        description="what passes between members goes through forwarders that can cut it and make it slow",
    )
    leader_elect: bool = Field(True, description="leader election of controller managers and schedulers")  # noqa: FBT003
    audit: Literal["none", "silent", "metadata", "request", "requestresponse"] = Field(
        "metadata", description="the level at which every request is logged; silent: a log to which nothing comes"
    )
    encryption: Literal["none", "secretbox", "identity-first"] = Field(
        "none", description="how Secrets lie in etcd; identity-first: in plain text, though a key is configured"
    )
    served: int = Field(0, ge=0, le=5, description="members that the stable address leads to; 0 means all")
    node_grace: int = Field(10, ge=5, le=600, description="seconds without heartbeat before a node is NotReady")
    toleration: int = Field(
        5, ge=0, le=600, description="seconds that pods stay on a lost node unless they say otherwise (upstream: 300)"
    )
    durable: bool = Field(False, description="etcd syncs to the disk; off, since the cluster is thrown away")  # noqa: FBT003
    start_timeout: int = Field(120, ge=5, le=3600, description="seconds that the start may take")

    @property
    def version(self) -> str:
        """The Kubernetes version without the leading v."""
        return self.kubernetes or DEFAULT_KUBERNETES

    @field_validator("kubernetes")
    @classmethod
    def _is_version(cls, value: str) -> str:
        if not value:
            return value
        match = _VERSION.match(value)
        if not match:
            raise ValueError(f"{value!r} is no version; write it as {DEFAULT_KUBERNETES}")
        return match[1]

    @field_validator("cpu", "memory")
    @classmethod
    def _is_quantity(cls, value: str) -> str:
        if not _QUANTITY.match(value):
            raise ValueError(f"{value!r} is no quantity; write it as 8, 500m or 16Gi")
        return value

    @field_validator("admission_on", "admission_off", "authorization")
    @classmethod
    def _are_plugins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _all_match(value, _PLUGIN, "a name such as PodSecurity")

    @field_validator("feature_gates")
    @classmethod
    def _are_gates(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _all_match(value, _GATE, "Name=true or Name=false")

    @field_validator("apiserver_args", "controller_manager_args", "etcd_args")
    @classmethod
    def _are_flags(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return _all_match(tuple(word.removeprefix("--") for word in value), _FLAG, "flag=value")

    @model_validator(mode="after")
    def _on_or_off(self) -> LocalOptions:
        both = set(self.admission_on) & set(self.admission_off)
        if both:
            raise ValueError(f"both on and off: {', '.join(sorted(both))}")
        return self


def _all_match(words: tuple[str, ...], pattern: re.Pattern[str], like: str) -> tuple[str, ...]:
    wrong = [word for word in words if not pattern.match(word)]
    if wrong:
        raise ValueError(f"{', '.join(map(repr, wrong))}: write {like}")
    return words
