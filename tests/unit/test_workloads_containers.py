"""Rules over containers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha.workloads import containers
from tests.unit.workload_sample import bad, inventory, service, thing, verdicts, workload

PORT = {"name": "http", "containerPort": 8080}
ALL = {
    "readinessProbe": {"httpGet": {"path": "/r", "port": "http"}},
    "livenessProbe": {"httpGet": {"path": "/l", "port": "http"}},
    "startupProbe": {"httpGet": {"path": "/l", "port": "http"}},
}


def pod(*given_: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"containers": [{"name": f"c{n}", **one} for n, one in enumerate(given_)], **more}


def test_probes_are_asked_of_the_container_behind_the_service() -> None:
    """Probes of a sidecar do not count, whether the port is given by name or by number, and the message says so."""
    found = workload(pod=pod({"ports": [PORT]}, {"ports": [{"containerPort": 15001}], **ALL}))
    for target in ("http", 8080):
        seen = list(containers.probes(inventory(found, services=[service(ports=[{"port": 80, "targetPort": target}])])))
        assert [(one.subject, one.ok) for one in seen] == [("Deployment shop/web container c0", False)]
        assert "sidecar c1" in seen[0].seen


@pytest.mark.parametrize("absent", list(ALL))
def test_each_kind_of_probe_is_asked_for(absent: str) -> None:
    """Any one of the three that is missing is named, with its field."""
    probes = {name: probe for name, probe in ALL.items() if name != absent}
    (seen,) = containers.probes(inventory(workload(pod=pod({"ports": [PORT], **probes}))))
    assert f"no {absent}" == seen.seen
    assert f"spec.template.spec.containers[name=c0].{absent}" in seen.remedy


def test_without_a_service_the_named_container_counts() -> None:
    """A worker without ports is judged by its default container, else by its first."""
    both = pod({}, ALL)
    assert bad(containers.probes(inventory(workload(pod=both))))
    named = workload(pod=both)
    named.obj["spec"]["template"]["metadata"]["annotations"] = {"kubectl.kubernetes.io/default-container": "c1"}
    assert not bad(containers.probes(inventory(named)))


@pytest.mark.parametrize(
    ("change", "ok"),
    [
        ({}, False),
        ({"failureThreshold": 6}, True),  # as Kubernetes documents: the same question, later
        ({"periodSeconds": 5}, False),
        ({"httpGet": {"path": "/other", "port": "http"}}, True),
        ({"httpGet": {"path": "/r", "port": "http", "scheme": "HTTP"}}, False),  # the default, written out
    ],
)
def test_liveness_and_readiness_differ(change: dict[str, Any], ok: bool) -> None:
    """The same question at the same time is a breach; a slower one is not."""
    probes = {"readinessProbe": ALL["readinessProbe"], "livenessProbe": {**ALL["readinessProbe"], **change}}
    assert [one.ok for one in containers.distinct_probes(inventory(workload(pod=pod(probes))))] == [ok]


def test_containers_without_both_probes_are_not_compared() -> None:
    """Nothing to compare is no subject; whether probes are there is another check's question."""
    assert not list(containers.distinct_probes(inventory(workload(pod=pod({"livenessProbe": ALL["livenessProbe"]})))))


@pytest.mark.parametrize(
    ("hook", "seconds"),
    [
        ({"sleep": {"seconds": 10}}, 10),
        ({"exec": {"command": ["sleep", "5"]}}, 5),
        ({"exec": {"command": ["sh", "-c", "nginx -s quit; sleep 2m"]}}, 120),
        ({"exec": {"command": ["sh", "-c", "sleep 1.5 && sleep 2"]}}, 3.5),
        ({"exec": {"command": ["/drain"]}}, 0),
        ({"httpGet": {"path": "/quit"}}, 0),
        ({"exec": {}}, 0),
    ],
)
def test_how_long_a_hook_lasts(hook: dict[str, Any], seconds: float) -> None:
    """The native sleep, and the sleep of a shell; another command's time is not known and counts as none."""
    assert containers.pre_stop_seconds(hook) == seconds


@pytest.mark.parametrize(("grace", "ok"), [(None, True), (10, False), (9, False), (11, True), (0, False)])
def test_grace_is_longer_than_the_hook(grace: int | None, ok: bool) -> None:
    """The default is 30 s; equal is too short, since the program has not been told to stop yet."""
    made = pod({"ports": [PORT], "lifecycle": {"preStop": {"sleep": {"seconds": 10}}}})
    if grace is not None:
        made["terminationGracePeriodSeconds"] = grace
    assert [one.ok for one in containers.shutdown(inventory(workload(pod=made), services=[service()]))] == [ok]


def test_only_who_serves_must_wait() -> None:
    """Without a Service there is nobody to wait for."""
    assert [one.ok for one in containers.shutdown(inventory(workload(pod=pod({}))))] == [None]


def test_resources_may_come_from_a_limit_range() -> None:
    """What the LimitRange of the namespace fills in is there; what it does not is named."""
    limits = thing("LimitRange", limits=[{"type": "Container", "defaultRequest": {"cpu": "1"}}])
    given_ = {"resources": {"limits": {"memory": "1Gi"}}}  # a limit is the request, too
    found = inventory(workload(pod=pod(given_)), limits=[limits])
    assert not bad(containers.resources(found))
    found.limits = []
    assert [one.seen for one in bad(containers.resources(found))] == ["no requests.cpu"]


def test_native_sidecars_need_resources_and_plain_init_containers_do_not() -> None:
    """An init container that goes on running takes resources as long as the pod does."""
    made = pod({"resources": {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}})
    made["initContainers"] = [{"name": "setup"}, {"name": "mesh", "restartPolicy": "Always"}]
    seen = bad(containers.resources(inventory(workload(pod=made))))
    assert [one.subject for one in seen] == ["Deployment shop/web container mesh"]
    assert "initContainers[name=mesh]" in seen[0].remedy


@pytest.mark.parametrize(
    ("image", "tag"),
    [
        ("nginx", ""),
        ("nginx:latest", "latest"),
        ("nginx:1.27", "1.27"),
        ("registry:5000/nginx", ""),
        ("registry:5000/nginx:1", "1"),
        ("nginx@sha256:ab", "sha256:ab"),
        ("nginx:latest@sha256:ab", "sha256:ab"),
        ("", ""),
    ],
)
def test_the_tag_of_an_image(image: str, tag: str) -> None:
    """The port of a registry is no tag; a digest wins over any tag."""
    assert containers.image_tag(image) == tag


@given(st.text("ab/:@.", max_size=12))
def test_any_text_is_an_image_reference_of_some_sort(image: str) -> None:
    """No reference makes the rule raise, and only a text without tag or with latest is refused."""
    (seen,) = containers.images(inventory(workload(pod=pod({"image": image}))))
    assert seen.ok is (containers.image_tag(image) not in {"", "latest"})


def test_init_containers_have_images_too() -> None:
    """An init container by latest changes what the pod starts from."""
    made = {**pod({"image": "a:1"}), "initContainers": [{"name": "setup", "image": "b:latest"}]}
    assert verdicts(containers.images(inventory(workload(pod=made)))) == {
        "Deployment shop/web container c0": True,
        "Deployment shop/web container setup": False,
    }
