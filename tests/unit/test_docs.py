"""The pages that are made from the code say what the code says."""

from __future__ import annotations

import re
import runpy
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_made_pages_are_fresh(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`ci/docs` would write docs/options.md and docs/checks.md as they are."""
    monkeypatch.setattr(sys, "argv", ["ci/docs", "--check"])
    with pytest.raises(SystemExit) as end:  # in this process, which has most of what it needs loaded
        runpy.run_path(str(ROOT / "ci" / "docs"), run_name="__main__")
    assert end.value.code == 0, capsys.readouterr().err


def test_links_between_pages_lead_somewhere() -> None:
    """Every relative link and picture in the README and in docs/ exists."""
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not broken, "\n".join(broken)
