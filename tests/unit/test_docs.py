"""The pages that are made from the code say what the code says."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from pytest_k8sha._process import run

ROOT = Path(__file__).parents[2]


def test_made_pages_are_fresh() -> None:
    """`ci/docs` would write docs/options.md and docs/checks.md as they are."""
    done = run([sys.executable, ROOT / "ci" / "docs", "--check"], timeout=60, cwd=ROOT, check=False)
    assert done.code == 0, done.stderr


def test_links_between_pages_lead_somewhere() -> None:
    """Every relative link and picture in the README and in docs/ exists."""
    broken = [
        f"{page.relative_to(ROOT)}: {target}"
        for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text())
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not broken, "\n".join(broken)
