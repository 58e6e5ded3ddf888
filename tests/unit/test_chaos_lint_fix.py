"""--fix writes what needs no decision, keeps the rest of the text, and may be run again."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha.chaos.lint.fix import fix, fix_file
from pytest_k8sha.chaos.lint.linter import Linter
from pytest_k8sha.chaos.lint.subject import BLOCKS
from tests.thorough import examples

FIXTURES = Path(__file__).parents[2] / "fixtures" / "chaos"
WRONG = sorted((Path(__file__).parent / "data" / "chaos").glob("*.yaml"))
MECHANICAL = ("pod-failure", "network-delay", "network-loss", "io-latency", "stress-cpu-memory", "time-offset")


def rules(text: str) -> list[str]:
    """The ids found in a text, in order."""
    return [f.rule.id for f in Linter().text(text, "x.yaml")]


def errors(text: str) -> int:
    """How many errors a text has."""
    return sum(f.severity == "error" for f in Linter().text(text, "x.yaml"))


@pytest.mark.parametrize("name", MECHANICAL)
def test_six_of_the_eight_are_fixed_without_a_person(name: str) -> None:
    """The fixed 1.x form means exactly what the fixed form of the fixtures means, and lints clean."""
    done = fix((FIXTURES / "handbook-1.x" / f"{name}.yaml").read_text())
    right = (FIXTURES / "fixed" / f"{name}.yaml").read_text()
    assert yaml.safe_load(done.text) == yaml.safe_load(right)
    assert rules(done.text) == []


def test_what_a_person_must_decide_about_dns_is_left_and_said() -> None:
    """The Schedule is written; scope: outer stays, as nobody but its author knows the names, and is still an error."""
    done = fix((FIXTURES / "handbook-1.x" / "dns-error.yaml").read_text())
    made, right = yaml.safe_load(done.text), yaml.safe_load((FIXTURES / "fixed" / "dns-error.yaml").read_text())
    assert made["spec"]["dnsChaos"].pop("scope") == "outer"
    right["spec"]["dnsChaos"].pop("patterns")
    assert made == right
    assert rules(done.text) == ["CHL-104"]


def test_what_a_person_must_decide_about_http_is_left_and_said() -> None:
    """abort: true and the Schedule are written; target, port and percent are for a person, and are still errors."""
    done = fix((FIXTURES / "handbook-1.x" / "http-abort.yaml").read_text())
    made, right = yaml.safe_load(done.text), yaml.safe_load((FIXTURES / "fixed" / "http-abort.yaml").read_text())
    assert made["spec"]["httpChaos"].pop("percent") == "50"
    del right["spec"]["httpChaos"]["target"], right["spec"]["httpChaos"]["port"]
    assert made == right
    assert sorted(rules(done.text)) == ["CHL-011", "CHL-105", "CHL-551"]


def test_comments_and_blank_lines_stay() -> None:
    """Every comment of the file is there after the fix, at the same depth or deeper, and so is its last line's end."""
    text = """\
# first
apiVersion: chaos-mesh.org/v1alpha1   # group
kind: PodChaos # kind
metadata:
  name: x   # name
  namespace: shop
spec: # spec
  # before the action
  action: pod-failure  # action

  mode: one
  scheduler: # by the clock
    # each
    cron: "@every 5m" # five
  # before the selector
  selector:
    namespaces: [shop] # shop
    labelSelectors:
      "app": web
  duration: '30s'   # half
# last"""
    done = fix(text)
    assert (
        done.text
        == """\
# first
apiVersion: chaos-mesh.org/v1alpha1   # group
kind: Schedule # kind
metadata:
  name: x   # name
  namespace: shop
spec: # spec
  # before the action
  # by the clock
  # each
  # five
  schedule: "@every 5m"
  type: PodChaos
  concurrencyPolicy: Forbid
  podChaos:
    action: pod-failure  # action

    mode: one
    # before the selector
    selector:
      namespaces: [shop] # shop
      labelSelectors:
        "app": web
    duration: '30s'   # half
# last"""
    )
    assert rules(done.text) == []


