"""A backup of manifests: how it is made, and how it is read."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from pytest_k8sha import __version__, _clock
from pytest_k8sha.errors import FileProblem, FileProblems, K8shaError, UsageError
from pytest_k8sha.kube import manifests
from pytest_k8sha.model import ObjectRef
from pytest_k8sha.recovery.manifests import archive, rules

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from pytest_k8sha.fleet.cluster import Cluster

Object = dict[str, Any]

METADATA = "metadata.json"
KIND = "k8sha.dev/manifest-backup"
AT_ONCE = 8
"""Requests under way at the same time."""


def group_of(api_version: str) -> str:
    """The API group: an object is the same one in each version of its group."""
    return api_version.rpartition("/")[0]


@dataclass(frozen=True, order=True)
class Key:
    """Names an object whatever version it is read in."""

    group: str
    kind: str
    namespace: str
    name: str

    @classmethod
    def of(cls, obj: Mapping[str, Any]) -> Key:
        ref = ObjectRef.of(dict(obj))
        return cls(group_of(ref.api_version), ref.kind, ref.namespace, ref.name)

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass
class Backup:
    """The objects of a backup. ``about`` is its ``metadata.json``, empty where it has none; ``places`` the file of each
    object."""

    path: Path
    objects: dict[Key, Object]
    places: dict[Key, str] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)

    @property
    def kinds(self) -> set[str]:
        return {key.kind for key in self.objects}


def inventory(cluster: Cluster) -> tuple[dict[Key, Object], dict[str, str]]:
    """Every object of every kind that the server lists, read now; and the kinds that could not be listed, with the
    reason. A kind that no rule brings back is left out."""
    kinds = [k for k in cluster.kinds if "list" in k.verbs and k.kind not in rules.NEVER and "/" not in k.plural]
    problems: dict[str, str] = {}

    def one(kind: Any) -> list[Object]:
        try:
            return cluster.resource(kind.api_version, kind.kind).list()
        except K8shaError as error:
            problems[f"{kind.kind}.{kind.group}"] = str(error).splitlines()[0]
            return []

    with ThreadPoolExecutor(AT_ONCE) as pool:
        found = {Key.of(obj): obj for objects in pool.map(one, kinds) for obj in objects}
    stay = {key.name for key, obj in found.items() if key.kind == "Namespace" and not _goes(obj)}
    if "Namespace." not in problems:
        # What is in a namespace that is being deleted goes with it, marked or not.
        found = {key: obj for key, obj in found.items() if not key.namespace or key.namespace in stay}
    return found, problems


def _goes(obj: Object) -> bool:
    return bool(obj["metadata"].get("deletionTimestamp"))


def make(cluster: Cluster, target: Path) -> Backup:
    """Writes a backup into the folder ``target``, which must be empty or absent; readable by this user alone, since it
    holds every secret. One file for the objects of a kind in a namespace, as a List, and ``metadata.json`` last.

    Raises `UsageError` when the folder is not empty, `K8shaError` when a kind cannot be read: a backup with a hole that
    nobody sees is worse than none.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError("a backup goes into a folder of its own, and this one is not empty", value=str(target))
    target.mkdir(mode=0o700, parents=True, exist_ok=True)
    started = _clock.wall()
    objects, problems = inventory(cluster)
    if problems:
        raise UsageError(
            f"{len(problems)} kinds could not be read, so there is no backup: "
            + "; ".join(f"{name}: {said}" for name, said in sorted(problems.items())),
            remedy="let this identity list them",
        )
    counts: dict[str, int] = {}
    left_out: dict[str, int] = {}
    groups: dict[str, list[Object]] = {}
    for key, obj in sorted(objects.items()):
        rule = rules.skipped(obj)
        if rule:
            left_out[rule] = left_out.get(rule, 0) + 1
            continue
        place = f"{key.kind}{f'.{key.group}' if key.group else ''}/{key.namespace or '_cluster'}.json"
        obj["metadata"].pop("managedFields", None)
        groups.setdefault(place, []).append(obj)
        counts[key.kind] = counts.get(key.kind, 0) + 1
    digests = {}
    for place, items in groups.items():
        file = target / place
        file.parent.mkdir(mode=0o700, exist_ok=True)
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": items}, indent=1, ensure_ascii=False)
        file.touch(mode=0o600)
        file.write_text(text)
        digests[place] = sha256(text.encode()).hexdigest()
    about = {
        "kind": KIND,
        "tool": f"pytest-k8sha {__version__}",
        "cluster": {"name": cluster.name, "uid": cluster.capabilities.uid, "version": cluster.capabilities.version},
        "started": started.isoformat(),
        "completed": _clock.wall().isoformat(),
        "counts": counts,
        "leftOut": left_out,
        "files": digests,
    }
    (target / METADATA).touch(mode=0o600)
    (target / METADATA).write_text(json.dumps(about, indent=1))
    return read(target)


