"""Processes that nothing can end: control groups of version 1 that were left frozen.

runc freezes a container's group for a moment when it starts it. A node that is killed in that moment leaves the group
frozen, and its processes take no SIGKILL, so that the engine "did not receive an exit event" and keeps the container
(https://docs.kernel.org/admin-guide/cgroup-v1/freezer-subsystem.html). Groups of version 2 take it.
"""

from __future__ import annotations

from pathlib import Path

MOUNT = Path("/sys/fs/cgroup/freezer")
STATE = "freezer.state"


def thaw(container: str, mount: Path = MOUNT) -> list[Path]:
    """Thaws every frozen group of a container, by its whole id, and those below; returns those that could be thawed.

    By its id, and not by its first process: that one has left its group already when it waits for a frozen one to end.
    """
    found: list[Path] = []
    for state in sorted(mount.rglob(STATE)):
        try:
            if container in str(state.parent.relative_to(mount)) and state.read_text().strip() != "THAWED":
                state.write_text("THAWED")
                found.append(state)
        except OSError:  # gone meanwhile, or not ours to write: the engine's answer says what remains
            continue
    return found
