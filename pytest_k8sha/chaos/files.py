"""Reading experiment files: YAML, one or more documents of ``kind: K8shaExperiment``, every mistake with its line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from pytest_k8sha.chaos.order import API_VERSION, KIND, Order
from pytest_k8sha.errors import FileProblem, FileProblems
from pytest_k8sha.kube import manifests

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def load(paths: Iterable[Path]) -> list[Order]:
    """The experiments of files, in their order. Touches no cluster.

    Raises `FileProblems` with every mistake of every file.
    """
    problems: list[FileProblem] = []
    found: list[Order] = []
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
        for document, lines in documents:
            made = _read(str(path), document, lines, problems)
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


def _read(path: str, document: Any, lines: dict[int, dict[Any, int]], problems: list[FileProblem]) -> Order | None:
    if not isinstance(document, dict):
        problems.append(FileProblem(path, 1, "", "an object is expected"))
        return None
    said = (document.get("apiVersion"), document.get("kind"))
    if said != (API_VERSION, KIND):
        line = manifests.line_of(lines, document, ["kind"]) or min((lines.get(id(document)) or {"": 1}).values())
        problems.append(
            FileProblem(path, line, "kind", f"apiVersion {API_VERSION} and kind {KIND} are expected, not {said}")
        )
        return None
    try:
        return Order.model_validate(document)
    except ValidationError as error:
        problems += [
            FileProblem(path, manifests.line_of(lines, document, e["loc"]), ".".join(map(str, e["loc"])), _said(e))
            for e in error.errors()
        ]
        return None


def _said(mistake: Any) -> str:
    if mistake["type"] == "extra_forbidden":
        return "is no key here"
    return str(mistake["msg"]).removeprefix("Value error, ")
