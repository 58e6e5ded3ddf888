"""The options of a local cluster: everything wrong is said at once, and what is right means what it says."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pytest_k8sha.providers.local import commands, layout
from pytest_k8sha.providers.local.nodes import manifest, pod_range
from pytest_k8sha.providers.local.options import LocalOptions
from pytest_k8sha.settings import DEFAULT_KUBERNETES


def test_every_mistake_is_reported() -> None:
    """Five wrong keys give five errors, each at its key."""
    wrong = {"members": "6", "nodes": "-1", "kubernetes": "latest", "memory": "lots", "colour": "red"}
    with pytest.raises(ValidationError) as caught:
        LocalOptions.model_validate(wrong)
    assert {error["loc"][0] for error in caught.value.errors()} == set(wrong)


@pytest.mark.parametrize("key", ["leader-elect", "leader_elect"])
def test_both_spellings_of_a_key(key: str) -> None:
    """A key may be written with dashes, as on a command line, or with underscores, as in a file."""
    assert LocalOptions.model_validate({key: "false"}).leader_elect is False


def test_lists_on_a_command_line() -> None:
    """A list is written with plus signs, and a flag with or without its dashes."""
    options = LocalOptions.model_validate({"admission-off": "PodSecurity+LimitRanger", "apiserver-args": "--v=4+quiet"})
    assert options.admission_off == ("PodSecurity", "LimitRanger")
    assert options.apiserver_args == ("v=4", "quiet")


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"admission_on": "podsecurity"}, "PodSecurity"),
        ({"feature_gates": "Gate"}, "Name=true"),
        ({"apiserver_args": "UPPER=1"}, "flag=value"),
        ({"admission_on": "PodSecurity", "admission_off": "PodSecurity"}, "both on and off"),
        ({"audit": "loud"}, "requestresponse"),
    ],
)
def test_the_error_says_what_is_right(wrong: dict[str, str], why: str) -> None:
    """The message of a wrong value shows how a right one looks."""
    with pytest.raises(ValidationError, match=why):
        LocalOptions.model_validate(wrong)


def test_the_version() -> None:
    """A version may carry its v; none means the project's default."""
    assert LocalOptions().version == DEFAULT_KUBERNETES
    assert LocalOptions(kubernetes="v1.37.2").version == "1.37.2"


@given(st.integers(1, 5), st.integers(1, 12), st.integers(1, 26))
def test_ports_and_zones(members: int, nodes: int, zones: int) -> None:
    """Every port is used once, every member has an address of its own, and the zones differ by one node at most."""
    given_ports = list(range(layout.ports_needed(members)))
    plan = layout.Layout.of("east", Path("/x"), members, given_ports)
    used = [plan.stable]
    for member in plan.members:
        used += [member.etcd_client, member.etcd_peer, member.controller_manager, member.scheduler]
        used += [member.api] if members > 1 else []
    assert sorted(used) == given_ports
    assert len({member.advertised for member in plan.members}) == members
    options = LocalOptions(members=members, nodes=nodes, zones=zones)
    labels = [manifest(index, options, "1.36.3")["metadata"]["labels"] for index in range(nodes)]
    counts = [sum(label["topology.kubernetes.io/zone"] == zone for label in labels) for zone in _zones(labels)]
    assert len(counts) == min(nodes, zones)
    assert max(counts) - min(counts) <= 1


def _zones(labels: list[dict[str, str]]) -> set[str]:
    return {label["topology.kubernetes.io/zone"] for label in labels}


def test_pod_ranges_do_not_overlap() -> None:
    """A thousand nodes have a thousand ranges."""
    assert len({pod_range(index) for index in range(1000)}) == 1000


def test_switches_reach_the_command_lines(tmp_path: Path) -> None:
    """What a mutant switches is in the flags, and what the user adds comes last."""
    from pytest_k8sha.providers.local import certs

    options = LocalOptions.model_validate(
        {
            "leader-elect": "false",
            "admission-on": "AlwaysPullImages",
            "admission-off": "NodeRestriction+PodSecurity",
            "authorization": "AlwaysAllow",
            "anonymous-auth": "false",
            "audit": "none",
            "durable": "true",
            "apiserver-args": "v=7",
        }
    )
    plan = layout.Layout.of("east", tmp_path, 1, list(range(1, 6)))
    plan.prepare()
    certs.create(plan.pki, ("192.0.2.10",))
    programs = {name: Path("/bin") / name for name in commands.PROGRAMS}
    found = {c.name: c for c in commands.all_of(plan, options, programs, tmp_path)}
    server = found["kube-apiserver-0"].argv
    assert "--enable-admission-plugins=AlwaysPullImages" in server
    assert "--disable-admission-plugins=NodeRestriction,PodSecurity" in server
    assert "--authorization-mode=AlwaysAllow" in server
    assert "--anonymous-auth=false" in server
    assert not [word for word in server if word.startswith("--audit")]
    assert "--v=7" in server
    assert "--leader-elect=false" in found["kube-controller-manager-0"].argv
    assert not [word for word in found["etcd-0"].argv if "fsync" in word]
