"""Mistakes of the user: one clear message, exit code 4, and nothing made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Inner

MISTAKES = {
    "provider": (["--k8sha-cluster=east=lokal"], "*unknown provider: 'lokal'; did you mean 'local'?*"),
    "key": (["--k8sha-cluster=east=local,memmbers=3"], "*unknown key 'memmbers'; did you mean 'members'?*"),
    "value": (["--k8sha-cluster=east=local,members=nine"], "*cluster east: members: *'nine'*"),
    "form": (["--k8sha-cluster=east"], "*NAME=PROVIDER*'east'*e.g. east=local*"),
    "name": (["--k8sha-cluster=East!=local"], "*lower-case DNS label*'East!'*"),
    "twice": (["--k8sha-cluster=a=local", "--k8sha-cluster=a=local"], "*two clusters have one name: 'a'*"),
    "context": (["--k8sha-cluster=prod=context:nope,kubeconfig=config"], "*unknown kubeconfig context: 'nope'*here*"),
    "kubeconfig": (["--k8sha-cluster=prod=context:here,kubeconfig=missing"], "*missing*"),
    "both": (["--k8sha-cluster=a=local", "--k8sha-fleet=fleet.yaml"], "*not both: 'fleet.yaml'*"),
    "no file": (["--k8sha-fleet=missing.yaml"], "*missing.yaml*cannot be read*"),
    "impact": (["--k8sha-cluster=a=local", "--k8sha-impact=much"], "*--k8sha-impact*'much'*observe*"),
    "ceiling": (["--k8sha-cluster=a=local,ceiling=much"], "*ceiling*'much'*observe*"),
    "model": (["--k8sha-cluster=a=local,tenants=namspace"], "*unknown tenancy model: 'namspace'*'namespace'*existing*"),
    "mapping": (["--k8sha-cluster=a=local,tenants=existing:missing"], "*missing*cannot be read*"),
    "out": (["--k8sha-out=config"], "*--k8sha-out is not a folder*"),
    "compare": (["--k8sha-compare=missing.jsonl", "--k8sha-out=out"], "*no such record*missing.jsonl*"),
    "record": (["--k8sha-record=config"], "*not a record*config*"),
}

KUBECONFIG = """
apiVersion: v1
kind: Config
current-context: here
contexts: [{name: here, context: {cluster: c, user: u}}]
clusters: [{name: c, cluster: {server: "https://127.0.0.1:9"}}]
users: [{name: u, user: {token: abcdefgh}}]
"""


@pytest.mark.parametrize("case", MISTAKES)
def test_mistake(inner: Inner, case: str) -> None:
    """The message says what was wrong, with the value and what is allowed; pytest's exit code is that of usage."""
    inner.write("def test_a(cluster): pass\n")
    (inner.pytester.path / "config").write_text(KUBECONFIG)
    args, message = MISTAKES[case]
    result = inner.pytester.runpytest_inprocess("-p", "no:cacheprovider", *args)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines([message])
    assert inner.left() == []


MODEL = """
from pytest_k8sha.tenancy.models.namespace import NamespaceModel

class Mine(NamespaceModel):
    name = "mine"

def pytest_k8sha_tenancy_models(config):
    return [Mine()]
"""


def test_a_plugin_adds_a_tenancy_model(inner: Inner) -> None:
    """Its name is known wherever a tenant is ordered, and told where another one was meant."""
    inner.write("def test_a(cluster): pass\n", conftest=MODEL)
    known = inner.pytester.runpytest_inprocess("--co", "-q", "--k8sha-cluster=east=local,tenants=mine")
    assert known.ret == pytest.ExitCode.OK
    wrong = inner.pytester.runpytest_inprocess("--co", "-q", "--k8sha-cluster=east=local,tenants=mien")
    assert wrong.ret == pytest.ExitCode.USAGE_ERROR
    wrong.stderr.fnmatch_lines(["*unknown tenancy model: 'mien'; did you mean 'mine'?*existing, mine, namespace*"])


def test_all_mistakes_of_all_files_at_once(inner: Inner) -> None:
    """Fleet file, tenant template and manifests are read before anything is made; every mistake has file and line."""
    inner.write("def test_a(cluster): pass\n")
    path = inner.pytester.path
    (path / "good").mkdir()
    (path / "good" / "tenant.yaml").write_text("namespaces: []\npersonas: {}\nwho: me\n")
    (path / "web.yaml").write_text("kind: Pod\nkind: Pod\n---\napiVersion: v1\nkind: Pod\nmetadata: {}\n")
    (path / "fleet.yaml").write_text(
        "clusters:\n  east:\n    provider: local\n    apply: [web.yaml]\n"
        "    tenants:\n    - {name: a, template: good}\n"
    )
    result = inner.pytester.runpytest_inprocess("-p", "no:cacheprovider", "--k8sha-fleet=fleet.yaml")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    text = result.stderr.str()
    for part in (
        "nothing was changed",
        "web.yaml:2: kind",
        "apiVersion: is missing",
        "tenant.yaml:3: who",
        "namespaces",
    ):
        assert part in text
    assert inner.left() == []


def test_damaged_record(inner: Inner) -> None:
    """A record that was changed is not continued."""
    inner.write("def test_a(run): pass\n")
    inner.run()
    text = inner.record.read_text()
    inner.record.write_text(text.replace("run.start", "run.shart", 1))
    result = inner.run()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*the record cannot be continued*"])


def test_continued_record(inner: Inner) -> None:
    """A whole record is continued, and the chain stays whole."""
    inner.write("def test_a(run): pass\n")
    inner.run()
    inner.run()
    assert len(inner.lines("run.end")) == 2


def test_help(inner: Inner) -> None:
    """Every option is explained under its own heading."""
    text = inner.pytester.runpytest_inprocess("--help").stdout.str()
    assert "Kubernetes clusters (pytest-k8sha):" in text
    for option in ("cluster", "fleet", "impact", "out", "record", "reuse", "keep", "traceback"):
        assert f"--k8sha-{option}" in text


def test_bad_ini(inner: Inner) -> None:
    """A value of the ini file is checked like one of the command line."""
    inner.write("def test_a(cluster): pass\n")
    inner.pytester.makeini("[pytest]\nk8sha_keep = sometimes\n")
    result = inner.pytester.runpytest_inprocess("--k8sha-cluster=a=local")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*unknown value of k8sha_keep: 'sometimes'; *allowed: always, failure, never*"])
