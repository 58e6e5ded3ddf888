"""Whom a selector of Chaos Mesh means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha.chaos.mesh.selection import Selection


def pod(name: str, space: str = "shop", node: str = "n1", phase: str = "Running", **labels: str) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": space,
            "labels": labels,
            "annotations": {"team": labels.get("app", "")},
        },
        "spec": {"nodeName": node},
        "status": {"phase": phase},
    }


PODS = [
    pod("web-0", app="web", tier="front"),
    pod("web-1", node="n2", app="web", tier="front"),
    pod("db-0", app="db"),
    pod("job-1", phase="Succeeded", app="job"),
    pod("web-0", space="other", app="web"),
]
NODES = [
    {"metadata": {"name": "n1", "labels": {"zone": "a"}}},
    {"metadata": {"name": "n2", "labels": {"zone": "b"}}},
]


def fitting(selector: dict[str, Any], own: str = "shop") -> list[str]:
    chosen = Selection(selector, "all", own=own).fitting(PODS, NODES)
    return [f"{p['metadata']['namespace']}/{p['metadata']['name']}" for p in chosen]


@pytest.mark.parametrize(
    ("selector", "names"),
    [
        ({"labelSelectors": {"app": "web"}}, ["shop/web-0", "shop/web-1"]),
        (
            {"namespaces": ["shop", "other"], "labelSelectors": {"app": "web"}},
            ["shop/web-0", "shop/web-1", "other/web-0"],
        ),
        ({"namespaces": ["other"]}, ["other/web-0"]),
        ({"labelSelectors": {"app": "web", "tier": "back"}}, []),
        ({"expressionSelectors": [{"key": "app", "operator": "NotIn", "values": ["web", "job"]}]}, ["shop/db-0"]),
        ({"annotationSelectors": {"team": "db"}}, ["shop/db-0"]),
        ({"fieldSelectors": {"spec.nodeName": "n2"}}, ["shop/web-1"]),
        ({"nodes": ["n2"]}, ["shop/web-1"]),
        ({"nodeSelectors": {"zone": "b"}}, ["shop/web-1"]),
        (
            {"nodes": ["n1"], "nodeSelectors": {"zone": "b"}, "labelSelectors": {"app": "web"}},
            ["shop/web-0", "shop/web-1"],
        ),
        ({"podPhaseSelectors": ["Running"], "labelSelectors": {"app": "job"}}, []),
        ({"podPhaseSelectors": ["!Running"]}, ["shop/job-1"]),
        (
            {"pods": {"shop": ["db-0"], "other": ["web-0"]}, "labelSelectors": {"app": "none"}},
            ["shop/db-0", "other/web-0"],
        ),
    ],
)
def test_each_filter(selector: dict[str, Any], names: list[str]) -> None:
    """Every filter of the selector alone and together; nodes and nodeSelectors add up; pods overrides all."""
    assert fitting(selector) == names


def test_an_empty_selector_means_its_own_namespace() -> None:
    """Without namespaces the object's own is meant, as the webhook fills it in."""
    assert fitting({}, own="other") == ["other/web-0"]


def test_node_selectors_that_no_node_fits_are_no_condition() -> None:
    """The controller reads an empty list of nodes as any node; to say nobody here would be to promise too little."""
    assert len(fitting({"nodeSelectors": {"zone": "nowhere"}})) == 4


def test_fields_that_are_not_known_are_told() -> None:
    """A selector with a field that is not read here is not taken for one without it."""
    found = Selection.of({"selector": {"labelSelectors": {}, "moonPhase": "full"}, "mode": "all"}, "shop")
    assert found.unknown == ("moonPhase",)


@given(
    count=st.integers(0, 30),
    mode=st.sampled_from(["all", "one", "fixed", "fixed-percent", "random-max-percent"]),
    value=st.integers(1, 100),
    seed=st.integers(0, 5),
)
def test_the_share_of_a_mode(count: int, mode: str, value: int, seed: int) -> None:
    """Each mode takes as many as Chaos Mesh would, of those that fit, and the same seed takes the same ones."""
    pods = [pod(f"p-{n}") for n in range(count)]
    selection = Selection({}, mode, str(value), own="shop")
    taken = selection.taken(pods, seed)
    assert taken == selection.taken(list(reversed(pods)), seed)
    assert len({p["metadata"]["name"] for p in taken}) == len(taken)
    bounds = {
        "all": (count, count),
        "one": (min(1, count), min(1, count)),
        "fixed": (min(value, count), min(value, count)),
        "fixed-percent": (count * value // 100, count * value // 100),
        "random-max-percent": (0, count * value // 100),
    }
    low, high = bounds[mode]
    assert low <= len(taken) <= high


def test_a_mode_that_is_not_known_takes_nobody() -> None:
    """What is misspelt does not become everybody."""
    assert Selection({}, "everyone", own="shop").taken(PODS, 0) == []
