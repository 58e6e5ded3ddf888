"""The structure holds: imports go down the layers, and each seam has one owner."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "pytest_k8sha"

LAYERS = [
    ["cli", "plugin"],
    ["drills", "reports"],
    ["failover", "chaos", "recovery", "probes", "workloads", "tenancy"],
    ["checks", "recover", "fleet", "providers", "capabilities"],
    ["kube", "safety", "record"],
    ["settings", "_wait", "_process", "_clock", "model", "errors"],
]
"""The highest layer first; within a layer an import goes from left to right only (docs/adr/0001)."""

RANK = {name: (layer, place) for layer, names in enumerate(LAYERS) for place, name in enumerate(names)}

MODULES = sorted(p for p in PACKAGE.rglob("*.py") if "_data" not in p.parts)

SEAMS = {
    "pytest": {"plugin/"},
    "_pytest": set(),
    "time": {"_clock.py"},
    "subprocess": {"_process.py"},
    "kubernetes": {"kube/"},
    "urllib3": {"kube/client.py", "kube/tls.py", "providers/local/download.py"},
    "requests": set(),
}
"""Which files may import what; a name that ends in / stands for a folder."""


def room(path: Path) -> str:
    """The package or module directly below `pytest_k8sha` that a file belongs to."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")


@cache
def imports(path: Path) -> list[tuple[str, int, bool]]:
    """Every imported module of a file with its line, and whether it is for type checking only."""
    found: list[tuple[str, int, bool]] = []

    def visit(node: ast.AST, typing_only: bool) -> None:
        for child in ast.iter_child_nodes(node):
            inner = typing_only
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                for statement in child.body:
                    visit_one(statement, True)
                for statement in child.orelse:
                    visit_one(statement, typing_only)
                continue
            visit_one(child, inner)

    def visit_one(child: ast.AST, typing_only: bool) -> None:
        if isinstance(child, ast.Import):
            found.extend((alias.name, child.lineno, typing_only) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{path}: relative imports hide the layer"
            assert child.module
            if child.module == "pytest_k8sha":
                found.extend((f"pytest_k8sha.{alias.name}", child.lineno, typing_only) for alias in child.names)
            else:
                found.append((child.module, child.lineno, typing_only))
        else:
            visit(child, typing_only)

    visit(ast.parse(path.read_text()), False)
    return found


def test_imports_only_go_down() -> None:
    """No module imports one of a higher layer, nor one that stands left of it in its own layer; types count too."""
    wrong = []
    for path in MODULES:
        here = room(path)
        if here == "__init__":  # the package's own module only names what is public, and imports it on use
            continue
        assert here in RANK, f"{here} has no layer: give it one in this test and in docs/architecture.md"
        for name, line, _ in imports(path):
            parts = name.split(".")
            if parts[0] != "pytest_k8sha" or len(parts) == 1 or parts[1] in {here, "__version__"}:
                continue
            there = parts[1]
            assert there in RANK, f"{path}:{line} imports {name}, which has no layer"
            if RANK[there] < RANK[here]:
                wrong.append(f"{path.relative_to(PACKAGE)}:{line} ({here}) imports {name} ({there})")
    assert not wrong, "\n".join(wrong)


def test_each_seam_has_one_owner() -> None:
    """Only `_clock` reads the clock, only `_process` starts programs, only `plugin/` imports pytest, only `kube/` the
    Kubernetes client."""
    wrong = []
    for path in MODULES:
        relative = str(path.relative_to(PACKAGE))
        for name, line, typing_only in imports(path):
            owners = SEAMS.get(name.split(".")[0])
            if owners is None or typing_only:
                continue
            if not any(relative == o or (o.endswith("/") and relative.startswith(o)) for o in owners):
                wrong.append(f"{relative}:{line} imports {name}")
    assert not wrong, "\n".join(wrong)


def test_modules_stay_small() -> None:
    """One noun a module: none has more than 420 lines."""
    sizes = {str(path.relative_to(PACKAGE)): len(path.read_text().splitlines()) for path in MODULES}
    assert {name: lines for name, lines in sizes.items() if lines > 420} == {}


def test_only_the_client_sends_requests() -> None:
    """The connection pool of the Kubernetes client is used in one module."""
    users = [str(p.relative_to(PACKAGE)) for p in MODULES if "pool_manager" in p.read_text()]
    assert users == ["kube/client.py"]


def test_no_state_in_module_globals() -> None:
    """No module rebinds its globals from a function."""
    wrong = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}: global {', '.join(node.names)}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Global)
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_clock_module_asks_for_the_date() -> None:
    """`datetime` may be used for parsing and arithmetic, but ``now``, ``utcnow`` and ``today`` only in `_clock`."""
    wrong = [
        f"{path.relative_to(PACKAGE)}:{node.lineno}"
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute)
        and node.attr in {"now", "utcnow", "today"}
        and isinstance(node.value, ast.Name)
        and node.value.id in {"datetime", "date"}
    ]
    assert {w.split(":")[0] for w in wrong} <= {"_clock.py"}, "\n".join(wrong)
