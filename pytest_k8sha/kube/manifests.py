"""Reading manifests: strict YAML, every mistake with path, line and field, placeholders filled in values only."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from pytest_k8sha.errors import FileProblem, FileProblems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from pydantic import BaseModel

Manifest = dict[str, Any]
Model = TypeVar("Model", bound="BaseModel")

ORDER = (
    "CustomResourceDefinition",
    "Namespace",
    "PriorityClass",
    "StorageClass",
    "ServiceAccount",
    "ClusterRole",
    "ClusterRoleBinding",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
    "ResourceQuota",
    "LimitRange",
    "NetworkPolicy",
    "Role",
    "RoleBinding",
    "Secret",
    "ConfigMap",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "Service",
)
"""What others depend on goes first; a kind that is not listed goes last, in file order."""


_PLACEHOLDER = re.compile(r"\$(\$?)\{([^{}]*)\}")


class StrictLoader(yaml.SafeLoader):
    """As YAML's safe loader, but a key that is given twice is an error, and lines are remembered."""

    def __init__(self, stream: Any, path: str, problems: list[FileProblem]) -> None:
        super().__init__(stream)
        self.path = path
        self.problems = problems
        self.lines: dict[int, dict[Any, int]] = {}

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        seen: dict[Any, int] = {}
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            line = key_node.start_mark.line + 1
            if key in seen:
                message = f"this key is given twice (first on line {seen[key]})"
                self.problems.append(FileProblem(self.path, line, str(key), message))
            seen.setdefault(key, line)
        result: dict[Any, Any] = super().construct_mapping(node, deep=deep)
        self.lines[id(result)] = seen
        return result


def _mapping(loader: StrictLoader, node: yaml.MappingNode) -> dict[Any, Any]:
    return loader.construct_mapping(node, deep=True)


StrictLoader.add_constructor("tag:yaml.org,2002:map", _mapping)


def parse(text: str, path: str, problems: list[FileProblem]) -> list[tuple[Any, dict[int, dict[Any, int]]]]:
    """The documents of a YAML text, each with the lines of its keys by ``id`` of the mapping. Adds to ``problems``."""
    documents: list[tuple[Any, dict[int, dict[Any, int]]]] = []
    loader: StrictLoader | None = None
    try:
        loader = StrictLoader(text, path, problems)
        while loader.check_data():  # type: ignore[no-untyped-call]
            documents.append((loader.get_data(), loader.lines))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        message = getattr(error, "problem", None) or " ".join(str(error).split())
        problems.append(FileProblem(path, mark.line + 1 if mark else 0, "", f"is not YAML: {message}"))
    except ValueError as error:  # such as a date that there is none of
        problems.append(FileProblem(path, 0, "", f"is not YAML: {error}"))
    finally:
        if loader is not None:
            loader.dispose()
    return documents


def line_of(lines: Mapping[int, Mapping[Any, int]], document: Any, field: Iterable[Any]) -> int:
    """The line of a field, given as its path of keys and indexes; that of the nearest parent where it is absent."""
    line, here = 0, document
    for step in field:
        line = (lines.get(id(here)) or {}).get(step, line)
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            break
    return line


def typed(
    path: Path,
    model: type[Model],
    *,
    expected: str = "one mapping is expected",
    further: Callable[[Model], Iterable[tuple[tuple[Any, ...], str]]] = lambda _: (),
) -> Model:
    """The one document of a file as a model. ``further`` finds what the schema cannot say, as fields and words.

    Raises `FileProblems` with every mistake, each with line and field.
    """
    from pydantic import ValidationError

    problems: list[FileProblem] = []
    try:
        documents = parse(path.read_text(), str(path), problems)
    except (OSError, UnicodeDecodeError) as error:
        raise FileProblems([FileProblem(str(path), 0, "", f"cannot be read ({error})")]) from error
    if not problems and (len(documents) != 1 or not isinstance(documents[0][0], dict)):
        problems.append(FileProblem(str(path), 1, "", expected))
    if problems:
        raise FileProblems(problems)
    data, lines = documents[0]
    cause: ValidationError | None = None
    try:
        found = model.model_validate(data)
        mistakes = list(further(found))
    except ValidationError as error:
        cause, mistakes = error, [(e["loc"], e["msg"]) for e in error.errors()]
    if mistakes:
        raise FileProblems(
            FileProblem(str(path), line_of(lines, data, field), ".".join(map(str, field)), said)
            for field, said in mistakes
        ) from cause
    return found


