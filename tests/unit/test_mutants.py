"""Mutant files: strict, and a change that changes nothing is a mistake."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_k8sha.checks import mutants
from pytest_k8sha.errors import FileProblems


def _write(folder: Path, text: str) -> Path:
    path = folder / "tenancy" / "broken.yaml"
    path.parent.mkdir()
    path.write_text(text)
    return path


def test_a_mutant_changes_deletes_and_adds(tmp_path: Path) -> None:
    """A merge patch, a deletion and an overlay, over objects that stay as they were."""
    _write(
        tmp_path,
        "title: broken\nchecks: [TEN-ACC-001]\n"
        "patch:\n- {kind: Role, name: a, patch: {rules: [x], drop: null}}\n- {kind: Secret, delete: true}\n"
        "overlay: [{kind: ConfigMap, metadata: {name: new}}]\n",
    )
    found = mutants.load([tmp_path])["tenancy/broken"]
    good = [
        {"kind": "Role", "metadata": {"name": "a"}, "rules": [], "drop": 1},
        {"kind": "Role", "metadata": {"name": "b"}, "rules": []},
        {"kind": "Secret", "metadata": {"name": "s"}},
    ]
    assert found.changed(good) == [
        {"kind": "Role", "metadata": {"name": "a"}, "rules": ["x"]},
        {"kind": "Role", "metadata": {"name": "b"}, "rules": []},
        {"kind": "ConfigMap", "metadata": {"name": "new"}},
    ]
    assert good[0]["drop"] == 1


def test_a_change_that_fits_nothing_is_refused(tmp_path: Path) -> None:
    """Such a mutant would be the good set-up, and its check would have to fail on that."""
    _write(tmp_path, "title: broken\nchecks: [TEN-ACC-001]\npatch: [{kind: Role, name: none, delete: true}]\n")
    with pytest.raises(ValueError, match="there is no Role none"):
        mutants.load([tmp_path])["tenancy/broken"].changed([])


def test_every_mistake_is_told_with_its_line(tmp_path: Path) -> None:
    """An unknown key, a wrong id and a missing title, at once."""
    path = _write(tmp_path, "checks: [ACC-1]\nsay: [x]\n")
    with pytest.raises(FileProblems) as caught:
        mutants.load([path])
    told = str(caught.value)
    assert "3 mistakes" in told
    assert "title" in told
    assert ":2: say" in told


def test_merge_follows_rfc_7386() -> None:
    """The examples of appendix A that differ in kind."""
    assert mutants.merge({"a": "b"}, {"a": None}) == {}
    assert mutants.merge({"a": ["b"]}, {"a": "c"}) == {"a": "c"}
    assert mutants.merge({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}) == {"a": {"b": "d"}}
    assert mutants.merge({"a": "foo"}, "bar") == "bar"
    assert mutants.merge({}, {"a": {"bb": {"ccc": None}}}) == {"a": {"bb": {}}}
