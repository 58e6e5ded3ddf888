"""Turns: who disrupts a cluster is alone there, and is not kept waiting for ever."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from pytest_k8sha import _clock
from pytest_k8sha.plugin.turns import turn


def test_several_may_look_at_the_same_time(tmp_path: Path) -> None:
    """Two that do not disrupt hold their turns together."""
    together = threading.Barrier(2, timeout=10)

    def look() -> bool:
        with turn(tmp_path / "east", alone=False):
            together.wait()
        return True

    with ThreadPoolExecutor(2) as pool:
        assert [future.result() for future in [pool.submit(look), pool.submit(look)]] == [True, True]


def test_who_disrupts_is_alone(tmp_path: Path) -> None:
    """Nobody else is inside while it runs, and it runs although others keep coming."""
    inside: list[str] = []
    seen: list[list[str]] = []
    lock = threading.Lock()

    def take(name: str, *, alone: bool) -> None:
        with turn(tmp_path / "east", alone=alone):
            with lock:
                inside.append(name)
                if alone:
                    seen.append(list(inside))
            _clock.pause(0.01)
            with lock:
                if alone:
                    seen.append(list(inside))
                inside.remove(name)

    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(take, f"t{n}", alone=n % 5 == 4) for n in range(20)]
        for future in futures:
            future.result(timeout=60)
    assert len(seen) == 8
    assert all(len(names) == 1 for names in seen)


def test_clusters_do_not_wait_for_each_other(tmp_path: Path) -> None:
    """A disruption of one cluster leaves the other to its own tests."""
    with turn(tmp_path / "east", alone=True), turn(tmp_path / "west", alone=True):
        pass
