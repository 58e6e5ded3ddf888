"""The structure of Chaos Mesh objects: from the project's own bundle, or from the CRDs of a cluster."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import yaml

from pytest_k8sha.errors import FileProblem, FileProblems

GROUP = "chaos-mesh.org"

_OPENAPI = {"string": "text", "integer": "int", "number": "number", "boolean": "bool"}


@dataclass(slots=True)
class Shape:
    """What a field may hold. ``type``: text, int, number, bool, bytes, any, int-or-text, list, map or object."""

    type: str
    fields: dict[str, Shape] = field(default_factory=dict)
    required: frozenset[str] = frozenset()
    items: Shape | None = None
    allowed: tuple[str, ...] = ()
    low: float | None = None
    high: float | None = None
    above: bool = False
    pattern: str = ""
    open: bool = False


@dataclass(frozen=True, slots=True)
class Bundle:
    """The shape of ``spec`` of each kind. ``unchecked`` kinds are known, and their fields are not."""

    kinds: dict[str, Shape]
    unchecked: frozenset[str]

    @property
    def names(self) -> list[str]:
        """Every kind of the group."""
        return sorted({*self.kinds, *self.unchecked})


@functools.cache
def bundled() -> Bundle:
    """The bundle that travels with the package."""
    data = yaml.load(
        Path(__file__).with_name("kinds.yaml").read_text(encoding="utf-8"),
        Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader),  # noqa: S506 - both are safe loaders
    )
    reader = _BundleReader(data)
    return Bundle({kind: reader.named(kind) for kind in data["kinds"]}, frozenset(data["unchecked"]))


class _BundleReader:
    def __init__(self, data: dict[str, Any]) -> None:
        self.sources: dict[str, Any] = {**data["shapes"], **data["kinds"]}
        self.made: dict[str, Shape] = {}

    def named(self, name: str) -> Shape:
        if name not in self.made:
            # Made empty first: a Schedule holds a Workflow, which holds a schedule.
            self.made[name] = Shape("object")
            built = self.shape(self.sources[name])
            self.made[name].fields = built.fields
            self.made[name].required = built.required
        return self.made[name]

    def shape(self, source: Any) -> Shape:
        if isinstance(source, list):
            return Shape("list", items=self.shape(source[0]))
        if isinstance(source, dict):
            return Shape("map", items=self.shape(source["*"])) if "*" in source else self.object(source)
        if source.startswith("$"):
            return self.named(source[1:])
        if source.startswith("one of "):
            return Shape("text", allowed=tuple(source.split()[2:]))
        kind, _, bounds = source.partition(" ")
        low, _, high = bounds.partition("..")
        return Shape(kind, low=int(low) if low else None, high=int(high) if high else None)

    def object(self, source: dict[str, Any]) -> Shape:
        fields: dict[str, Shape] = {}
        required: set[str] = set()
        for base in source.get("+", []):
            inherited = self.named(base)
            fields |= inherited.fields
            required |= inherited.required
        for name, below in source.items():
            if name != "+":
                fields[name.rstrip("!")] = self.shape(below)
                if name.endswith("!"):
                    required.add(name.rstrip("!"))
        return Shape("object", fields, frozenset(required))


def from_folder(folder: Path) -> Bundle:
    """The shapes of the CRDs in a folder's ``*.yaml`` files; kinds without one there keep those of the bundle.

    Raises `FileProblems` where the folder holds no CRD of Chaos Mesh or one of its files is not YAML.
    """
    problems: list[FileProblem] = []
    kinds: dict[str, Shape] = {}
    for path in sorted(p for p in folder.rglob("*") if p.suffix in {".yaml", ".yml", ".json"}):
        try:
            documents = list(
                yaml.load_all(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
            )
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            problems.append(FileProblem(str(path), 0, "", f"cannot be read ({error})"))
            continue
        for document in documents:
            kinds |= _crds(document)
    if not problems and not kinds:
        problems.append(FileProblem(str(folder), 0, "", f"holds no CustomResourceDefinition of {GROUP}"))
    if problems:
        raise FileProblems(problems)
    base = bundled()
    known = {kind: shape for kind, shape in kinds.items() if kind not in base.unchecked}
    return Bundle({**base.kinds, **known}, base.unchecked | frozenset(kinds) - frozenset(known))


def _crds(document: Any) -> dict[str, Shape]:
    """Kind → shape of its spec, for a CRD of the group or a list of them."""
    if not isinstance(document, dict):
        return {}
    if isinstance(document.get("items"), list):
        return {kind: shape for item in document["items"] for kind, shape in _crds(item).items()}
    spec = document.get("spec")
    if document.get("kind") != "CustomResourceDefinition" or not isinstance(spec, dict) or spec.get("group") != GROUP:
        return {}
    found = {}
    for version in spec.get("versions") or []:
        schema = (version.get("schema") or {}).get("openAPIV3Schema") or {}
        if version.get("name") == "v1alpha1" and "spec" in (schema.get("properties") or {}):
            found[str(spec["names"]["kind"])] = _openapi(schema["properties"]["spec"])
    return found


def _openapi(schema: dict[str, Any]) -> Shape:
    if schema.get("x-kubernetes-int-or-string"):
        return Shape("int-or-text")
    kind = schema.get("type")
    if kind == "object" or "properties" in schema:
        below = schema.get("additionalProperties")
        if isinstance(below, dict):
            return Shape("map", items=_openapi(below))
        fields = {name: _openapi(value) for name, value in (schema.get("properties") or {}).items()}
        is_open = bool(schema.get("x-kubernetes-preserve-unknown-fields")) or not fields
        return Shape("object", fields, frozenset(schema.get("required") or ()), open=is_open)
    if kind == "array":
        return Shape("list", items=_openapi(schema.get("items") or {}))
    made = Shape(_OPENAPI.get(str(kind), "any"))
    return replace(
        made,
        type="bytes" if schema.get("format") == "byte" else made.type,
        allowed=tuple(str(value) for value in schema.get("enum") or ()),
        low=schema.get("minimum"),
        high=schema.get("maximum"),
        above=bool(schema.get("exclusiveMinimum")),
        pattern=_python_pattern(schema.get("pattern")),
    )


def _python_pattern(pattern: Any) -> str:
    """The pattern where Python reads it too; a pattern that it does not read is not checked."""
    try:
        re.compile(str(pattern or ""))
    except re.error:
        return ""
    return str(pattern or "")
