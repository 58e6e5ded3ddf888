"""Drift: what is no difference is not told, and every difference is, by its path."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_k8sha.errors import Inconclusive, UsageError
from pytest_k8sha.failover.drift import Override, compare


def web() -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "shop", "labels": {"app": "web"}},
        "spec": {
            "replicas": 2,
            "template": {
                "spec": {
                    "initContainers": [{"name": "one"}, {"name": "two"}],
                    "containers": [
                        {"name": "web", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]},
                        {"name": "log", "ports": [{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 81}]},
                    ],
                }
            },
        },
    }


def turned() -> dict[str, Any]:
    made = web()
    made["spec"]["template"]["spec"]["containers"].reverse()
    for container in made["spec"]["template"]["spec"]["containers"]:
        for field in ("env", "ports"):
            container.get(field, []).reverse()
    return made


def told(east: list[dict[str, Any]], west: list[dict[str, Any]], *overrides: str) -> list[tuple[str, str]]:
    found = compare({"east": east, "west": west}, [Override.parse(text) for text in overrides])
    return [(one.how, one.path) for one in found]


def test_order_and_what_a_server_sets_are_no_drift() -> None:
    """Lists that are merged by a key may stand in any order; uids, versions, times and status belong to a cluster."""
    other = turned()
    other["metadata"] |= {"uid": "u", "resourceVersion": "7", "creationTimestamp": "t", "managedFields": [{}]}
    other["status"] = {"replicas": 2}
    assert told([web()], [other]) == []


def test_the_order_of_init_containers_is_drift() -> None:
    """They run in their order."""
    other = web()
    other["spec"]["template"]["spec"]["initContainers"].reverse()
    assert len(told([web()], [other])) == 2


def test_the_order_of_variables_made_of_others_is_drift() -> None:
    """``$(A)`` knows only what stands before it."""
    here, there = web(), web()
    for one in (here, there):
        one["spec"]["template"]["spec"]["containers"][0]["env"][1]["value"] = "$(A)"
    there["spec"]["template"]["spec"]["containers"][0]["env"].reverse()
    assert told([here], [there])


def test_a_difference_is_told_by_the_name_of_its_element() -> None:
    """The path names the container, whatever its place."""
    other = turned()
    other["spec"]["template"]["spec"]["containers"][1]["env"][0]["value"] = "3"
    (one,) = told([web()], [other])
    assert one == ("different", "spec.template.spec.containers[web].env[B].value")


def test_overrides_cover_their_path_and_no_other() -> None:
    """What is declared is not told; a sibling with a longer name is."""
    other = web()
    other["spec"] |= {"replicas": 3, "replicasMore": 1}
    assert told([web()], [other], "Deployment.apps/shop/web:spec.replicas") == [("different", "spec.replicasMore")]
    assert len(told([web()], [other], "Deployment.apps/shop/other:spec.replicas")) == 2
    assert told([web()], [other], "Deployment.apps:spec") == []


def test_an_override_excuses_no_absence() -> None:
    """An object that is not there is told, whatever may differ in it."""
    more = {**web(), "metadata": {"name": "more", "namespace": "shop"}}
    assert told([web(), more], [web()], "Deployment.apps:spec") == [("missing", "")]
    assert told([web()], [web(), more]) == [("extra", "")]


def test_one_cluster_or_no_object_is_no_likeness() -> None:
    """Nothing compared is never a pass."""
    with pytest.raises(UsageError):
        compare({"east": [web()]})
    with pytest.raises(Inconclusive):
        compare({"east": [], "west": []})


@pytest.mark.parametrize("text", ["", "spec.replicas", "Deployment", ":spec", "Deployment:"])
def test_an_override_that_cannot_be_meant_is_refused(text: str) -> None:
    """Each is told with its form."""
    with pytest.raises(UsageError, match="KIND"):
        Override.parse(text)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.text("abc.", min_size=1, max_size=4), st.text(max_size=5), min_size=1, max_size=5), st.data())
def test_every_changed_value_is_told(data: dict[str, str], draw: st.DataObject) -> None:
    """Whatever key of a ConfigMap is changed, exactly that one is told; an unchanged copy is told of nothing."""
    here = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "n"}, "data": data}
    there = copy.deepcopy(here)
    assert told([here], [there]) == []
    key = draw.draw(st.sampled_from(sorted(data)))
    there["data"][key] += "!"  # type: ignore[index]
    assert told([here], [there]) == [("different", f"data.{key}")]
