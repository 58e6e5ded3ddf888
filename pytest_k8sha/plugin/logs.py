"""After a run with a failure: the ends of its clusters' logs, beside the report, before the clusters are gone."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_k8sha.errors import K8shaError

if TYPE_CHECKING:
    from pytest_k8sha.plugin.session import Session
    from pytest_k8sha.providers.base import ClusterState

EACH = 256 * 1024
"""Bytes of one log that are kept: its end."""
ALL = 16 * 1024 * 1024
"""Bytes of the logs of one cluster."""


def keep(session: Session) -> None:
    """Writes ``logs/CLUSTER/`` below ``--k8sha-out`` for each cluster that the run made, secrets taken out; what could
    not be had is a note. Raises nothing, and changes no verdict."""
    from pytest_k8sha.providers.base import ClusterState

    if session.options.out is None or not session.folder.fleet_file.exists():
        return
    for name, entry in json.loads(session.folder.fleet_file.read_text())["clusters"].items():
        if entry.get("reused") or not entry.get("place"):
            continue
        folder = session.options.out / "logs" / name
        try:
            count = _write(session, ClusterState.load(Path(entry["place"])), folder)
        except (K8shaError, OSError) as error:
            session.notes.append(f"the logs of cluster {name} could not be kept: {error}")
        else:
            if count:
                session.notes.append(f"the ends of {count} logs of cluster {name} are in {folder}")


def _write(session: Session, state: ClusterState, folder: Path) -> int:
    """Returns how many logs were written; those that changed last come first."""
    found = session.registry.get(state.provider).logs(state)
    left, count = ALL, 0
    for name, path in sorted(found.items(), key=lambda item: -item[1].stat().st_mtime if item[1].exists() else 0.0):
        if left <= 0 or not path.is_file():
            continue
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - EACH))
            text = file.read(EACH).decode("utf-8", "replace")
        if not text.strip():
            continue
        target = folder / f"{re.sub(r'[^A-Za-z0-9._/-]', '_', name)}.log"
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.write_text(str(session.redact(text)))
        left -= len(text)
        count += 1
    return count
