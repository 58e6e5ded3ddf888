"""What a kind cluster can be told, and what kind is told in turn."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha.errors import UsageError
from pytest_k8sha.fleet.spec import from_options
from pytest_k8sha.providers.kind.images import full_name
from pytest_k8sha.providers.kind.options import PROBE_IMAGE, ZONE, KindOptions
from pytest_k8sha.providers.registry import Registry


def parsed(text: str) -> KindOptions:
    registry = Registry()
    order = from_options([text], registry).clusters["east"]
    options = order.provider_options(registry)
    assert isinstance(options, KindOptions)
    return options


def test_the_command_line_is_understood() -> None:
    """Nodes, image, engine and probe image are read; a list of defaults stands for what was not said."""
    options = parsed("east=kind,nodes=3,image=kindest/node:v1.36.3,engine=docker,probe-image=example.org/probe:1")
    assert (options.nodes, options.image, options.engine) == (3, "kindest/node:v1.36.3", "docker")
    assert options.probe_image == "example.org/probe:1"
    assert parsed("east=kind").probe_image == PROBE_IMAGE
    assert parsed("east=kind").image == "", "the node image is kind's own"


def test_an_existing_cluster_is_named_after_the_colon() -> None:
    """``kind:NAME`` is an argument of the provider, with its colon-free name and the uid that raises its ceiling."""
    order = from_options(["east=kind:dev,uid=1234"], Registry()).clusters["east"]
    assert order.argument == "dev"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nodes=0", "greater than or equal to 1"),
        ("engine=lxc", "docker"),
        ("config=/nowhere/kind.yaml", "there is no file"),
        ("node=3", "did you mean 'nodes'"),
    ],
)
def test_what_cannot_be_meant_is_refused(text: str, said: str) -> None:
    """A wrong value is refused before anything is made, with the allowed values or the nearest key."""
    with pytest.raises(UsageError) as error:
        parsed(f"east=kind,{text}")
    assert said in str(error.value)


def test_a_file_and_its_parts_exclude_each_other(tmp_path: Path) -> None:
    """With a configuration file of kind's own, ``nodes`` would be a second, contradictory answer."""
    file = tmp_path / "kind.yaml"
    file.write_text("kind: Cluster\n")
    assert parsed(f"east=kind,config={file}").config == str(file)
    with pytest.raises(UsageError, match="config says what nodes would say"):
        parsed(f"east=kind,config={file},nodes=2")


def test_the_configuration_for_kind() -> None:
    """One control plane, the rest workers, spread over the zones; pods may run on every node."""
    data = json.loads(KindOptions(nodes=4, zones=3).configuration())
    assert [node["role"] for node in data["nodes"]] == ["control-plane", "worker", "worker", "worker"]
    assert [node["labels"][ZONE] for node in data["nodes"]] == ["zone-a", "zone-b", "zone-c", "zone-a"]
    patches = [json.loads(patch) for patch in data["nodes"][0]["kubeadmConfigPatches"]]
    assert {"taints": []} in [patch.get("nodeRegistration") for patch in patches]


def test_a_single_node_is_left_to_kind() -> None:
    """Kind takes the taint from the only node by itself, and fails when it is not there."""
    assert "taints" not in KindOptions(nodes=1).configuration()
    with pytest.raises(UsageError, match="single node"):
        parsed("east=kind,nodes=1,tainted=true")


def test_the_configuration_without_extras() -> None:
    """Without zones and with kubeadm's taint there is nothing but roles, and more patience than kubeadm's own."""
    first, second = json.loads(KindOptions(nodes=2, zones=0, tainted=True).configuration())["nodes"]
    assert second == {"role": "worker"}
    assert json.loads(first.pop("kubeadmConfigPatches")[0])["timeouts"] == {"kubernetesAPICall": "4m0s"}
    assert first == {"role": "control-plane"}


@pytest.mark.parametrize(
    ("given_name", "full"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("busybox:1.36", "docker.io/library/busybox:1.36"),
        ("rancher/netd", "docker.io/rancher/netd:latest"),
        ("localhost/rig/agnhost:1", "localhost/rig/agnhost:1"),
        ("localhost:5000/agnhost", "localhost:5000/agnhost:latest"),
        ("registry.k8s.io/pause:3.10", "registry.k8s.io/pause:3.10"),
        ("index.docker.io/library/busybox", "docker.io/library/busybox:latest"),
        ("example.org/a/b@sha256:" + "0" * 64, "example.org/a/b@sha256:" + "0" * 64),
        ("example.org/a/b:1@sha256:" + "0" * 64, "example.org/a/b@sha256:" + "0" * 64),
    ],
)
def test_images_have_one_full_name(given_name: str, full: str) -> None:
    """An image is looked for under the name that the nodes keep it by."""
    assert full_name(given_name) == full


WORD = st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True)


@given(path=st.lists(WORD, min_size=1, max_size=4), tag=st.one_of(st.just(""), WORD))
def test_full_names_are_stable(path: list[str], tag: str) -> None:
    """A full name is its own full name, begins with a registry and ends with a tag."""
    name = full_name("/".join(path) + (f":{tag}" if tag else ""))
    assert full_name(name) == name
    host, _, rest = name.partition("/")
    assert "." in host or ":" in host or host == "localhost"
    assert ":" in rest
