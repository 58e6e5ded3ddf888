"""Reading manifests: strict YAML, every mistake with its place, values that cannot become structure."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha.errors import FileProblem, FileProblems
from pytest_k8sha.kube.manifests import fill, in_order, line_of, load, parse

GOOD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"


def problems_of(*paths: Path) -> list[FileProblem]:
    with pytest.raises(FileProblems) as caught:
        load(paths)
    return caught.value.problems


def test_files_and_folders_are_read_in_the_order_of_need(tmp_path: Path) -> None:
    """A namespace comes before what lies in it, whatever the file's order; `List` objects are taken apart."""
    (tmp_path / "b.yml").write_text("apiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n")
    (tmp_path / "a.yaml").write_text(
        GOOD + "---\n---\napiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: Secret, metadata: {name: s}}\n"
    )
    assert [o["kind"] for o in load([tmp_path])] == ["Namespace", "Secret", "ConfigMap"]


def test_a_key_that_is_given_twice_is_a_mistake(tmp_path: Path) -> None:
    """At any depth, with both lines; `<<` merges are no doubles."""
    path = tmp_path / "m.yaml"
    path.write_text(GOOD + "data:\n  a: '1'\n  b: '2'\n  a: '3'\n")
    (problem,) = problems_of(path)
    assert (problem.line, problem.field) == (7, "a")
    assert "first on line 5" in problem.message
    path.write_text("x: &x {a: 1}\napiVersion: v1\nkind: K\nmetadata: {name: a, <<: *x, y: {<<: *x, a: 2}}\n")
    assert load([path])[0]["metadata"] == {"a": 1, "name": "a", "y": {"a": 2}}


def test_all_mistakes_of_all_files_are_told(tmp_path: Path) -> None:
    """Files that cannot be read, are no YAML, hold no object, lack a field: one problem each, nothing is hidden."""
    (tmp_path / "yaml.yaml").write_text("a: [")
    (tmp_path / "text.yaml").write_text("just text")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "kind.yaml").write_text("apiVersion: v1\nmetadata: {name: a}\n")
    (tmp_path / "name.yaml").write_text("apiVersion: v1\nkind: K\nmetadata:\n  labels: {}\n")
    (tmp_path / "value.yaml").write_text(GOOD + "data:\n  k: ${nobody}\n")
    (tmp_path / "empty").mkdir()
    found = problems_of(tmp_path, tmp_path / "gone.yaml", tmp_path / "empty")
    said = {Path(p.path).name: (p.line, p.field, p.message) for p in found}
    assert len(found) == 8
    assert said["yaml.yaml"][2].startswith("is not YAML")
    assert "an object is expected, not str" in said["text.yaml"][2]
    assert "cannot be read" in said["bytes.yaml"][2]
    assert said["kind.yaml"] == (1, "kind", "is missing or not a text")
    assert said["name.yaml"] == (3, "metadata.name", "is missing")
    assert said["value.yaml"][1] == "${nobody}"
    assert said["gone.yaml"][2] == "does not exist"
    assert said["empty"][2] == "holds no *.yaml file"


@given(st.text(max_size=30))
def test_a_value_cannot_become_structure(tmp_path_factory: pytest.TempPathFactory, value: str) -> None:
    """Placeholders are filled in the parsed strings, so that a value with quotes, newlines or `${x}` stays a text."""
    path = tmp_path_factory.mktemp("m") / "m.yaml"
    path.write_text(GOOD + "data: {k: '<${tenant}>', '${tenant}': v, n: 3}\n")
    (loaded,) = load([path], {"tenant": value})
    assert loaded["data"]["n"] == 3
    assert f"<{value}>" in loaded["data"].values()
    assert set(loaded["data"]) == {"k", "n", value}


def test_a_lone_dollar_stays(tmp_path: Path) -> None:
    """Scripts, expressions and prices hold dollars; only ``${name}`` is a placeholder, and ``$${name}`` is none."""
    path = tmp_path / "m.yaml"
    path.write_text(GOOD + "data: {a: 'costs $5', b: '$(HOME) $x', c: '$${kept} ${tenant} $1 $'}\n")
    assert load([path], {"tenant": "t"})[0]["data"] == {
        "a": "costs $5",
        "b": "$(HOME) $x",
        "c": "${kept} t $1 $",
    }


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(alphabet=st.characters(exclude_characters="$"), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcd", max_size=3), inner, max_size=3),
    max_leaves=12,
)


@given(json)
def test_strict_reading_gives_what_yaml_gives(value: Any) -> None:
    """Where there is no mistake, the strict reader says the same as PyYAML's, and filling changes nothing."""
    text = yaml.safe_dump(value)
    problems: list[FileProblem] = []
    ((document, _),) = parse(text, "x", problems)
    assert problems == []
    assert document == value
    assert fill(document, {}) == value


@given(st.text(alphabet="ab: {}[]\n-'\"&*!|>#%\té\0<<$", max_size=60))
def test_no_text_leads_to_anything_but_problems(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """No text makes the reader fail with anything but `FileProblems`."""
    path = tmp_path_factory.mktemp("m") / "m.yaml"
    path.write_text(text)
    with contextlib.suppress(FileProblems):
        load([path], {"a": "b"})


def test_lines_of_fields() -> None:
    """A field's own line, and that of the nearest parent where it is absent."""
    problems: list[FileProblem] = []
    ((document, lines),) = parse("a:\n  b:\n  - c: 1\n  - d: 2\n", "x", problems)
    assert [line_of(lines, document, f) for f in (["a"], ["a", "b"], ["a", "b", 1, "d"], ["a", "z"], ["z"])] == [
        1,
        2,
        4,
        1,
        0,
    ]


def test_the_order_is_stable() -> None:
    """Objects of kinds that are not listed keep their order and come last."""
    objects = [{"kind": k, "n": i} for i, k in enumerate(["Pod", "Role", "Job", "Namespace", "Role"])]
    assert [o["n"] for o in in_order(objects)] == [3, 1, 4, 0, 2]
