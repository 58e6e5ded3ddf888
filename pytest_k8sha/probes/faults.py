"""A fault with a way back. Each is journalled where it is made (`pytest_k8sha.fleet.faults`)."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def injected(inject: Callable[[], None], *, undo: Callable[[], None]) -> Iterator[None]:
    """Makes a fault for the time of the block. ``undo`` is called even when ``inject`` fails half-way."""
    try:
        inject()
        yield
    finally:
        undo()
