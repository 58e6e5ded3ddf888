"""Several members: a client of the stable address does not notice, or hardly, that one is lost."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from pytest_k8sha._clock import Deadline
from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import RequestError
from pytest_k8sha.kube.client import Client
from pytest_k8sha.providers.local.control import Control
from tests.integration.local_clusters import Made, client_of

LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"


@pytest.fixture(scope="module")
def three(three_members: Made) -> Made:
    """One cluster with three members."""
    return three_members


@pytest.fixture
def healed(three: Made) -> Iterator[Made]:
    """The same, with all of its members serving before and after."""
    yield three
    three.provider.faults(three.state).heal()
    eventually(lambda: serving(three) == 3, what="three members serve", timeout=30)


def serving(made: Made) -> int:
    return len(Control(made.place).order("status")["serving"])


def failures(client: Client, seconds: float) -> tuple[int, int]:
    """Requests one after the other for a while: how many, and how many of them failed."""
    deadline, count, failed = Deadline(seconds), 0, 0
    while not deadline.passed:
        count += 1
        try:
            client.request("GET", "/api/v1/namespaces/default", timeout=10)
        except RequestError:
            failed += 1
    return count, failed


def test_each_member_is_its_own(three: Made) -> None:
    """Three members have three endpoints, and three identities where the system allows host names of their own."""
    client = client_of(three)

    def addresses() -> set[str]:  # each API server adds its own some moments after it serves
        subsets = client.get("/api/v1/namespaces/default/endpoints/kubernetes")["subsets"]
        return {one["ip"] for subset in subsets for one in subset["addresses"]}

    eventually(addresses, what="three endpoints", timeout=30, accept={"192.0.2.10", "192.0.2.11", "192.0.2.12"}.__eq__)
    leases = [one for one in client.get(LEASES)["items"] if one["metadata"]["name"].startswith("apiserver-")]
    hosts = {one["metadata"]["labels"]["kubernetes.io/hostname"] for one in leases}
    if "members:identity" in three.provider.capabilities(three.state):
        assert hosts == {"three-0", "three-1", "three-2"}
        assert len(leases) == 3


@pytest.mark.parametrize("component", ["kube-apiserver", "etcd"])
def test_one_member_is_killed(healed: Made, component: str) -> None:
    """At most the requests under way fail; with one member less the cluster serves on, and takes writes."""
    client, faults = client_of(healed), healed.provider.faults(healed.state)
    client.get("/api/v1/namespaces/default")
    faults.kill(component, 0)
    _, failed = failures(client, 3.0)
    assert failed <= 2
    eventually(lambda: serving(healed) == 2, what="the member is left out", timeout=10)
    count, failed = failures(client, 1.0)
    assert failed <= 1
    assert count > failed
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "written-"}}
    client.request("POST", "/api/v1/namespaces/default/configmaps", body=body)


def test_one_member_is_frozen(healed: Made) -> None:
    """A member that accepts connections and says nothing is left out within seconds; its clients are let go."""
    client, faults = client_of(healed), healed.provider.faults(healed.state)
    faults.freeze("kube-apiserver", 1)
    eventually(lambda: serving(healed) == 2, what="the member is left out", timeout=10)
    _, failed = failures(client, 1.0)
    assert failed <= 1


def test_leadership_moves(healed: Made) -> None:
    """When the leading controller manager is killed, another member's leads within lease and retry (15 s and 2 s)."""
    client, faults = client_of(healed), healed.provider.faults(healed.state)

    def leader() -> int | None:
        return faults.member_of(client.get(f"{LEASES}/kube-controller-manager")["spec"]["holderIdentity"])

    before = leader()
    if before is None:
        pytest.skip("this system gives programs no host names of their own")
    faults.kill("kube-controller-manager", before)
    eventually(lambda: leader() not in {None, before}, what="another member leads", timeout=30, interval=0.2)
