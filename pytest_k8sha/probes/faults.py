"""A fault with a way back: journalled before it is made, taken back whatever happens."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_k8sha.fleet.cluster import Cluster


@contextmanager
def injected(cluster: Cluster, what: str, *, inject: Callable[[], None], undo: Callable[[], None]) -> Iterator[None]:
    """Makes a fault for the time of the block. ``undo`` is called even when ``inject`` fails half-way."""
    journal = cluster.guard.journal
    entry = journal.intent("fault", cluster=cluster.name, place=cluster.state.place, fault=what) if journal else 0
    try:
        inject()
        yield
    finally:
        undo()
        if journal:
            journal.gone([entry])
