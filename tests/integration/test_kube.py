"""The client, discovery, resources, watches and snapshots against a real API server."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from pytest_k8sha._clock import Deadline, epoch
from pytest_k8sha._wait import eventually
from pytest_k8sha.checks.denial import attribute
from pytest_k8sha.errors import ApiError, NotEvaluated, TransportError
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.kube.discovery import Discovery
from pytest_k8sha.kube.watch import watch
from pytest_k8sha.model import LABEL_RUN, Run, nonce
from pytest_k8sha.providers.local.provider import LocalProvider

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import KeptCluster


@pytest.fixture(scope="module")
def east(local_cluster: KeptCluster, tmp_path_factory: pytest.TempPathFactory) -> Cluster:
    """The shared local cluster, used as a run uses it."""
    run = Run(id="run-kube", owner="tests", expires=int(epoch()) + 3600)
    provider = LocalProvider(local_cluster.settings)
    return Cluster(local_cluster.state, provider, run=run, private=tmp_path_factory.mktemp("private"))


@pytest.fixture(scope="module")
def space(east: Cluster) -> Iterator[str]:
    """A namespace for this module."""
    name = east.create_namespace("kube")
    yield name
    east.delete_namespace(name, wait=False)


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def test_discovery_reads_the_same_both_ways(east: Cluster) -> None:
    """The aggregated and the legacy way find the same kinds, verbs and subresources."""
    aggregated = {(k.api_version, k.plural): k for k in east.client.discovery.kinds}
    client = east.client
    legacy = Discovery(client)
    found = [*legacy._legacy("/api", client.get("/api")), *legacy._legacy("/apis", client.get("/apis"))]
    assert {(k.api_version, k.plural) for k in found} == set(aggregated)
    for kind in found:
        twin = aggregated[kind.api_version, kind.plural]
        assert (kind.kind, kind.namespaced, kind.verbs) == (twin.kind, twin.namespaced, twin.verbs), kind
        assert kind.subresources == twin.subresources, kind


def test_subresources_are_known(east: Cluster) -> None:
    """Subresources come with their verbs, connecting ones included."""
    pod = east.client.discovery.find("v1", "Pod")
    assert {"exec", "log", "eviction", "ephemeralcontainers", "status"} <= set(pod.subresources)
    assert "create" in pod.subresources["eviction"]


def test_a_kind_that_is_not_offered_is_not_evaluated(east: Cluster) -> None:
    """An absent kind is a reason for *not evaluated*, not an error."""
    with pytest.raises(NotEvaluated, match="does not offer"):
        east.resource("example.com/v1", "Nothing")


def test_strict_validation_finds_a_misspelt_field(east: Cluster, space: str) -> None:
    """A field that the server does not know is refused, by create and by apply."""
    wrong = {**config_map("strict"), "dta": {"a": "b"}}
    with pytest.raises(ApiError, match="dta") as caught:
        east.resource("v1", "ConfigMap").create(wrong, space)
    assert caught.value.status == 400
    with pytest.raises(ApiError, match="dta"):
        east.resource("v1", "ConfigMap").apply(wrong, space)


def test_apply_claims_only_what_it_makes(east: Cluster, space: str) -> None:
    """A new object carries the run's label; one that somebody else made is changed and not claimed."""
    maps = east.resource("v1", "ConfigMap")
    mine = maps.apply(config_map("mine", a="1"), space)
    assert mine["metadata"]["labels"][LABEL_RUN] == east.run.id
    path = f"/api/v1/namespaces/{space}/configmaps"
    import json

    # As bytes the guard does not stamp it: it stands for an object of somebody else.
    east.client.request("POST", path, body=json.dumps(config_map("theirs", a="1")).encode())
    theirs = maps.apply(config_map("theirs", a="2"), space)
    assert theirs["data"] == {"a": "2"}
    assert LABEL_RUN not in theirs["metadata"].get("labels", {})


def test_lists_are_paged_and_typed(east: Cluster, space: str) -> None:
    """More objects than a page holds all come, each with kind and apiVersion."""
    maps = east.resource("v1", "ConfigMap")
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda i: maps.create(config_map(f"page-{i}"), space), range(520)))
    found = [m for m in maps.list(space) if m["metadata"]["name"].startswith("page-")]
    assert len(found) == 520
    assert {(m["kind"], m["apiVersion"]) for m in found} == {("ConfigMap", "v1")}


def test_a_watch_sees_changes(east: Cluster, space: str) -> None:
    """After the first list each change comes as an event."""
    maps = east.resource("v1", "ConfigMap")
    name = nonce("watched")
    seen: list[str] = []

    def change() -> None:
        maps.create(config_map(name), space)
        maps.patch(name, {"data": {"a": "b"}}, space)
        maps.delete(name, space)

    thread = threading.Thread(target=change)
    for event in maps.watch(space, fields=f"metadata.name={name}", timeout=10):
        seen.append(event.type)
        if event.type == "RELISTED":
            thread.start()
        if event.type == "DELETED":
            break
    thread.join()
    assert seen == ["RELISTED", "ADDED", "MODIFIED", "DELETED"]


