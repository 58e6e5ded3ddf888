"""Label selectors mean what the API server means by them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha.workloads.selectors import covers, selects, text

LABELS = {"app": "web", "tier": "front"}
words = st.text("abc", min_size=1, max_size=3)
labels = st.dictionaries(words, words, max_size=4)


@pytest.mark.parametrize(
    ("selector", "expected"),
    [
        (None, False),
        ({}, True),
        ({"matchLabels": {"app": "web"}}, True),
        ({"matchLabels": {"app": "web", "x": "y"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "web"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["web"]}]}, False),
        ({"matchExpressions": [{"key": "x", "operator": "NotIn", "values": ["y"]}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "Resembles"}]}, False),
    ],
)
def test_a_selector_matches_as_the_api_server_says(selector: dict[str, Any] | None, expected: bool) -> None:
    """None is nothing, empty is everything, each operator as documented, an unknown one nothing."""
    assert selects(selector, LABELS) is expected


@given(labels, labels)
def test_a_plain_map_and_match_labels_agree(wanted: dict[str, str], given_: dict[str, str]) -> None:
    """A Service's map means what matchLabels mean, but that an empty one selects nothing."""
    assert covers(wanted, given_) is (bool(wanted) and selects({"matchLabels": wanted}, given_))


@given(labels, words)
def test_in_and_not_in_are_opposites(given_: dict[str, str], key: str) -> None:
    """Whatever the labels: one of In and NotIn holds, and never both."""
    rules = [{"key": key, "operator": operator, "values": ["a", "b"]} for operator in ("In", "NotIn")]
    assert [selects({"matchExpressions": [rule]}, given_) for rule in rules].count(True) == 1


def test_selectors_are_told_as_kubectl_takes_them() -> None:
    """Messages show a selector that can be pasted."""
    assert text(None) == "no selector"
    assert text({}) == "everything"
    assert text({"app": "web"}) == "app=web"
    expression = {"key": "tier", "operator": "In", "values": ["a", "b"]}
    assert text({"matchLabels": {"app": "web"}, "matchExpressions": [expression]}) == "app=web,tier in (a,b)"
