"""A backup of Velero as it lies in the object store: its archive, object by object, and what Velero wrote of it.

``backups/NAME/NAME.tar.gz`` holds ``resources/RESOURCE.GROUP/{namespaces/NS,cluster}/OBJECT.json`` (Velero, "Output
file format", 1.1.0), and each object once more in the preferred version of its group.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import FileProblem, FileProblems, Inconclusive, NotEvaluated
from pytest_k8sha.recovery.manifests import archive
from pytest_k8sha.recovery.manifests.backup import Key
from pytest_k8sha.recovery.objects.bucket import opened

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_k8sha.recovery.plan import VeleroPlan

API = "velero.io/v1"

_ARCHIVE = re.compile(r"(?:^|/)backups/([^/]+)/\1\.tar\.gz$")
_OBJECT = re.compile(r"^resources/[^/]+/(?:cluster|namespaces/[^/]+)/[^/]+\.json$")


@dataclass
class Stored:
    """One backup. ``about`` is its ``velero-backup.json``: the Backup object with its status."""

    name: str
    objects: dict[Key, dict[str, Any]]
    about: dict[str, Any]

    @property
    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.about.get("status") or {}
        return found


def read(plan: VeleroPlan | None, folder: Path) -> Stored:
    """Reads the backup that the plan names, or the newest one of its store. ``folder`` is private.

    Raises `NotEvaluated` when no plan names Velero, `Inconclusive` when the store holds no such backup or cannot be
    read, `FileProblems` for an archive that is damaged, leads out of itself or holds links.
    """
    if plan is None:
        raise NotEvaluated(
            "no backup of Velero is named by a restore plan", remedy="velero: {store: …, namespaces: […]}"
        )
    bucket = opened(plan.store)
    found = [(item, match[1]) for item in bucket.items() if (match := _ARCHIVE.search(item.key))]
    wanted = [(item, name) for item, name in found if plan.backup in {"", name}]
    if not wanted:
        raise Inconclusive(f"the store {plan.store.name} holds no backup {plan.backup or 'at all'}")
    item, name = max(wanted, key=lambda pair: pair[0].modified)
    place = folder / f"velero-{name}.tar.gz"
    place.touch(mode=0o600)
    place.write_bytes(bucket.get(item.key))
    try:
        files = archive.files(place)
    finally:
        place.unlink()
    about = _json(bucket.get(f"{item.key.rpartition('/')[0]}/velero-backup.json"), "velero-backup.json")
    objects = [_json(content, file) for file, content in files.items() if _OBJECT.match(file)]
    return Stored(name, {Key.of(obj): obj for obj in objects}, about)


def _json(content: bytes, name: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except ValueError as error:
        raise FileProblems([FileProblem(name, 0, "", f"is not JSON: {error}")]) from error
    if not isinstance(found, dict):
        raise FileProblems([FileProblem(name, 0, "", "one JSON object is expected")])
    return found