def load(paths: Iterable[Path], values: Mapping[str, str] | None = None) -> list[Manifest]:
    """All objects of the files and folders (``*.yaml``, ``*.yml``), in the order in which they can be applied.

    ``values`` fill ``${name}`` inside string values and keys, never in the YAML text, so that a value cannot become
    structure. Raises `FileProblems` with every mistake of every file.
    """
    problems: list[FileProblem] = []
    objects: list[Manifest] = []
    for path in files_of(paths, problems):
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            problems.append(FileProblem(str(path), 0, "", f"cannot be read ({error})"))
            continue
        for document, lines in parse(text, str(path), problems):
            if document is None:
                continue
            members = document.get("items", []) if _is_list(document) else [document]
            for member in members:
                problems += _mistakes(member, lines, str(path))
                try:
                    objects.append(fill(member, values or {}))
                except KeyError as error:
                    problems.append(FileProblem(str(path), 0, f"${{{error.args[0]}}}", "no value is known for it"))
    if problems:
        raise FileProblems(problems)
    return in_order(objects)


def in_order(objects: Iterable[Manifest]) -> list[Manifest]:
    """The objects sorted so that each comes after what it needs (stable)."""
    rank = {kind: index for index, kind in enumerate(ORDER)}
    return sorted(objects, key=lambda o: rank.get(o.get("kind", ""), len(ORDER)))


def fill(value: Any, values: Mapping[str, str]) -> Any:
    """``value`` with ``${name}`` replaced in every string; ``$${`` stands for ``${``, any other ``$`` for itself.

    Raises KeyError with a name that has no value.
    """
    if isinstance(value, str):
        return _PLACEHOLDER.sub(lambda found: found[0][1:] if found[1] else values[found[2]], value)
    if isinstance(value, dict):
        return {fill(k, values): fill(v, values) for k, v in value.items()}
    if isinstance(value, list):
        return [fill(item, values) for item in value]
    return value


def _is_list(document: Any) -> bool:
    return isinstance(document, dict) and str(document.get("kind", "")).endswith("List") and "items" in document


def files_of(paths: Iterable[Path], problems: list[FileProblem]) -> list[Path]:
    """The YAML files that are named, or lie in the folders that are; adds to ``problems``."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            found = sorted(p for p in path.rglob("*") if p.suffix in {".yaml", ".yml"})
            if not found:
                problems.append(FileProblem(str(path), 0, "", "holds no *.yaml file"))
            files += found
        elif path.is_file():
            files.append(path)
        else:
            problems.append(FileProblem(str(path), 0, "", "does not exist"))
    return files


def _mistakes(member: Any, lines: Mapping[int, Mapping[Any, int]], path: str) -> list[FileProblem]:
    if not isinstance(member, dict):
        return [FileProblem(path, 0, "", f"an object is expected, not {type(member).__name__}")]
    line = min((lines.get(id(member)) or {"": 0}).values())
    found = [
        FileProblem(path, line, name, "is missing or not a text")
        for name in ("apiVersion", "kind")
        if not isinstance(member.get(name), str)
    ]
    meta = member.get("metadata")
    if not isinstance(meta, dict) or not (meta.get("name") or meta.get("generateName")):
        found.append(FileProblem(path, line_of(lines, member, ["metadata"]) or line, "metadata.name", "is missing"))
    return found
