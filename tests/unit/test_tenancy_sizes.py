"""Quantities, sizes of containers, and pods that break exactly one rule."""

from __future__ import annotations

import copy
from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from pytest_k8sha.errors import UsageError
from pytest_k8sha.fleet.spec import Expectations, TenantOrder
from pytest_k8sha.tenancy import pods, quota, sizes
from pytest_k8sha.tenancy.quantity import parse, spell
from pytest_k8sha.tenancy.tenant import Tenant


def _tenant(**expects: Any) -> Tenant:
    order = TenantOrder(name="acme", expects=Expectations.model_validate(expects))
    return Tenant(None, "acme", ("acme",), {}, order=order)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("500m", Fraction(1, 2)),
        ("2", Fraction(2)),
        ("1.5", Fraction(3, 2)),
        ("1Gi", Fraction(2**30)),
        ("1G", Fraction(10**9)),
        ("1e3", Fraction(1000)),
        ("100u", Fraction(1, 10000)),
        (".5", Fraction(1, 2)),
        ("0", Fraction(0)),
    ],
)
def test_quantities_are_read_exactly(text: str, value: Fraction) -> None:
    """Each form that the API server takes."""
    assert parse(text) == value


@pytest.mark.parametrize("text", ["", "1 Gi", "Gi", "1KiB", "one", "1e", "--1"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    """Text that the API server would refuse is not taken for a number."""
    with pytest.raises(UsageError):
        parse(text)


@given(st.integers(0, 10**15))
def test_spelling_keeps_the_value(thousandths: int) -> None:
    """What is spelled reads as the same value, to the thousandth."""
    value = Fraction(thousandths, 1000)
    assert parse(spell(value)) == value


@given(
    left=st.integers(0, 64000).map(lambda n: Fraction(n, 1000)),
    most=st.none() | st.integers(100, 8000).map(lambda n: Fraction(n, 1000)),
    ratio=st.none() | st.integers(1, 20).map(Fraction),
    part=st.sampled_from(["requests", "limits"]),
)
def test_a_pod_over_the_quota_stays_within_the_limit_range(
    left: Fraction, most: Fraction | None, ratio: Fraction | None, part: str
) -> None:
    """It asks for more than is left, and no container of it is above the maximum or over the ratio."""
    bound = sizes.Bounds(most={"cpu": most} if most else {}, ratio={"cpu": ratio} if ratio else {})
    assume(most is None or ceil(left / most) < quota.COPIES)
    pod = quota.over(_tenant(), bound, part, "cpu", left)
    resources = [c["resources"] for c in pod["spec"]["containers"]]
    assert sum(parse(r[part]["cpu"]) for r in resources) > left
    for resource in resources:
        limit, request = parse(resource["limits"]["cpu"]), parse(resource["requests"]["cpu"])
        assert most is None or limit <= most
        assert request <= limit
        assert ratio is None or limit / request <= ratio


def test_each_breach_changes_a_right_pod_in_one_place() -> None:
    """Without the breach the two pods are alike, and each breach is in each place in which it can be."""
    tenant = _tenant(labels={"tenant": "acme"}, registries=["registry.example.com/"])
    every = list(
        pods.variants(tenant, (*pods.BASELINE, *pods.RESTRICTED), (pods.CONTAINER, pods.INIT, pods.SIDECAR), 36)
    )
    assert len(every) == len({str(v) for v in every})
    for variant in every:
        assert variant.right != variant.wrong
        key = "containers" if variant.place == pods.CONTAINER else "initContainers"
        healed = copy.deepcopy(variant.wrong)
        for name in variant.breach.spec:
            healed["spec"].pop(name)
        healed["spec"][key][0] = variant.right["spec"][key][0]
        expected = copy.deepcopy(variant.right)
        for name in variant.breach.spec:
            expected["spec"].pop(name, None)
        assert healed == expected


def test_a_server_is_not_asked_about_what_it_does_not_know() -> None:
    """The host of a probe is a rule since 1.34."""
    names = {v.breach.name for v in pods.variants(_tenant(), pods.BASELINE, (pods.CONTAINER,), 33)}
    assert "probe to a host" not in names
    assert "privileged" in names


@pytest.mark.parametrize(("version", "minor"), [("v1.36.3", 36), ("1.37+", 37), ("", 0), ("v2", 0)])
def test_the_minor_version_is_read(version: str, minor: int) -> None:
    """Of what servers and labels say."""
    assert pods.minor_of(version) == minor


def test_the_image_is_from_an_allowed_registry() -> None:
    """The positive control must not fail for its image."""
    assert pods.image(_tenant(registries=["registry.example.com/"])) == "registry.example.com/pause:3.10"
    assert pods.image(_tenant()) == "registry.k8s.io/pause:3.10"
