"""Where nobody uses it, the installed plugin imports nothing that costs."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import pytest

from pytest_k8sha import _process

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = {
    *("kubernetes", "yaml", "pydantic", "urllib3", "jinja2", "rich", "psutil", "cryptography", "tenacity"),
    *("filelock", "platformdirs", "rfc8785"),
}

SPY = """
import json, os, sys

def pytest_unconfigure(config):
    who = getattr(config, "workerinput", {}).get("workerid", "main")
    with open(os.path.join(os.path.dirname(__file__), who + ".json"), "w") as file:
        json.dump(sorted(sys.modules), file)
"""


def _run(folder: Path, *args: str) -> list[set[str]]:
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "conftest.py").write_text(SPY)
    (folder / "test_empty.py").write_text("def test_empty(): pass\n")
    # Other plugins of the developer's environment may import anything.
    argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *args]
    env = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PATH": "", "HOME": str(folder)}
    _process.run([*argv, "-p", "pytest_k8sha.plugin"], timeout=120, cwd=folder, env=env)
    return [set(json.loads(path.read_text())) for path in folder.glob("*.json")]


@pytest.mark.parametrize("args", [(), ("-p", "xdist", "-n", "1")], ids=["plain", "xdist"])
def test_nothing_heavy_is_imported(tmp_path: Path, args: tuple[str, ...]) -> None:
    """An idle run, its xdist controller and its worker import no client, YAML or HTTP module, and of this package only
    what declares options, fixtures and hooks."""
    processes = _run(tmp_path, *args)
    assert len(processes) == 1 + bool(args)
    for modules in processes:
        assert "pytest_k8sha.plugin" in modules
        assert {name.partition(".")[0] for name in modules} & HEAVY == set()
        own = {name for name in modules if name.startswith("pytest_k8sha")}
        allowed = {"", ".plugin", ".plugin.fixtures", ".plugin.newhooks", ".plugin.options", ".plugin.xdist"}
        assert own <= {f"pytest_k8sha{name}" for name in allowed}


def test_the_import_alone(tmp_path: Path) -> None:
    """Importing the plugin's module and the package imports nothing heavy."""
    code = "import sys, json, pytest_k8sha, pytest_k8sha.plugin; print(json.dumps(sorted(sys.modules)))"
    done = _process.run([sys.executable, "-c", code], timeout=60, cwd=tmp_path)
    assert {name.partition(".")[0] for name in json.loads(done.stdout)} & HEAVY == set()
