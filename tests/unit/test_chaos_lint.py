"""Each wrong manifest of tests/unit/data/chaos is caught for its own reason, on its own line, and for nothing else.

A line of a manifest that ends in ``# CHL-…`` is where that rule must speak; ``# expect: CHL-…`` in a line of its own
leaves the place open.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_k8sha.chaos.lint import catalogue, shapes
from pytest_k8sha.chaos.lint.linter import Linter, Result, lint

ROOT = Path(__file__).parents[2]
WRONG = sorted((Path(__file__).parent / "data" / "chaos").glob("*.yaml"))
FIXTURES = ROOT / "fixtures" / "chaos"


def expected(text: str) -> tuple[set[tuple[int, str]], set[str]]:
    """The findings that a manifest declares: with their line, and without one."""
    placed, anywhere = set(), set()
    for number, line in enumerate(text.splitlines(), 1):
        if open_ := re.match(r"# expect: (CHL-\d+)", line):
            anywhere.add(open_[1])
        elif marked := re.search(r"# (CHL-\d+)$", line):
            placed.add((number, marked[1]))
    return placed, anywhere


@pytest.mark.parametrize("path", WRONG, ids=lambda p: p.stem)
def test_each_wrong_manifest_is_caught_for_its_own_reason(path: Path) -> None:
    """The findings are exactly those that the manifest declares, on those lines."""
    placed, anywhere = expected(path.read_text())
    assert placed or anywhere
    found = lint([path]).findings
    assert {(f.line, f.rule.id) for f in found if f.rule.id not in anywhere} == placed, "\n".join(map(str, found))
    assert {f.rule.id for f in found} >= anywhere


def test_there_are_enough_wrong_manifests() -> None:
    """Sixty at least, and no rule goes without one, apart from the pattern of a CRD, which needs a CRD."""
    proved = set()
    for path in WRONG:
        placed, anywhere = expected(path.read_text())
        proved |= anywhere | {rule for _, rule in placed}
    assert len(WRONG) >= 60
    assert {rule.id for rule in catalogue.rules()} - proved == {"CHL-017"}


@pytest.mark.parametrize("path", WRONG, ids=lambda p: p.stem)
def test_each_finding_says_enough(path: Path) -> None:
    """The mistakes have a place, a message, a remedy and an anchor in the documentation."""
    document = (ROOT / "docs" / "chaos-lint.md").read_text()
    for finding in lint([path]).findings:
        assert finding.message
        assert finding.remedy
        assert f"### {finding.rule.id}\n" in document
        assert finding.rule.anchor == f"docs/chaos-lint.md#{finding.rule.id.lower()}"
        assert finding.line >= 0
        assert finding.column >= (1 if finding.line else 0)


@pytest.mark.parametrize("path", sorted((FIXTURES / "fixed").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_fixed_form_of_the_handbook_lints_clean(path: Path) -> None:
    """Nothing at all is said of the eight experiments in the form of 2.x."""
    result = lint([path], strict=True)
    assert result.findings == []
    assert result.objects == 1


@pytest.mark.parametrize("path", sorted((FIXTURES / "handbook-1.x").glob("*.yaml")), ids=lambda p: p.stem)
def test_the_1x_form_of_the_handbook_is_refused(path: Path) -> None:
    """Each of the eight is told that it would run once instead of by the clock, and there is a fixed form of it."""
    result = lint([path])
    assert "CHL-102" in {f.rule.id for f in result.findings}
    assert result.exit_code == 1
    assert (FIXTURES / "fixed" / path.name).is_file()


def test_the_eight_are_there() -> None:
    """Pod failure, delay, loss, IO latency, stress, time offset, DNS error and HTTP abort."""
    assert len(list((FIXTURES / "fixed").glob("*.yaml"))) == 8


def test_a_place_is_that_of_the_value_in_a_nested_list() -> None:
    """Line and column count from 1 and point at the value, in block and in flow style."""
    text = """\
