"""Reading experiment files: YAML, one or more documents, each a ``kind: K8shaExperiment`` or an object of Chaos Mesh,
which is linted first. Every mistake is told with its line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pytest_k8sha.chaos.lint.linter import Linter
from pytest_k8sha.chaos.mesh import parts as mesh_parts
from pytest_k8sha.chaos.mesh.manifest import MeshObject, as_order
from pytest_k8sha.chaos.order import API_VERSION, KIND, Order
from pytest_k8sha.errors import FileProblem, FileProblems, UsageError
from pytest_k8sha.kube import manifests

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def load(paths: Iterable[Path], **terms: Any) -> list[Order]:
    """The experiments of files, in their order. Touches no cluster. ``terms`` are those of a K8shaExperiment's spec,
    for objects of Chaos Mesh, which cannot say them (see `pytest_k8sha.chaos.mesh.manifest`).

    Raises `FileProblems` with every mistake of every file.
    """
    problems: list[FileProblem] = []
    found: list[Order] = []
    judge = Linter()
    for path in paths:
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            problems.append(FileProblem(str(path), 0, "", f"cannot be read ({error})"))
            continue
        before = len(problems)
        documents = [(one, lines) for one, lines in manifests.parse(text, str(path), problems) if one is not None]
        if not documents and len(problems) == before:
            problems.append(FileProblem(str(path), 0, "", "is empty"))
        mesh = [
            one for one, _ in documents if isinstance(one, dict) and one.get("apiVersion") == mesh_parts.API_VERSION
        ]
        if mesh and len(problems) == before:
            told = judge.text(text, str(path))
            problems += [
                FileProblem(f.path, f.line, f.field, f"{f.message} ({f.rule.id}; {f.remedy})")
                for f in told
                if f.severity == "error"
            ]
        for document, lines in documents:
            made = _read(str(path), document, lines, problems, terms)
            if made:
                found.append(made)
    names = [one.name for one in found]
    problems += [
        FileProblem("", 0, "metadata.name", f"two experiments are called {name!r}")
        for name in sorted({name for name in names if names.count(name) > 1})
    ]
    if problems:
        raise FileProblems(problems)
    return found


def _read(
    path: str, document: Any, lines: dict[int, dict[Any, int]], problems: list[FileProblem], terms: dict[str, Any]
) -> Order | None:
    if not isinstance(document, dict):
        problems.append(FileProblem(path, 1, "", "an object is expected"))
        return None
    said = (document.get("apiVersion"), document.get("kind"))
    is_mesh = _is_mesh(document)
    if not is_mesh and said != (API_VERSION, KIND):
        line = manifests.line_of(lines, document, ["kind"]) or min((lines.get(id(document)) or {"": 1}).values())
        problems.append(
            FileProblem(
                path,
                line,
                "kind",
                f"{KIND} of {API_VERSION} or an object of Chaos Mesh is expected, not {said}",
            )
        )
        return None
    try:
        if is_mesh:
            order = as_order(document, **terms)
            MeshObject.of(order)
            return order
        return Order.model_validate(document)
    except UsageError as error:
        problems.append(FileProblem(path, manifests.line_of(lines, document, ["kind"]), "", str(error)))
        return None
    except ValidationError as error:
        problems += [
            FileProblem(path, manifests.line_of(lines, document, e["loc"]), ".".join(map(str, e["loc"])), _said(e))
            for e in error.errors()
        ]
        return None


def _is_mesh(document: Any) -> bool:
    return isinstance(document, dict) and document.get("apiVersion") == mesh_parts.API_VERSION


def _said(mistake: Any) -> str:
    if mistake["type"] == "extra_forbidden":
        return "is no key here"
    return str(mistake["msg"]).removeprefix("Value error, ")
