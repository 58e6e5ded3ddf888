"""Policies are read strictly: every mistake with its path, line and field, all of them at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_k8sha.errors import FileProblems
from pytest_k8sha.fleet.spec import TenantOrder
from pytest_k8sha.tenancy.network.policy import load, of
from pytest_k8sha.tenancy.template import prepare
from tests.unit.network_worlds import policy, written

WRONG = """\
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: x, namespace: a}
spec:
  podSelector: {}
  policyTypes: [Ingres]
  ingress:
  - from:
    - ipBlock:
        cidr: 10.0.0.0
    - ipBlock:
        cidr: 10.0.0.0/8
        except: [11.0.0.0/8]
    - namespaceSelector: {matchLabel: {a: b}}
    - {}
    - {ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}
    - podSelector: {matchExpressions: [{key: a, operator: In}]}
    ports:
    - port: "80"
    - {port: 90000}
    - {port: http, endPort: 3}
    - {port: 9, endPort: 3}
    - {port: true}
    - {protocol: ICMP}
  egress: {}
---
apiVersion: extensions/v1beta1
kind: NetworkPolicy
metadata: {}
"""


def test_every_mistake_is_told_with_its_line_and_field(tmp_path: Path) -> None:
    """One reading of the file names all of its mistakes."""
    path = tmp_path / "wrong.yaml"
    path.write_text(WRONG)
    with pytest.raises(FileProblems) as caught:
        load([path])
    told = [(p.line, p.field, p.message) for p in caught.value.problems]
    peers, ports = "spec.ingress.0.from", "spec.ingress.0.ports"
    expected = [
        (6, "spec.policyTypes.0", "Input should be 'Ingress' or 'Egress'"),
        (10, f"{peers}.0.ipBlock.cidr", "a CIDR such as 10.0.0.0/32 is expected"),
        (11, f"{peers}.1.ipBlock", "except 11.0.0.0/8 is not strictly inside 10.0.0.0/8"),
        (14, f"{peers}.2.namespaceSelector.matchLabel", "is not known"),
        (8, f"{peers}.3", "a peer is expected"),
        (16, f"{peers}.4", "cannot stand beside a selector"),
        (17, f"{peers}.5.podSelector.matchExpressions.0", "In needs values"),
        (19, f"{ports}.0.port", "'80' is no port name"),
        (20, f"{ports}.1.port", "90000 is not between"),
        (21, f"{ports}.2", "endPort needs a numeric port"),
        (22, f"{ports}.3", "endPort 3 is not between port 9"),
        (23, f"{ports}.4.port", "Input should be a valid integer"),
        (24, f"{ports}.5.protocol", "Input should be 'TCP', 'UDP' or 'SCTP'"),
        (25, "spec.egress", "valid list"),
        (27, "apiVersion", "networking.k8s.io/v1 is expected"),
        (29, "metadata.name", "is missing"),
    ]
    for line, field, words in expected:
        assert any(t[1] == field and words in t[2] for t in told), (field, words)
        assert any(t[0] in {line, line - 1} and t[1] == field for t in told), (line, field, told)
    assert len(told) == len(expected)


def test_files_that_hold_no_policy(tmp_path: Path) -> None:
    """Other kinds are left out, lists are opened, broken YAML and missing files are mistakes."""
    good = tmp_path / "good.yaml"
    good.write_text(
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: networking.k8s.io/v1\n  kind: NetworkPolicy\n"
        "  metadata: {name: a}\n  spec: {podSelector: {}}\n- {apiVersion: v1, kind: Secret, metadata: {name: s}}\n"
    )
    assert [str(p) for p in load([good], namespace="home")] == ["home/a"]
    broken = tmp_path / "broken.yaml"
    broken.write_text("a: [")
    with pytest.raises(FileProblems, match="is not YAML"):
        load([broken])
    with pytest.raises(FileProblems, match="does not exist"):
        load([tmp_path / "none.yaml"])


def test_placeholders_are_filled_before_a_policy_is_read(tmp_path: Path) -> None:
    """A template's policy is read as it will be sent, and a mistake has the line of the template."""
    file = tmp_path / "policy.yaml"
    text = (
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: out, namespace: '${tenant}'}\n"
        "spec:\n  podSelector: {}\n  egress:\n  - to:\n    - ipBlock:\n        cidr: '${database}/32'\n"
    )
    file.write_text(text)
    (found,) = load([tmp_path], values={"tenant": "blue", "database": "192.0.2.7"})
    assert str(found) == "blue/out"
    with pytest.raises(FileProblems, match=r"policy\.yaml:9: spec\.egress\.0\.to\.0\.ipBlock\.cidr"):
        load([file], values={"tenant": "blue", "database": "the-database"})
    with pytest.raises(FileProblems, match="database"):
        load([file], values={"tenant": "blue"})


def test_what_the_server_returns_is_read() -> None:
    """Nulls, absent lists and defaults, as the API server sends them back."""
    spec = {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{"from": None, "ports": [{"protocol": "UDP"}]}]}
    found = of(written(spec))
    assert found.directions == {"Ingress"}
    assert found.rules("Ingress")[0].peers == []
    assert policy(podSelector={"matchLabels": None}).spec.pod_selector.everything


def test_an_object_that_is_no_policy_is_refused() -> None:
    """A manifest given directly has the same strictness; the error names the cluster as the place."""
    with pytest.raises(FileProblems, match=r"the cluster: spec.podSelectors: is not known"):
        of(written({"podSelectors": {}}))


def test_a_template_with_a_policy_that_cannot_be_meant(tmp_path: Path) -> None:
    """Each mistake is told with file, line and field before a cluster is touched; so is a file that is no YAML."""
    (tmp_path / "tenant.yaml").write_text("namespaces: ['${tenant}']\npersonas: {admin: {user: a}}\n")
    bad = tmp_path / "network.yaml"
    bad.write_text(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: deny, namespace: '${tenant}'}\n"
        "spec:\n  podSelector: {}\n  policyType: [Ingress]\n"
    )
    order = TenantOrder(name="blue", template=tmp_path)
    with pytest.raises(FileProblems, match=r"network\.yaml:6: spec\.policyType: is not known"):
        prepare(order)
    bad.write_text("kind: NetworkPolicy\nspec: [\n")
    with pytest.raises(FileProblems, match="is not YAML"):
        prepare(order)
