"""Reading orders for clusters: from options and from a fleet file, with every mistake named."""

from __future__ import annotations

import contextlib
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha.errors import FileProblems, K8shaError, UsageError
from pytest_k8sha.fleet.spec import from_file, from_options
from pytest_k8sha.providers.registry import Registry

REGISTRY = Registry()


def problems_of(path: Path) -> list[tuple[int, str, str]]:
    with pytest.raises(FileProblems) as caught:
        from_file(path, REGISTRY)
    assert all(problem.path == str(path) for problem in caught.value.problems)
    return [(problem.line, problem.field, problem.message) for problem in caught.value.problems]


def test_options_are_read(tmp_path: Path) -> None:
    """Name, provider, argument and keys; a list is written with plus signs."""
    spec = from_options(
        ["east=local,members=3,nodes=9,zones=3,admission-on=AlwaysPullImages", "prod=context:prod-eu,ceiling=rehearse"],
        REGISTRY,
    )
    east, prod = spec.clusters["east"], spec.clusters["prod"]
    options: Any = east.provider_options(REGISTRY)
    assert (east.provider, options.members, options.nodes, options.zones) == ("local", 3, 9, 3)
    assert options.admission_on == ("AlwaysPullImages",)
    assert (prod.provider, prod.argument, prod.ceiling) == ("context", "prod-eu", "rehearse")


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        (["east=locla"], r"unknown provider: 'locla'; did you mean 'local'\? allowed: context, (kind, )?local"),
        (["east=local,membres=3"], r"unknown key 'membres'; did you mean 'members'\?"),
        (["east=local,members=9"], r"members: .*less than or equal to 5 \(given: '9'\)"),
        (["east=local,members=two"], r"members: .*integer.*\(given: 'two'\)"),
        (["east=local,nodes"], r"a key and a value are expected: 'nodes'"),
        (["east=local,ceiling=destroy"], r"ceiling: .*'destroy' is not one of observe, rehearse, exercise, disrupt"),
        (["east=local", "east=context"], r"two clusters have one name: 'east'"),
        (["east"], r"NAME=PROVIDER.*: 'east'"),
        (["east="], r"NAME=PROVIDER"),
        (["East=local"], r"lower-case DNS label.*: 'East'"),
        (["../x=local"], r"lower-case DNS label"),
        (["east=local,=3"], r"a key and a value are expected"),
        (["east=local,nodes=1,nodes=2"], r"nodes is given twice: 'nodes=2'"),
        (["east=local,provider=context"], r"provider is no key here"),
        (["east=local:x"], r"takes no argument"),
    ],
)
def test_an_option_that_cannot_be_meant(given_: list[str], said: str) -> None:
    """Each is refused with what was wrong, its value and the nearest right word."""
    with pytest.raises(UsageError) as caught:
        from_options(given_, REGISTRY)
    assert re.search(said, str(caught.value)), str(caught.value)
    assert caught.value.exit_code == 2


@given(st.lists(st.text(alphabet="east=local,:members3+ \n\0é", max_size=30), min_size=1, max_size=3))
def test_no_option_leads_to_anything_but_a_spec_or_a_message(words: list[str]) -> None:
    """Whatever is typed, the answer is an order or a `K8shaError`, never another exception."""
    with contextlib.suppress(K8shaError):
        from_options(words, REGISTRY)


def test_five_mistakes_are_five_problems(tmp_path: Path) -> None:
    """All mistakes of a file are told at once, each with line and field."""
    path = tmp_path / "fleet.yaml"
    path.write_text(
        "clusters:\n"  # 1
        "  east:\n"
        "    provider: locall\n"  # 3: unknown provider
        "  west:\n"
        "    provider: local\n"
        "    nodes: many\n"  # 6: no number
        "    zoens: 3\n"  # 7: unknown key
        "    ceiling: destroy\n"  # 8: unknown ceiling
        "  north:\n"
        "    tenants:\n"
        "    - name: Acme\n"  # 11: no label
    )
    found = problems_of(path)
    assert [(line, field) for line, field, _ in sorted(found)] == [
        (3, "clusters.east.provider"),
        (6, "clusters.west.nodes"),
        (7, "clusters.west.zoens"),
        (8, "clusters.west.ceiling"),
        (11, "clusters.north.tenants.0.name"),
    ]
    by_line = {line: message for line, _, message in found}
    assert "did you mean 'local'?" in by_line[3]
    assert "did you mean 'zones'?" in by_line[7]


def test_keys_that_are_given_twice(tmp_path: Path) -> None:
    """YAML keeps the last of two equal keys in silence; here both are told, with their lines."""
    path = tmp_path / "fleet.yaml"
    path.write_text("clusters:\n  east:\n    nodes: 1\n    nodes: 2\n  east: {}\n")
    assert [(line, field) for line, field, _ in problems_of(path)] == [(5, "east"), (4, "nodes")]


def test_paths_count_from_the_file(tmp_path: Path) -> None:
    """Manifests and templates lie beside the fleet file, not in the working folder; a missing one is told."""
    (tmp_path / "t").mkdir()
    (tmp_path / "m.yaml").write_text("")
    path = tmp_path / "fleet.yaml"
    path.write_text("clusters:\n  east:\n    apply: [m.yaml]\n    tenants:\n    - {name: acme, template: t}\n")
    order = from_file(path, REGISTRY).clusters["east"]
    assert order.apply == [tmp_path / "m.yaml"]
    assert order.tenants[0].template == tmp_path / "t"
    path.write_text(
        "clusters:\n  east:\n    apply: [m.yaml, gone.yaml]\n    tenants:\n    - {name: a, template: gone}\n"
    )
    assert [(line, field) for line, field, _ in problems_of(path)] == [
        (3, "clusters.east.apply.1"),
        (5, "clusters.east.tenants.0.template"),
    ]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "clusters", "clusters:", "clusters: {}", "clusters: [east]", "clusters: {east: 3}", "a: [", "- \t"],
)
def test_a_file_of_another_form(tmp_path: Path, text: str) -> None:
    """Whatever else the file holds, the answer names the file and at least one problem."""
    path = tmp_path / "fleet.yaml"
    path.write_text(text)
    assert problems_of(path)


@given(text=st.text(alphabet="clusters: {}[]\n-easwt'\"&*!|>#%\té\0", max_size=60))
def test_no_text_leads_to_anything_but_problems(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """No text makes the reader fail with anything but `FileProblems`."""
    path = tmp_path_factory.mktemp("fleet") / "fleet.yaml"
    path.write_text(text)
    with contextlib.suppress(FileProblems):
        from_file(path, REGISTRY)


def test_the_bundled_fleet_is_read() -> None:
    """The fleet of the main job has a good and a leaking cluster, with two tenants each."""
    from pytest_k8sha.settings import bundled

    spec = from_file(bundled("fixtures", "fleets", "demo.yaml"), REGISTRY)
    assert list(spec.clusters) == ["east", "west"]
    assert [[t.name for t in order.tenants] for order in spec.clusters.values()] == [["acme", "globex"]] * 2
