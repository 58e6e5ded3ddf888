"""What the availability suite rests on, against a real control plane of three members."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_k8sha import _clock, apiread, apiwrite, availability
from pytest_k8sha._process import ProcessId
from pytest_k8sha._wait import eventually
from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.errors import ApiError, ImpactRefused, NotEvaluated, TransportError, UsageError
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.kube import manifests
from pytest_k8sha.model import Impact, Run, Verdict
from pytest_k8sha.probes import canary, control_plane, eviction, node_loss
from pytest_k8sha.probes.sample import Outcome
from pytest_k8sha.settings import bundled
from pytest_k8sha.workloads import inventory, spread
from tests.integration import local_clusters

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

GOOD = bundled("fixtures", "workloads", "good.yaml")
TOLERATION = 2


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of three members with the good workloads on it."""
    base = tmp_path_factory.mktemp("three")
    provider = local_clusters.provider_in(base)
    made = local_clusters.make(provider, base, "three", ProcessId.own(), members=3, node_grace=6, toleration=TOLERATION)
    try:
        cluster = Cluster(made.state, provider, run=Run("r-test", "test", 9_999_999_999), private=base)
        cluster.apply(manifests.load([GOOD]))
        yield cluster
    finally:
        provider.delete(made.state)


def ask_who(client: Any) -> dict[str, Any]:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    info: dict[str, Any] = client.request("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", body=body)
    return info["status"]["userInfo"]


def test_each_member_is_dialled_by_itself(three: Cluster) -> None:
    """Three endpoints lead to three servers, told apart by the audit log; the certificate is checked by name."""
    found = control_plane.endpoints(three)
    assert len({endpoint.url for endpoint in found}) == 3
    logs = [three.provider.logs(three.state)[f"audit-{n}"] for n in range(3)]
    for number, endpoint in enumerate(found):
        name = f"dialled-{number}"
        with pytest.raises(ApiError):
            three.client.at(endpoint.url, server_name=control_plane.SERVER_NAME).get(f"/api/v1/namespaces/{name}")
        assert [name in log.read_text() for log in logs] == [n == number for n in range(3)]


def test_a_wrong_server_name_is_refused(three: Cluster) -> None:
    """A server whose certificate does not hold the name is not talked to."""
    endpoint = control_plane.endpoints(three)[0]
    with pytest.raises(TransportError) as caught:
        three.client.at(endpoint.url, server_name="elsewhere.example.com").get("/readyz")
    assert caught.value.kind == "tls"


def test_a_dialled_server_knows_who_asks(three: Cluster) -> None:
    """The identity goes along, and so does an impersonation with several groups, each for itself."""
    url = control_plane.endpoints(three)[1].url
    direct = three.client.at(url, server_name=control_plane.SERVER_NAME)
    assert ask_who(direct) == ask_who(three.client)
    both = three.client.impersonate("jane", ("dev", "ops")).at(url, server_name=control_plane.SERVER_NAME)
    assert ask_who(both)["username"] == "jane"
    assert {"dev", "ops"} <= set(ask_who(both)["groups"])


def test_a_real_server_tells_what_was_left_out(three: Cluster) -> None:
    """The words by which a real server excludes a check are understood."""
    text = three.client.get("/readyz", verbose="true", exclude="etcd")
    health = control_plane.parse_health(text, ok=True)
    assert health.excluded == ("etcd",)
    assert not health.failed
    assert control_plane.ESSENTIAL["/readyz"] <= set(health.said)


def test_the_servers_clock_is_this_machines(three: Cluster) -> None:
    """Here both are one machine; the review gives the time to the second."""
    assert abs(control_plane.server_time(three) - _clock.epoch()) < 2.0


def test_leaders_lead_back_to_members(three: Cluster) -> None:
    """The holder of each Lease is one of the members that run the program."""
    for name, lease in control_plane.leader_leases(three).items():
        assert lease is not None
        member = three.faults.member_of(lease["spec"]["holderIdentity"])
        assert member in three.faults.running(name)
        assert len(three.faults.running(name)) == 3
    assert three.faults.member_of("somebody-else_1234") is None


def test_a_rehearsed_eviction_evicts_nobody(three: Cluster) -> None:
    """Every workload is let through, and the same pods are there afterwards."""
    found = inventory.settled(three, {"shop"})
    before = {pod["metadata"]["uid"] for pod in three.resource("v1", "Pod").list("shop")}
    judge = Judge()
    eviction.rehearse(three, judge, found)
    assert judge.conclude()[0] is Verdict.PASSED
    assert {pod["metadata"]["uid"] for pod in three.resource("v1", "Pod").list("shop")} == before


def test_a_rehearsed_eviction_needs_no_more_than_rehearse(three: Cluster, tmp_path: Path) -> None:
    """Below rehearse it is refused before it is sent; at rehearse it is let through."""
    found = inventory.settled(three, {"shop"})
    for ceiling, allowed in ((Impact.OBSERVE, False), (Impact.REHEARSE, True)):
        guarded = Cluster(three.state, three.provider, run=three.run, private=tmp_path, ceiling=ceiling)
        judge = Judge()
        if allowed:
            eviction.rehearse(guarded, judge, found)
            assert judge.conclude()[0] is Verdict.PASSED
        else:
            with pytest.raises(ImpactRefused):
                eviction.rehearse(guarded, judge, found)


