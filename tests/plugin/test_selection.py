"""Which tests run on which clusters. Nothing here makes a cluster: tests are only collected, or not evaluated."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.plugin.conftest import Inner

TWO = ("--k8sha-cluster=east=local", "--k8sha-cluster=west=local,members=3")

TESTS = """
def test_one(cluster): pass

class TestMany:
    @pytest.mark.parametrize("size", [1, 2])
    def test_sized(self, size, tenant): pass

@pytest.mark.k8sha_clusters(2)
def test_across(fleet): pass

def test_none(run): pass

@pytest.fixture
def mine(cluster): return cluster

def test_indirect(mine): pass
"""


def names(inner: Inner, *args: str) -> list[str]:
    result = inner.run("--co", "-q", *args)
    return sorted(line.partition("::")[2] for line in result.outlines if "::" in line)


def test_ids(inner: Inner) -> None:
    """A test that needs a cluster, however it comes by it, runs once on each; one across all runs once."""
    inner.write(TESTS)
    assert names(inner, *TWO) == [
        "TestMany::test_sized[east-1]",
        "TestMany::test_sized[east-2]",
        "TestMany::test_sized[west-1]",
        "TestMany::test_sized[west-2]",
        "test_across",
        "test_indirect[east]",
        "test_indirect[west]",
        "test_none",
        "test_one[east]",
        "test_one[west]",
    ]


def test_select_a_cluster(inner: Inner) -> None:
    """-k east selects the tests of one cluster."""
    inner.write(TESTS)
    assert all("[east" in name for name in names(inner, *TWO, "-k", "east"))


def test_default_cluster(inner: Inner) -> None:
    """Without any option there is one cluster, `local`."""
    inner.write(TESTS)
    result = inner.pytester.runpytest_inprocess("--co", "-q", "-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(["test_inner.py::test_one[[]local[]]"])


def test_ini_and_precedence(inner: Inner) -> None:
    """Clusters may be named in the ini file; the command line replaces them."""
    inner.write(TESTS)
    inner.pytester.makeini("[pytest]\nk8sha_clusters =\n    a=local\n    b=local,nodes=5\n")
    assert "test_one[b]" in names(inner)
    assert "test_one[b]" not in names(inner, *TWO)


def test_fleet_file(inner: Inner) -> None:
    """A fleet file names the clusters as well."""
    inner.write(TESTS)
    inner.pytester.makefile(".yaml", fleet="clusters:\n  red: {provider: local}\n  blue: {provider: local, nodes: 1}\n")
    assert "test_one[red]" in names(inner, "--k8sha-fleet=fleet.yaml")


NOT_EVALUATED = """
@check("TST-SEL-001", "t", severity="low", impact="observe", clusters=2)
def test_two(judge, fleet): judge.ok("x")

@check("TST-SEL-002", "t", severity="low", impact="disrupt")
def test_disrupts(judge, cluster): judge.ok("x")

@pytest.mark.k8sha_impact("disrupt")
def test_ordinary(cluster): pass
"""


def test_decided_before_anything_is_made(inner: Inner) -> None:
    """Too few clusters, or an impact above the limit of the run: not evaluated, and no cluster is made to find out."""
    inner.write(NOT_EVALUATED)
    result = inner.run("--k8sha-cluster=east=local", "--k8sha-impact=observe", "-rs")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*1 skipped, 2 not evaluated*"])
    assert inner.results()["TST-SEL-001"]["reason"] == "needs 2 clusters, and 1 are named"
    assert "this run may do no more than observe" in inner.results()["TST-SEL-002"]["reason"]
    assert inner.lines("cluster") == []


def test_bad_markers(inner: Inner) -> None:
    """A marker that cannot be meant is an error of its own file, with the allowed values."""
    inner.write("@pytest.mark.k8sha_impact('distrub')\ndef test_a(cluster): pass\n", test_good="def test_b(): pass\n")
    result = inner.run("--k8sha-cluster=east=local")
    assert result.ret == 2
    result.stdout.fnmatch_lines(["*unknown impact: 'distrub'; did you mean 'disrupt'? allowed: *"])
    inner.write("@pytest.mark.k8sha_requires('nodes:')\ndef test_a(cluster): pass\n")
    inner.run().stdout.fnmatch_lines(["*unknown requirement of a check: 'nodes:'*"])


def test_markers_are_registered(inner: Inner) -> None:
    """--strict-markers accepts them and --markers explains them."""
    inner.write(TESTS)
    assert names(inner, "--strict-markers")
    text = inner.pytester.runpytest_inprocess("--markers").stdout.str()
    for marker in ("k8sha_impact(level)", "k8sha_requires(*capabilities)", "k8sha_clusters(count)"):
        assert marker in text
