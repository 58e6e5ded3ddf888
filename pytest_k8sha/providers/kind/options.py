"""What a kind cluster can be told: ``--k8sha-cluster east=kind,nodes=3,image=…`` or the keys of a fleet file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

PROBE_IMAGE = "registry.k8s.io/e2e-test-images/agnhost:2.63.0"
"""The agnhost of Kubernetes 1.36 (kubernetes/test/utils/image/manifest.go)."""

ZONE = "topology.kubernetes.io/zone"

_PATIENCE = {
    "apiVersion": "kubeadm.k8s.io/v1beta4",
    "kind": "InitConfiguration",
    "timeouts": {"kubernetesAPICall": "4m0s"},
}
"""kubeadm gives an API server one minute for its first write, which is not enough when a machine starts several
clusters at once."""


def _dashes(name: str) -> str:
    return name.replace("_", "-")


class KindOptions(BaseModel):
    """Keys of ``--k8sha-cluster NAME=kind[:EXISTING],…``. With ``:EXISTING`` a cluster of that name is used, and only
    ``uid``, ``engine``, ``probe-image`` and ``pull`` count."""

    model_config = ConfigDict(extra="forbid", frozen=True, alias_generator=_dashes, populate_by_name=True)

    nodes: int = Field(2, ge=1, le=20, description="nodes, of which the first is the control plane")
    zones: int = Field(3, ge=0, le=20, description="zones that the nodes are labelled with; 0 for none")
    tainted: bool = Field(False, description="whether the control plane's node refuses ordinary pods")  # noqa: FBT003
    image: str = Field("", description="the node image (default: kind's own)")
    config: str = Field("", description="a file with kind's own configuration, instead of nodes, zones and tainted")
    engine: Literal["", "docker", "podman", "nerdctl"] = Field(
        "", description="the container engine (default: KIND_EXPERIMENTAL_PROVIDER, else the first that answers)"
    )
    probe_image: str = Field(PROBE_IMAGE, description="the image of the probes that run as pods")
    pull: bool = Field(True, description="whether an image that is nowhere on this machine may be pulled")  # noqa: FBT003
    uid: str | None = Field(
        None, description="the uid of an existing cluster's kube-system namespace; needed for a ceiling above rehearse"
    )
    start_timeout: int = Field(300, ge=30, le=3600, description="seconds that the start may take")

    @field_validator("config")
    @classmethod
    def _exists(cls, value: str) -> str:
        if value and not Path(value).is_file():
            raise ValueError(f"there is no file {value!r}")
        return str(Path(value).absolute()) if value else value

    @model_validator(mode="after")
    def _one_or_the_other(self) -> KindOptions:
        both = self.model_fields_set & {"nodes", "zones", "tainted"} if self.config else set()
        if both:
            raise ValueError(f"config says what {', '.join(sorted(both))} would say: give one of them")
        if self.tainted and self.nodes == 1:
            raise ValueError("a single node cannot refuse ordinary pods: give more nodes, or leave tainted out")
        return self

    def configuration(self) -> str:
        """The configuration that kind reads, for a cluster without a file of its own (JSON is YAML).

        https://kind.sigs.k8s.io/docs/user/configuration/
        """
        nodes: list[dict[str, Any]] = []
        for index in range(self.nodes):
            node: dict[str, Any] = {"role": "worker" if index else "control-plane"}
            if self.zones:
                node["labels"] = {ZONE: f"zone-{chr(ord('a') + index % self.zones)}"}
            nodes.append(node)
        nodes[0]["kubeadmConfigPatches"] = [json.dumps(_PATIENCE)]
        if not self.tainted and self.nodes > 1:  # a single node's taint is removed by kind, which wants to find it
            patch = {"kind": "InitConfiguration", "nodeRegistration": {"taints": []}}
            nodes[0]["kubeadmConfigPatches"].append(json.dumps(patch))
        return json.dumps({"kind": "Cluster", "apiVersion": "kind.x-k8s.io/v1alpha4", "nodes": nodes}, indent=1)
