"""Experiment files: what they mean, and every mistake with its line, before a cluster is touched."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from pytest_k8sha.chaos import files
from pytest_k8sha.chaos.order import ACTIONS, Order, order, text_of
from pytest_k8sha.cli.schema import of
from pytest_k8sha.errors import FileProblems

FIXTURES = Path(__file__).resolve().parents[2] / "fixtures" / "experiments"

GOOD = """\
apiVersion: k8sha.dev/v1
kind: K8shaExperiment
metadata: {name: one}
spec:
  action: stop
  members: {component: etcd, which: leader}
  blastRadius: 34%
  hold: 1m30s
"""


def problems(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / "one.yaml"
    path.write_text(text)
    with pytest.raises(FileProblems) as caught:
        files.load([path])
    return [str(problem).removeprefix(f"{tmp_path}/") for problem in caught.value.problems]


def test_a_file_means_what_it_says(tmp_path: Path) -> None:
    """Durations and shares are read with their units; what is left out has the documented default."""
    path = tmp_path / "one.yaml"
    path.write_text(GOOD)
    [made] = files.load([path])
    assert (made.name, made.title, made.spec.hold, made.spec.limit) == ("one", "stop etcd", 90.0, 34.0)
    assert made.spec.members is not None
    assert made.spec.members.which == "leader"
    assert (made.spec.seed, made.spec.accept, made.spec.prove_within) == (0, (), 30.0)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("hold: 1m30s", "hold: 20"), "one.yaml:8: spec.hold: 20 has no unit; write 20s or 20m"),
        (("hold: 1m30s", 'hold: "20"'), "one.yaml:8: spec.hold: '20' has no unit; write 20s or 20m"),
        (("hold: 1m30s", "hold: soon"), "one.yaml:8: spec.hold: 'soon' is no duration"),
        (("hold: 1m30s", "hold: -5s"), "one.yaml:8: spec.hold: '-5s' is less than nothing"),
        (("blastRadius: 34%", "blastRadius: 34"), "one.yaml:7: spec.blastRadius: 34 is no share; write it as 34%"),
        (("blastRadius: 34%", "blastRadius: 140%"), "one.yaml:7: spec.blastRadius: "),
        (("action: stop", "action: explode"), "'explode' is nothing that is done to members"),
        (("component: etcd", "component: etcdd"), "one.yaml:6: spec.members.component: "),
        (("which: leader", "witch: leader"), "one.yaml:6: spec.members.witch: is no key here"),
        (("component: etcd", "component: kube-apiserver"), "kube-apiserver has no leader"),
        (("action: stop", "action: delay"), "`latency` belongs to the action delay"),
        (("kind: K8shaExperiment", "kind: NetworkChaos"), "one.yaml:2: kind: K8shaExperiment of k8sha.dev/v1 or"),
        (("name: one", "name: One"), "one.yaml:3: metadata.name: "),
        (("  members:", "  nodes: {}\n  members:"), "just one of members, nodes, pods, manifest names the targets"),
    ],
)
def test_each_mistake_is_told(tmp_path: Path, change: tuple[str, str], said: str) -> None:
    """Each mistake is told with its file, line and field, and in words that say what to write."""
    assert GOOD.count(change[0]) == 1
    told = problems(tmp_path, GOOD.replace(*change))
    assert any(said in one for one in told), told


def test_all_mistakes_of_all_documents_at_once(tmp_path: Path) -> None:
    """Two documents with three mistakes give three problems."""
    broken = GOOD.replace("34%", "34").replace("1m30s", "90")
    told = problems(tmp_path, f"{broken}---\n{GOOD.replace('etcd', 'etcdd')}")
    assert len(told) == 3, told


def test_two_of_one_name_and_an_empty_file(tmp_path: Path) -> None:
    """A name stands for one experiment, and a file without any is a mistake."""
    assert problems(tmp_path, f"{GOOD}---\n{GOOD}") == [": metadata.name: two experiments are called 'one'"]
    assert problems(tmp_path, "# nothing\n") == ["one.yaml: is empty"]


def test_the_examples_are_good_and_fit_the_schema() -> None:
    """Every example in fixtures/experiments is read, and fits the JSON Schema that editors are given."""
    paths = sorted(FIXTURES.glob("*.yaml"))
    assert len(files.load(paths)) >= 3
    validator = Draft202012Validator(of("experiment"))
    for path in paths:
        assert not list(validator.iter_errors(yaml.safe_load(path.read_text()))), path
    assert list(validator.iter_errors(yaml.safe_load(GOOD.replace("1m30s", "90"))))


@given(
    seconds=st.integers(0, 10**7).map(lambda ms: ms / 1000),
    share=st.integers(1, 100),
    seed=st.integers(0, 2**31),
    accept=st.sets(st.sampled_from(["budget", "quorum", "outage", "system", "foreign"])),
)
def test_an_order_survives_its_own_text(seconds: float, share: int, seed: int, accept: set[str]) -> None:
    """An order written out and read again is the same order."""
    made = order(
        "x", "kill", pods={"namespaces": ["a"], "percent": f"{share}%"}, hold=text_of(seconds), seed=seed,
        accept=sorted(accept),
    )  # fmt: skip
    assert Order.model_validate(made.model_dump(mode="json", by_alias=True)) == made


def test_every_action_has_words() -> None:
    """Each action of each block is described for the documentation."""
    assert set(ACTIONS) == {"members", "nodes", "pods", "manifest"}
    assert all(words for actions in ACTIONS.values() for words in actions.values())
