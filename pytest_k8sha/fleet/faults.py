"""Faults that are journalled before they are made, so that `k8sha recover` can take them back after a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_k8sha.providers.base import Faults
    from pytest_k8sha.safety.journal import Journal


class JournalledFaults:
    """The faults of one cluster (see `pytest_k8sha.providers.base.Faults`), each written down before it is made."""

    def __init__(self, cluster: str, faults: Faults, journal: Journal) -> None:
        self._cluster = cluster
        self._faults = faults
        self._journal = journal
        self._open: dict[tuple[str, int], list[int]] = {}

    def stop_heartbeat(self, node: str) -> None:
        self._make((f"heartbeat of {node}", 0), lambda: self._faults.stop_heartbeat(node))

    def resume_heartbeat(self, node: str) -> None:
        self._take_back((f"heartbeat of {node}", 0), lambda: self._faults.resume_heartbeat(node))

    def stop_kubelet(self, node: str) -> None:
        self._make((f"kubelet of {node}", 0), lambda: self._faults.stop_kubelet(node))

    def start_kubelet(self, node: str) -> None:
        self._take_back((f"kubelet of {node}", 0), lambda: self._faults.start_kubelet(node))

    def kill_container(self, node: str, container: str) -> None:
        what = (f"container {container} on {node}", 0)
        self._make(what, lambda: self._faults.kill_container(node, container))
        self._take_back(what, lambda: None)  # its kubelet starts another one by itself

    def freeze_container(self, node: str, container: str) -> None:
        self._make((f"container {container} on {node}", 0), lambda: self._faults.freeze_container(node, container))

    def is_frozen(self, node: str, container: str) -> bool:
        return self._faults.is_frozen(node, container)

    def thaw_container(self, node: str, container: str) -> None:
        self._take_back((f"container {container} on {node}", 0), lambda: self._faults.thaw_container(node, container))

    def stop(self, component: str, member: int = 0) -> None:
        self._make((component, member), lambda: self._faults.stop(component, member))

    def kill(self, component: str, member: int = 0) -> None:
        self._make((component, member), lambda: self._faults.kill(component, member))

    def start(self, component: str, member: int = 0) -> None:
        self._take_back((component, member), lambda: self._faults.start(component, member))

    def freeze(self, component: str, member: int = 0) -> None:
        self._make((component, member), lambda: self._faults.freeze(component, member))

    def thaw(self, component: str, member: int = 0) -> None:
        self._take_back((component, member), lambda: self._faults.thaw(component, member))

    def cut(self, component: str, member: int = 0) -> None:
        self._make((f"links of {component}", member), lambda: self._faults.cut(component, member))

    def delay(self, component: str, member: int, seconds: float) -> None:
        self._make((f"links of {component}", member), lambda: self._faults.delay(component, member, seconds))

    def mend(self, component: str, member: int = 0) -> None:
        self._take_back((f"links of {component}", member), lambda: self._faults.mend(component, member))

    def certify(self, component: str, member: int, seconds: float) -> None:
        self._make((f"certificate of {component}", member), lambda: self._faults.certify(component, member, seconds))

    def fill(self, component: str, member: int = 0) -> None:
        self._make((f"space of {component}", member), lambda: self._faults.fill(component, member))

    def relieve(self, component: str, member: int = 0) -> None:
        self._take_back((f"space of {component}", member), lambda: self._faults.relieve(component, member))

    def member_of(self, identity: str) -> int | None:
        return self._faults.member_of(identity)

    def running(self, component: str) -> tuple[int, ...]:
        return self._faults.running(component)

    def instance(self, component: str, member: int = 0) -> str:
        return self._faults.instance(component, member)

    def heal(self) -> None:
        self._faults.heal()
        self._journal.gone([number for numbers in self._open.values() for number in numbers])
        self._open.clear()

    def _make(self, what: tuple[str, int], act: Callable[[], None]) -> None:
        number = self._journal.intent("fault", cluster=self._cluster, on=what[0], member=what[1])
        self._open.setdefault(what, []).append(number)
        act()

    def _take_back(self, what: tuple[str, int], act: Callable[[], None]) -> None:
        act()
        self._journal.gone(self._open.pop(what, []))