def test_a_watch_from_an_expired_version_lists_again(east: Cluster, space: str) -> None:
    """410 Gone leads to a new list, not to silence."""
    maps = east.resource("v1", "ConfigMap")
    first = next(iter(watch(maps, space, timeout=10, version="1")))
    assert first.type in {"RELISTED", "ADDED"}


def test_a_watch_ends_with_its_deadline(east: Cluster, space: str) -> None:
    """Without changes a watch ends when its time is over."""
    deadline = Deadline(30)
    events = list(east.resource("v1", "ConfigMap").watch(space, fields="metadata.name=none", timeout=1.2))
    assert [e.type for e in events] == ["RELISTED"]
    assert 1.0 <= deadline.spent < 5


def test_identities_have_real_credentials(east: Cluster, space: str) -> None:
    """A user with a certificate and a service account with a token are who they claim to be."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    user = east.user("alice", ("devs", "night"))
    info = user.request("POST", path, body=review)["status"]["userInfo"]
    assert info["username"] == "alice"
    assert {"devs", "night", "system:authenticated"} <= set(info["groups"])
    account = east.service_account("default", space)
    info = account.request("POST", path, body=review)["status"]["userInfo"]
    assert info["username"] == f"system:serviceaccount:{space}:default"


def test_a_certificate_signed_by_the_cluster(east: Cluster) -> None:
    """Where the provider has no CA at hand, the CertificateSigningRequest way gives the same, and leaves no request."""
    certificate, key = east._signed("bob", ("ops",))
    client = east.client.with_certificate(certificate, key, who="bob")
    with pytest.raises(ApiError) as caught:
        client.get("/api/v1/nodes")
    denial = attribute(caught.value)
    assert denial
    assert (denial.by, denial.name) == ("RBAC", "bob")
    left = east.resource("certificates.k8s.io/v1", "CertificateSigningRequest").list()
    assert [c["metadata"]["name"] for c in left if c["metadata"]["name"].startswith("k8sha-user")] == []


def test_denials_are_attributed_and_errors_are_not(east: Cluster, space: str) -> None:
    """A 403 of RBAC names the user; a 401, a 404 and a 400 are no denials."""
    user = east.user("carol")
    with pytest.raises(ApiError) as caught:
        user.impersonate("dave").get("/api/v1/nodes")
    denial = attribute(caught.value)
    assert denial
    assert denial.by == "RBAC"
    for client, path, limit in [
        (east.client.with_token("wrong", who="nobody"), "/api/v1/nodes", 1),
        (east.client, "/api/v1/namespaces/none-such", 1),
        (east.client, "/api/v1/pods", "x"),
    ]:
        with pytest.raises(ApiError) as caught:
            client.get(path, limit=limit)
        assert attribute(caught.value) is None


def test_many_threads_share_a_client(east: Cluster) -> None:
    """400 reads by 8 threads all succeed, while exec is refused or fails on connections of its own."""
    from pytest_k8sha.kube.execute import execute

    errors: list[BaseException] = []

    def disturb() -> None:
        for _ in range(5):
            try:
                execute(east.client, "none-such", "default", ["true"], timeout=5)
            except (ApiError, TransportError) as error:
                errors.append(error)

    thread = threading.Thread(target=disturb)
    thread.start()
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: east.client.get("/version"), range(400)))
    thread.join()
    assert len({a["gitVersion"] for a in answers}) == 1
    assert len(errors) == 5
    assert all(isinstance(e, ApiError) and e.status == 404 for e in errors), errors


def test_a_snapshot_lists_each_kind_once(east: Cluster, space: str) -> None:
    """The second look costs no request, and `forget` asks again."""
    snapshot = east.snapshot
    snapshot.forget()
    before = snapshot.list("v1", "ConfigMap", space)
    name = nonce("later")
    east.resource("v1", "ConfigMap").create(config_map(name), space)
    assert snapshot.list("v1", "ConfigMap", space) == before
    snapshot.forget()
    assert name in [m["metadata"]["name"] for m in snapshot.list("v1", "ConfigMap", space)]


def test_a_namespace_that_is_not_ours_is_not_deleted(east: Cluster) -> None:
    """Ownership is proved by the server's label before anything is deleted."""
    from pytest_k8sha.errors import UsageError

    with pytest.raises(UsageError, match="not the run's own"):
        east.delete_namespace("kube-system")
    assert east.resource("v1", "Namespace").get("kube-system")["status"]["phase"] == "Active"


def test_a_stuck_namespace_says_what_remains(east: Cluster) -> None:
    """When a finalizer holds a namespace, the message names the kind and the finalizer."""
    name = east.create_namespace("stuck")
    maps = east.resource("v1", "ConfigMap")
    held = config_map("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    maps.create(held, name)
    east.delete_namespace(name, wait=False)
    told = eventually(
        lambda: east.remains(name), what="the namespace tells", timeout=20, accept=lambda t: "example.com" in t
    )
    assert "configmaps" in told
    maps.patch("held", {"metadata": {"finalizers": None}}, name)
    eventually(lambda: east.resource("v1", "Namespace").find(name) is None, timeout=30)