def read(path: Path) -> Backup:
    """Reads a folder, tar or zip. Raises `FileProblems` with every mistake: what is no YAML or JSON, a key or an object
    that is there twice, an object without a kind or a name, a file that is not as ``metadata.json`` says."""
    found = Backup(path, {})
    problems: list[FileProblem] = []
    for name, content in archive.files(path).items():
        found.digests[name] = sha256(content).hexdigest()
        if name == METADATA:
            found.about = _about(content, name, problems)
            continue
        for obj in _objects(content, name, problems):
            key = Key.of(obj)
            if key in found.objects:
                problems.append(FileProblem(name, 0, str(key), f"is there twice, first in {found.places[key]}"))
            found.objects.setdefault(key, obj)
            found.places.setdefault(key, name)
    for name, digest in (found.about.get("files") or {}).items():
        if name not in found.digests:
            problems.append(FileProblem(name, 0, "", f"is missing, and {METADATA} names it"))
        elif found.digests[name] != digest:
            problems.append(FileProblem(name, 0, "", f"is not what {METADATA} says: its SHA-256 differs"))
    if problems:
        raise FileProblems(problems)
    return found


def _objects(content: bytes, name: str, problems: list[FileProblem]) -> Iterable[Object]:
    for document in _documents(content, name, problems):
        if document is None:
            continue
        listed = isinstance(document, dict) and str(document.get("kind", "")).endswith("List") and "items" in document
        for obj in document["items"] or [] if listed else [document]:
            missing = _missing(obj)
            if missing:
                problems.append(FileProblem(name, 0, missing, "is missing, or the document is no object"))
            else:
                yield obj


def _documents(content: bytes, name: str, problems: list[FileProblem]) -> list[Any]:
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        problems.append(FileProblem(name, 0, "", f"is no text ({error})"))
        return []
    if not name.endswith(".json"):
        return [document for document, _ in manifests.parse(text, name, problems)]

    def once(pairs: list[tuple[str, Any]]) -> Object:
        made = dict(pairs)
        if len(made) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            problems.append(FileProblem(name, 0, twice, "this key is given twice"))
        return made

    try:
        return [json.loads(text, object_pairs_hook=once)]
    except ValueError as error:
        problems.append(FileProblem(name, getattr(error, "lineno", 0), "", f"is not JSON: {error}"))
        return []


def _missing(obj: Any) -> str:
    if not isinstance(obj, dict):
        return "apiVersion"
    for key in ("apiVersion", "kind"):
        if not isinstance(obj.get(key), str):
            return key
    meta = obj.get("metadata")
    return "" if isinstance(meta, dict) and isinstance(meta.get("name"), str) else "metadata.name"


def _about(content: bytes, name: str, problems: list[FileProblem]) -> dict[str, Any]:
    documents = _documents(content, name, problems)
    if documents and isinstance(documents[0], dict):
        return documents[0]
    problems.append(FileProblem(name, 0, "", "one JSON object is expected"))
    return {}