apiVersion: chaos-mesh.org/v1alpha1
kind: DNSChaos
metadata: {name: x, namespace: shop}
spec:
  action: error
  mode: one
  duration: 1m
  selector: {namespaces: [shop], labelSelectors: {app: web}}
  patterns: [example.com, "é", "*.example.com"]
"""
    (finding,) = Linter().text(text, "x.yaml")
    assert (finding.line, finding.column, finding.field) == (9, 32, "spec.patterns[2]")


def test_names_collide_across_files(tmp_path: Path) -> None:
    """A DNSChaos of the same name in another namespace and another file is found, with the place of the first."""
    text = (
        "apiVersion: chaos-mesh.org/v1alpha1\nkind: DNSChaos\nmetadata: {{name: x, namespace: {0}}}\nspec:\n"
        "  {{action: error, mode: one, duration: 1m, patterns: [a.example],"
        " selector: {{namespaces: [{0}], labelSelectors: {{app: web}}}}}}\n"
    )
    for name in ("shop", "bank"):
        (tmp_path / f"{name}.yaml").write_text(text.format(name))
    (finding,) = lint([tmp_path]).findings
    assert finding.rule.id == "CHL-542"
    assert "bank.yaml:3" in finding.message


def test_items_of_a_list_are_checked() -> None:
    """The objects in a `kind: List`, as kubectl prints it, are objects of their own."""
    text = (
        '{"apiVersion": "v1", "kind": "List", "items": ['
        '{"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "PodChaos", "metadata": {"name": "x"}, "spec": {'
        '"action": "pod-failure", "mode": "one", "selector": {"namespaces": ["shop"]}}}]}'
    )
    linter = Linter()
    assert [f.rule.id for f in linter.text(text, "x.json")] == ["CHL-304"]
    assert linter.result.objects == 1


def test_strict_makes_warnings_errors() -> None:
    """A warning alone passes; with strict it does not."""
    path = Path(__file__).parent / "data" / "chaos" / "no-namespaces.yaml"
    assert lint([path]).exit_code == 0
    assert lint([path], strict=True).exit_code == 1


def test_exit_code_2_comes_before_1(tmp_path: Path) -> None:
    """A missing file, one that is no text and an empty folder cannot be read; the others are still judged."""
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "empty").mkdir()
    wrong = Path(__file__).parent / "data" / "chaos" / "unknown-field.yaml"
    result = lint([tmp_path / "none.yaml", tmp_path / "binary.yaml", tmp_path / "empty", wrong])
    assert [f.rule.id for f in result.findings] == ["CHL-001", "CHL-001", "CHL-001", "CHL-010"]
    assert result.exit_code == 2
    assert Result().exit_code == 0


def test_the_nearest_field_is_named() -> None:
    """An unknown field is answered with the field that is most like it."""
    path = Path(__file__).parent / "data" / "chaos" / "misspelt-selector.yaml"
    (finding,) = lint([path]).findings
    assert "'labelSelectors'" in finding.message


def test_shapes_come_from_crds(tmp_path: Path) -> None:
    """With --schemas the fields of the CRD count: its enum, its pattern, its unknown fields."""
    crd = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: podchaos.chaos-mesh.org}
spec:
  group: chaos-mesh.org
  names: {kind: PodChaos, plural: podchaos}
  versions:
  - name: v1alpha1
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            required: [action, weather]
            properties:
              action: {type: string, enum: [pod-freeze]}
              duration: {type: string}
              weather: {type: string, pattern: '^s'}
              count: {type: integer, minimum: 0, exclusiveMinimum: true}
              mode: {type: string}
              selector: {type: object, x-kubernetes-preserve-unknown-fields: true}
"""
    (tmp_path / "crd.yaml").write_text(crd)
    bundle = shapes.from_folder(tmp_path)
    text = """\
apiVersion: chaos-mesh.org/v1alpha1
kind: PodChaos
metadata: {name: x, namespace: shop}
spec:
  action: pod-melt
  duration: 1m
  weather: rain
  count: 0
  value: "1"
  mode: one
  selector: {namespaces: [shop], whatever: 1}
"""
    found = {(f.line, f.rule.id) for f in Linter(bundle).text(text, "x.yaml")}
    assert found == {(5, "CHL-013"), (7, "CHL-017"), (8, "CHL-014"), (9, "CHL-010"), (9, "CHL-203")}
    assert "NetworkChaos" in bundle.kinds


