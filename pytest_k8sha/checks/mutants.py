"""Mutants: deliberately broken set-ups, each of which named checks must fail on and say why."""

from __future__ import annotations

import copy
import os
import re
import shutil
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pytest_k8sha.checks.catalogue import ID_PATTERN
from pytest_k8sha.errors import FileProblem, FileProblems
from pytest_k8sha.kube import manifests

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from pytest_k8sha.kube.manifests import Manifest


class Step(BaseModel):
    """One operation of a JSON patch (RFC 6902): add, replace or remove."""

    model_config = ConfigDict(extra="forbid")

    op: Literal["add", "replace", "remove"]
    path: str = Field(pattern=r"^(/[^/]+)+$", description="a JSON pointer, such as /spec/template/spec/containers/0")
    value: Any = None


class Break(BaseModel):
    """A fault of the cluster's provider, made before the checks run; the mutant then has a cluster of its own."""

    model_config = ConfigDict(extra="forbid")

    op: Literal["stop", "kill", "freeze", "certify", "learner", "fill", "rewind"] = Field(
        description="certify: a serving certificate that is valid for `seconds`; learner: a member of etcd that only "
        "learns, and was never started; fill: etcd is filled up to its quota; rewind: once etcd has lost its quorum, "
        "every member is put back to a snapshot from the beginning of the run"
    )
    component: str
    member: int = 0
    seconds: float = 0.0