def test_windows_line_ends_and_byte_order_marks_stay(tmp_path: Path) -> None:
    """A file keeps its line ends and its mark; only the lines of the fix differ."""
    path = tmp_path / "x.yaml"
    text = (FIXTURES / "handbook-1.x" / "pod-failure.yaml").read_text()
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    assert fix_file(path)
    raw = path.read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf#")
    assert raw.count(b"\n") == raw.count(b"\r\n") == text.count("\n") + 2
    assert fix_file(path) == []
    assert path.read_bytes() == raw


UNTOUCHED = {
    "JSON": '{"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "PodChaos", "metadata": {"name": "x"}, '
    '"spec": {"action": "pod-failure", "scheduler": {"cron": "@hourly"}, "mode": "one", "duration": "1m", '
    '"selector": {"namespaces": ["shop"], "labelSelectors": {"app": "web"}}}}\n',
    "an anchor": "apiVersion: chaos-mesh.org/v1alpha1\nkind: PodChaos\nmetadata: {name: &n x, namespace: *n}\nspec:\n"
    "  action: pod-failure\n  mode: one\n  duration: 1m\n  selector: {namespaces: [shop], pods: {shop: [a]}}\n"
    "  scheduler: {cron: '@hourly'}\n",
    "more than cron": "apiVersion: chaos-mesh.org/v1alpha1\nkind: PodChaos\nmetadata: {name: x, namespace: shop}\n"
    "spec:\n  action: pod-failure\n  mode: one\n  duration: 1m\n  selector: {pods: {shop: [a]}}\n"
    "  scheduler:\n    cron: '@hourly'\n    zone: Europe/Berlin\n",
}


@pytest.mark.parametrize("text", UNTOUCHED.values(), ids=UNTOUCHED.keys())
def test_what_is_not_understood_is_not_touched(text: str) -> None:
    """JSON, anchors, and a scheduler with more than cron stay byte by byte, and the error stays as well."""
    assert fix(text).text == text
    assert "CHL-102" in rules(text)


@pytest.mark.parametrize("path", WRONG, ids=lambda p: p.stem)
def test_fixing_twice_is_fixing_once(path: Path) -> None:
    """The fixed text has no more errors than before, nothing left to fix, and fixing it again changes nothing."""
    text = path.read_text()
    done = fix(text)
    assert fix(done.text).text == done.text
    assert errors(done.text) <= errors(text) - len({f.rule.id for f in done.applied if f.severity == "error"})
    for finding in done.applied:
        assert finding.rule.fix, f"{finding.rule.id} edits the text, and its documentation does not say so"


SMALL = {
    "quotes": ("  action: loss\n  loss: {loss: 25}\n", '  action: loss\n  loss: {loss: "25"}\n'),
    "capitals": ("  action: Loss\n  loss: {loss: '5'}\n", "  action: loss\n  loss: {loss: '5'}\n"),
    "rate": ("  action: rate\n  rate: {rate: 1mbps}\n", "  action: netem\n  rate: {rate: 1mbps}\n"),
    "one unit": ("  action: delay\n  delay: {latency: 1m30s}\n", '  action: delay\n  delay: {latency: "90s"}\n'),
}


@pytest.mark.parametrize(("before", "after"), SMALL.values(), ids=SMALL.keys())
def test_small_fixes_change_their_own_value_only(before: str, after: str) -> None:
    """Quotes, capital letters, the action rate and durations of several units are written as Chaos Mesh reads them."""
    text = (
        "apiVersion: chaos-mesh.org/v1alpha1\nkind: NetworkChaos\nmetadata: {name: x, namespace: shop}\nspec:\n"
        "%s  mode: one\n  duration: 1m\n  selector: {namespaces: [shop], labelSelectors: {app: web}}\n"
    )
    done = fix(text % before)
    assert done.text == text % after
    assert rules(done.text) == []


