"""The exchange of a control plane's data, journalled before it begins, so that `k8sha recover` can take it back."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from pytest_k8sha.providers.base import Storage, Tools
    from pytest_k8sha.safety.journal import Journal


class JournalledStorage:
    """See `pytest_k8sha.providers.base.Storage`."""

    def __init__(self, cluster: str, storage: Storage, journal: Journal) -> None:
        self._cluster, self._storage, self._journal = cluster, storage, journal
        self.access = storage.access
        self.tools: Tools = storage.tools
        self.membership, self.alone = storage.membership, storage.alone

    @property
    def scratch(self) -> Path:
        return self._storage.scratch

    @contextmanager
    def replace(self, data: Mapping[int, Path]) -> Iterator[None]:
        number = self._journal.intent("fault", cluster=self._cluster, on="the data of etcd", member=0)
        with self._storage.replace(data):
            yield
        self._journal.gone([number])
