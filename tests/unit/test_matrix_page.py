"""The detection matrix is one page made of the shares of several folders of tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.matrix import OUTPUT, Matrix


def test_shares_add_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What one folder's clusters cannot evaluate another's can: the verdict that was reached counts, and each mutant
    stands with the check that failed on it. Without the variable nothing is written."""
    local, kind = Matrix(), Matrix()
    local.titles["TEN-NET-002"] = "tenants stay apart"
    local.put("TEN-NET-002", "tenancy/good", "not evaluated")
    kind.put("TEN-NET-002", "network/good", "passed")
    kind.put("TEN-NET-002", "network/every-namespace", "failed")
    kind.seconds["network/good"] = 31.0
    monkeypatch.delenv(OUTPUT, raising=False)
    local.write()
    monkeypatch.setenv(OUTPUT, str(tmp_path / "matrix"))
    local.write()
    kind.write("matrix-kind")
    whole = Matrix.read(sorted((tmp_path / "matrix").glob("matrix*.json")))
    assert "| TEN-NET-002 | tenants stay apart | passed | every-namespace |" in whole.as_markdown()
    assert any("slowest: network/good 31.0 s" in line for line in whole.lines())
    assert list(Matrix.read([]).rows) == []


def test_a_failure_on_the_good_set_up_shows(tmp_path: Path) -> None:
    """It is never hidden behind another folder's pass."""
    matrix = Matrix()
    matrix.put("A", "one/good", "passed")
    matrix.put("A", "two/good", "failed")
    assert matrix.good("A") == "failed, passed"
    assert matrix.killers("A") == []