def test_a_duration_in_a_workflow_becomes_the_deadline() -> None:
    """The template gets the deadline that the experiment's duration was meant to be."""
    text = (Path(__file__).parent / "data" / "chaos" / "workflow-duration.yaml").read_text()
    without = text.replace("    deadline: 30s\n", "").replace("duration: 30s", "duration: 45s # long")
    done = fix(without)
    (template,) = yaml.safe_load(done.text)["spec"]["templates"]
    assert template["deadline"] == "45s"
    assert "duration" not in template["podChaos"]
    assert "# long" in done.text
    assert rules(done.text) == []


def test_only_the_document_with_the_mistake_changes() -> None:
    """Of several documents the others keep every byte."""
    good = (FIXTURES / "fixed" / "dns-error.yaml").read_text()
    bad = (FIXTURES / "handbook-1.x" / "pod-failure.yaml").read_text()
    done = fix(f"{good}---\n{bad}---\n{good.replace('dns-error', 'other')}")
    first, _, last = done.text.split("---\n")
    assert first == good
    assert last == good.replace("dns-error", "other")


SPECS: dict[str, dict[str, Any]] = {
    "PodChaos": {"action": "pod-failure", "duration": "30s"},
    "StressChaos": {"stressors": {"cpu": {"workers": 1, "load": 20}}, "duration": "30s"},
    "IOChaos": {"action": "latency", "delay": "10ms", "volumePath": "/data", "percent": 50, "duration": "30s"},
    "TimeChaos": {"timeOffset": "-10m", "duration": "30s"},
    "DNSChaos": {"action": "error", "patterns": ["a.example", "b.*"], "duration": "30s"},
}


@st.composite
def old(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A 1.x manifest in a random layout, and what it must mean after the fix."""
    kind = draw(st.sampled_from(sorted(SPECS)))
    selector = {"namespaces": ["shop"], "labelSelectors": {"app": draw(st.sampled_from(["web", "a-b", "x.y"]))}}
    spec = {**copy.deepcopy(SPECS[kind]), "mode": "one", "selector": selector}
    new = copy.deepcopy(spec)
    cron = draw(st.sampled_from(["@every 10m", "*/15 * * * *", "@hourly"]))
    spec["scheduler"] = {"cron": cron}
    if draw(st.booleans()) and kind != "DNSChaos":
        spec["containerName"] = "main"
        new["containerNames"] = ["main"]
    if draw(st.booleans()):
        spec["mode"] = new["mode"] = "fixed"
        spec["value"], new["value"] = 2, "2"
    spec = {name: spec[name] for name in draw(st.permutations(sorted(spec)))}
    given_kind = "IoChaos" if kind == "IOChaos" and draw(st.booleans()) else kind
    group = draw(st.sampled_from(["chaos-mesh.org", "pingcap.com"]))
    meta = {"name": "x", "namespace": "shop"}
    data = {"apiVersion": f"{group}/v1alpha1", "kind": given_kind, "metadata": meta, "spec": spec}
    text = yaml.safe_dump(data, sort_keys=False, indent=draw(st.sampled_from([2, 3, 4])))
    lines = []
    for number, line in enumerate(text.splitlines()):
        if draw(st.integers(0, 5)) == 0:
            indent = " " * draw(st.integers(0, 8))
            lines.append(draw(st.sampled_from(["", f"{indent}# note {number}"])))
        lines.append(line + draw(st.sampled_from(["", "", "  # why: because"])))
    wanted = {
        "apiVersion": "chaos-mesh.org/v1alpha1",
        "kind": "Schedule",
        "metadata": meta,
        "spec": {"schedule": cron, "type": kind, "concurrencyPolicy": "Forbid", BLOCKS[kind]: new},
    }
    return "\n".join(lines) + draw(st.sampled_from(["\n", ""])), wanted


@examples(40, 500)
@given(old())
def test_any_layout_of_a_1x_manifest_gets_the_same_meaning(case: tuple[str, dict[str, Any]]) -> None:
    """Whatever the order of the fields, the indentation and the comments: the fix means what the 1.x file meant, keeps
    every comment, and leaves no error."""
    text, wanted = case
    done = fix(text)
    assert yaml.safe_load(done.text) == wanted, done.text
    assert [r for r in rules(done.text) if r != "CHL-606"] == []
    assert done.text.count("#") == text.count("#"), done.text
    assert fix(done.text).text == done.text