def test_a_folder_without_crds_is_refused(tmp_path: Path) -> None:
    """--schemas with a folder that holds none says so, instead of judging by the bundle in silence."""
    from pytest_k8sha.errors import FileProblems

    with pytest.raises(FileProblems, match="CustomResourceDefinition"):
        shapes.from_folder(tmp_path)


def test_the_documentation_is_made_from_the_code() -> None:
    """docs/chaos-lint.md is what `k8sha chaos rules --markdown` prints."""
    assert (ROOT / "docs" / "chaos-lint.md").read_text().rstrip() == catalogue.markdown().rstrip()


def test_every_kind_has_a_shape() -> None:
    """The kinds of the reference are all there, and the others are known as unchecked."""
    bundle = shapes.bundled()
    kinds = "PodChaos NetworkChaos IOChaos StressChaos TimeChaos DNSChaos HTTPChaos KernelChaos BlockChaos JVMChaos"
    assert set(bundle.kinds) == {*kinds.split(), "Schedule", "Workflow", "StatusCheck"}
    assert {"PhysicalMachineChaos", "AWSChaos", "AzureChaos", "GCPChaos"} <= bundle.unchecked


def test_a_comment_allows_one_rule_on_one_line() -> None:
    """The finding goes to `allowed`; another rule, another line or a file that cannot be read is not allowed by it."""
    path = Path(__file__).parent / "data" / "chaos" / "partition-from-everybody.yaml"
    for comment, allowed in (("CHL-406", 1), ("CHL-301, CHL-406", 1), ("CHL-405", 0)):
        linter = Linter()
        text = path.read_text().replace("# CHL-406", f"# k8sha: allow {comment}")
        assert len(linter.text(text, "x.yaml")) == 1 - allowed
        assert len(linter.result.allowed) == allowed
    above = path.read_text().replace("  action:", "  # on purpose; k8sha: allow\n  # k8sha: allow CHL-406\n  action:")
    assert Linter().text(above, "x.yaml") == []
    assert Linter().text("# k8sha: allow CHL-001\n{", "x.yaml")


def test_a_manifest_that_is_no_file_is_judged() -> None:
    """As a library: a mapping is linted, and the field says where the mistake is."""
    manifest = {"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "PodChaos", "metadata": {"name": "x"}, "spec": {}}
    assert {f.message for f in Linter().manifest(manifest)} >= {"'action' is missing", "'mode' is missing"}


def test_a_kind_without_rules_inside_a_schedule_is_said() -> None:
    """What is not checked is never silently clean, wherever it stands."""
    text = (
        "apiVersion: chaos-mesh.org/v1alpha1\nkind: Schedule\nmetadata: {name: x}\nspec:\n  schedule: '@hourly'\n"
        "  type: GCPChaos\n  concurrencyPolicy: Forbid\n  gcpChaos: {action: node-stop}\n"
    )
    assert [(f.line, f.rule.id) for f in Linter().text(text, "x.yaml")] == [(8, "CHL-007")]


def test_files_may_be_alternatives(tmp_path: Path) -> None:
    """One name in two files is a warning; in one file it is an error."""
    text = (Path(__file__).parent / "data" / "chaos" / "same-twice.yaml").read_text().split("---\n")[1]
    (tmp_path / "a.yaml").write_text(text)
    (tmp_path / "b.yaml").write_text(text)
    assert [(f.rule.id, f.severity) for f in lint([tmp_path]).findings] == [("CHL-020", "warning")]