def test_a_broken_pod_that_its_budget_keeps_is_found(three: Cluster) -> None:
    """With IfHealthyBudget two broken pods of three cannot be evicted (429); with AlwaysAllow they can."""
    pods, budgets = three.resource("v1", "Pod"), three.resource("policy/v1", "PodDisruptionBudget")
    inventory.settled(three, {"shop"})
    names = sorted(pod["metadata"]["name"] for pod in pods.list("shop", labels="app=mailer"))[:2]

    def ready(value: str) -> None:
        for name in names:
            conditions = [
                {**c, "status": value if c["type"] in {"Ready", "ContainersReady"} else c["status"]}
                for c in pods.get(name, "shop")["status"]["conditions"]
            ]
            pods.patch(name, {"status": {"conditions": conditions}}, "shop", subresource="status")

    def verdict(policy: str) -> Judge:
        budgets.patch("mailer", {"spec": {"unhealthyPodEvictionPolicy": policy}}, "shop")
        three.snapshot.forget()
        found = inventory.read(three, {"shop"})
        found.workloads = [w for w in found.workloads if w.name == "mailer"]
        judge = Judge()
        eviction.rehearse(three, judge, found)
        return judge

    ready("False")
    try:
        eventually(
            lambda: budgets.get("mailer", "shop")["status"]["currentHealthy"] == 1, what="the budget counts", timeout=20
        )
        blocked = verdict("IfHealthyBudget")
        assert blocked.conclude()[0] is Verdict.FAILED
        assert "broken already" in blocked.findings[0].seen
        assert verdict("AlwaysAllow").conclude()[0] is Verdict.FAILED  # the third is well, and must stay
        assert "broken already" not in verdict("AlwaysAllow").findings[0].seen
    finally:
        ready("True")


def test_young_workloads_are_waited_for(three: Cluster) -> None:
    """What was applied a moment ago is judged with its pods, not without."""
    found = inventory.settled(three, {"shop"})
    assert {str(w) for w in found.scalable} == {
        "Deployment shop/web",
        "Deployment shop/mailer",
        "StatefulSet shop/sessions",
    }
    assert [s.seen for s in spread.placement(found) if not s.ok] == []


def test_pods_leave_a_lost_node_as_the_option_says(three: Cluster) -> None:
    """Pods without tolerations of their own get the cluster's, which the option ``toleration`` sets."""
    pods = three.resource("v1", "Pod").list("shop")
    assert {node_loss.toleration(pod) for pod in pods} == {float(TOLERATION)}


def test_the_canary_passes_the_strictest_pod_security(three: Cluster) -> None:
    """An experiment works in a namespace that enforces `restricted`."""
    namespace = three.create_namespace(labels={"pod-security.kubernetes.io/enforce": "restricted"})
    try:
        assert canary.placed(three, namespace, "canary", near="node-1") == "node-1"
    finally:
        three.delete_namespace(namespace, wait=False)


def test_reads_and_writes_are_probed_through_the_loss_of_a_member(three: Cluster) -> None:
    """While one API server is frozen, a probe of that one sees it down and back again, and writes by the cluster's
    address are read back whenever they succeed; their namespace goes with their probe."""
    frozen = apiread(three, url=control_plane.endpoints(three)[1].url, server_name=control_plane.SERVER_NAME)
    with availability(apiwrite(three), rate=5, timeout=5.0) as write, availability(frozen, rate=5) as read:
        namespaces = [n["metadata"]["name"] for n in three.resource("v1", "Namespace").list()]
        (own,) = [name for name in namespaces if name.startswith("k8sha-probe")]
        with read.fault("kube-apiserver 1 stands still") as mark:
            three.faults.freeze("kube-apiserver", 1)
            mark.injected()
            eventually(lambda: read.outage().failed > 3, timeout=60)
            three.faults.thaw("kube-apiserver", 1)
        read.await_recovery()
        write.await_recovery()
    assert read.outage().outcomes[Outcome.TIMEOUT] > 3
    recovery = read.outage().recovery
    assert recovery
    assert recovery.bounded
    assert write.outage().outcomes[Outcome.OK] > 5
    assert write.outage().outcomes[Outcome.WRONG] == 0
    eventually(lambda: three.resource("v1", "Namespace").find(own) is None, timeout=60)


def test_a_probe_that_writes_needs_the_right(three: Cluster, tmp_path: Path) -> None:
    """Below *exercise* nothing is written, not even by a probe; a rate that is a load of its own is refused."""
    below = Cluster(three.state, three.provider, run=three.run, private=tmp_path, ceiling=Impact.OBSERVE)
    with pytest.raises(NotEvaluated):
        apiwrite(below)
    with pytest.raises(UsageError, match="fewer requests"):
        with availability(apiread(below), rate=500):
            pytest.fail("the block must not begin")
    with availability(apiread(below), rate=20) as probe:
        pass
    assert not probe.outage().failed