class Spoil(BaseModel):
    """Damage to a file of a backup, in the folder that the restore plan names as ``${folder}``."""

    model_config = ConfigDict(extra="forbid")

    file: str
    op: Literal["cut", "flip", "edit", "remove", "write", "age"]
    bytes: int = Field(0, description="cut: so many bytes at the end")
    find: str = Field("", description="edit: the text that is replaced, which must be there")
    replace: str = Field("", description="edit: what stands there afterwards; write: the whole content")
    seconds: int = Field(0, description="age: how old the file is made")

    def apply(self, folder: Path) -> None:
        """Raises ValueError when there is nothing to damage: such a mutant would be no mutant.

        ``flip`` changes one byte of an unused place, the longest run of zeros; ``age`` sets the file's date back.
        """
        path = folder / self.file
        if self.op == "write":
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.replace)
            return
        if not path.exists():
            raise ValueError(f"a spoil of a mutant finds no file {self.file}")
        match self.op:
            case "cut":
                data = path.read_bytes()
                path.write_bytes(data[: len(data) - self.bytes])
            case "flip":
                whole = bytearray(path.read_bytes())
                zeros = max(re.finditer(rb"\x00{64,}", whole), key=lambda run: run.end() - run.start())
                whole[(zeros.start() + zeros.end()) // 2] = 0xFF
                path.write_bytes(whole)
            case "edit":
                text = path.read_text()
                if self.find not in text:
                    raise ValueError(f"a spoil of a mutant finds no {self.find!r} in {self.file}")
                path.write_text(text.replace(self.find, self.replace))
            case "remove":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
            case "age":
                moment = path.stat().st_mtime - self.seconds
                os.utime(path, (moment, moment))


class Change(BaseModel):
    """A change to objects of the good set-up: those of ``kind`` (and of ``name``, where given) are merged with
    ``patch`` (RFC 7386), changed by the ``steps`` of a JSON patch (RFC 6902), or taken out."""

    model_config = ConfigDict(extra="forbid")

    kind: str
    name: str = Field("", description="the name as it stands in the file; empty means every object of the kind")
    namespace: str = ""
    patch: dict[str, Any] | None = Field(None, description="a merge patch: null removes a key, a list is replaced")
    steps: list[Step] = Field(default_factory=list, description="a JSON patch, for what lies inside lists")
    delete: bool = Field(False, description="the object is left out")  # noqa: FBT003 - a default of pydantic

    def fits(self, manifest: Manifest) -> bool:
        meta = manifest.get("metadata") or {}
        return (
            manifest.get("kind") == self.kind
            and self.name in {"", meta.get("name", "")}
            and self.namespace in {"", meta.get("namespace", "")}
        )


class Mutant(BaseModel):
    """One file of ``fixtures/mutants/SUITE/``. ``name`` is the file's stem, ``suite`` its folder."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(description="what is broken, in one sentence")
    checks: list[str] = Field(min_length=1, description="the checks that must come out failed")
    says: list[str] = Field(default_factory=list, description="texts that the failed findings must hold, all of them")
    base: str = Field("good", description="the template (tenancy) or the workloads (availability) it starts from")
    cluster: dict[str, Any] = Field(default_factory=dict, description="provider options that differ; own cluster")
    files: dict[str, str] = Field(
        default_factory=dict, description="files that the options of the cluster name as `${folder}/NAME`"
    )
    overlay: list[dict[str, Any]] = Field(
        default_factory=list, description="manifests applied over the good set-up; `${tenant}`, `${neighbour}`"
    )
    patch: list[Change] = Field(default_factory=list, description="changes to objects of the good set-up")
    faults: list[Break] = Field(default_factory=list, description="programs of the control plane that are broken")
    options: list[str] = Field(default_factory=list, description="further options of the run, such as --k8sha-goal")
    together: str = Field(
        "", description="mutants of one word here share a cluster: their options, files and faults add up"
    )
    plan: dict[str, Any] = Field(
        default_factory=dict, description="parts of the restore plan that differ; `${folder}` holds the backups"
    )
    contexts: dict[str, Literal["dead", "slow", "poor", "twin"]] = Field(
        default_factory=dict,
        description="further clusters of the fleet, as contexts: nobody answers; each answer takes more than a second; "
        "few rights, with a token of an hour; the first cluster under a second name",
    )
    spoil: list[Spoil] = Field(default_factory=list, description="damage to the backups, in this order")
    name: str = ""
    suite: str = ""

    @field_validator("checks")
    @classmethod
    def _ids(cls, value: list[str]) -> list[str]:
        wrong = [check for check in value if not ID_PATTERN.fullmatch(check)]
        if wrong:
            raise ValueError(f"{', '.join(wrong)}: a check id has the form ABC-DEF-123")
        return value

    def changed(self, objects: Sequence[Manifest]) -> list[Manifest]:
        """The good set-up's objects with this mutant's changes, and its overlay at the end.

        Raises ValueError for a change that fits no object: such a mutant would be no mutant.
        """
        result = [copy.deepcopy(o) for o in objects]
        for change in self.patch:
            fitting = [o for o in result if change.fits(o)]
            if not fitting:
                raise ValueError(f"mutant {self.name}: there is no {change.kind} {change.name} to change")
            if change.delete:
                result = [o for o in result if o not in fitting]
            for manifest in fitting:
                merged = merge(manifest, change.patch) if change.patch else dict(manifest)
                for step in change.steps:
                    take(merged, step)
                manifest.clear()
                manifest.update(merged)
        return [*result, *copy.deepcopy(self.overlay)]


def union(mutants: Sequence[Mutant]) -> Mutant:
    """Several mutants as one broken set-up, in which each must show.

    Raises ValueError when they contradict each other: what was seen could not be told apart.
    """
    cluster: dict[str, Any] = {}
    for mutant in mutants:
        for key, value in mutant.cluster.items():
            if cluster.setdefault(key, value) != value:
                raise ValueError(f"mutant {mutant.name}: {key} is {cluster[key]!r} in another one of {mutant.together}")
        if mutant.patch or mutant.base != mutants[0].base:
            raise ValueError(f"mutant {mutant.name}: changes to the base cannot be shared")
    return mutants[0].model_copy(
        update={
            "title": "; ".join(mutant.title for mutant in mutants),
            "checks": sorted({check for mutant in mutants for check in mutant.checks}),
            "cluster": cluster,
            "files": {name: text for mutant in mutants for name, text in mutant.files.items()},
            "overlay": [manifest for mutant in mutants for manifest in mutant.overlay],
            "faults": [fault for mutant in mutants for fault in mutant.faults],
            "contexts": {name: sort for mutant in mutants for name, sort in mutant.contexts.items()},
            "options": [option for mutant in mutants for option in mutant.options],
            "name": mutants[0].together,
        }
    )


def merge(target: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7386, section 2); returns a new value."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merge(result.get(key), value)
    return result


def take(target: Any, step: Step) -> None:
    """One operation of a JSON patch, in place. Raises ValueError for a path that leads nowhere: no mutant."""
    *parents, last = [part.replace("~1", "/").replace("~0", "~") for part in step.path[1:].split("/")]
    here = target
    try:
        for part in parents:
            here = here[int(part)] if isinstance(here, list) else here[part]
        if isinstance(here, list):
            if step.op == "add":
                here.insert(len(here) if last == "-" else int(last), copy.deepcopy(step.value))
            elif step.op == "replace":
                here[int(last)] = copy.deepcopy(step.value)
            else:
                del here[int(last)]
        elif step.op == "remove":
            del here[last]
        elif step.op == "replace" and last not in here:
            raise KeyError(last)
        else:
            here[last] = copy.deepcopy(step.value)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise ValueError(f"a step of a mutant leads nowhere: {step.op} {step.path}") from error


def load(paths: Iterable[Path]) -> dict[str, Mutant]:
    """The mutants of files and folders (``*.yaml`` below them), by ``SUITE/NAME``.

    Raises `FileProblems` with every mistake of every file.
    """
    problems: list[FileProblem] = []
    found: dict[str, Mutant] = {}
    for path in paths:
        for file in sorted(path.rglob("*.yaml")) if path.is_dir() else [path]:
            mutant = _read(file, problems)
            if mutant:
                found[f"{mutant.suite}/{mutant.name}"] = mutant
    if problems:
        raise FileProblems(problems)
    return found


def _read(path: Path, problems: list[FileProblem]) -> Mutant | None:
    before = len(problems)
    try:
        documents = manifests.parse(path.read_text(), str(path), problems)
    except OSError as error:
        problems.append(FileProblem(str(path), 0, "", f"cannot be read ({error.strerror})"))
        return None
    if len(problems) > before:
        return None
    if len(documents) != 1 or not isinstance(documents[0][0], dict):
        problems.append(FileProblem(str(path), 0, "", "one mutant is expected, as one YAML mapping"))
        return None
    data, lines = documents[0]
    try:
        return Mutant.model_validate({"name": path.stem, "suite": path.parent.name, **data})
    except ValidationError as error:
        problems += [
            FileProblem(str(path), manifests.line_of(lines, data, e["loc"]), ".".join(map(str, e["loc"])), e["msg"])
            for e in error.errors()
        ]
        return None
