"""The way back of a fault that was made by requests: requests as well, in the journal before the fault is made.

`k8sha recover` sends them, the newest fault first, when the run that made the fault was killed. They are idempotent.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.kube.client import Client

    Way = Callable[[Cluster, Mapping[str, Any]], None]
    """Takes one fault back on its cluster, by what `begin` wrote down of it; idempotent. Raises `K8shaError`."""
    Ways = Mapping[str, Way]


@dataclass(frozen=True)
class Undo:
    """One request. ``path`` is that of the API, without the server."""

    method: str
    path: str
    body: Any = None
    content_type: str | None = None

    def send(self, client: Client) -> None:
        """Raises `ApiError` and `TransportError`; what is gone already (404) needs no undoing."""
        try:
            client.request(self.method, self.path, body=self.body, content_type=self.content_type)
        except ApiError as error:
            if error.status != 404:
                raise

    @classmethod
    def read(cls, entry: dict[str, Any]) -> list[Undo]:
        """Those of a fault's entry in a journal, in the order in which they are to be sent."""
        return [cls(**one) for one in entry.get("undo") or []]


def begin(cluster: Cluster, on: str, undo: Iterable[Undo] = (), *, way: Mapping[str, Any] | None = None) -> int:
    """Writes a fault down, with its undo, before it is made; returns its number for `end`.

    ``way`` is for a fault that requests alone do not take back: its ``of`` names the `Way` that does, and the rest is
    for that one. On a cluster that ends with its run there is no journal and nothing to write: the number is 0.
    """
    journal = cluster.guard.journal
    if journal is None:
        return 0
    steps = [asdict(one) for one in undo]
    more = {"way": dict(way)} if way is not None else {}
    return journal.intent("fault", cluster=cluster.name, uid=cluster.guard.uid, on=on, undo=steps, **more)


def end(cluster: Cluster, number: int) -> None:
    """The fault was taken back."""
    if number and cluster.guard.journal is not None:
        cluster.guard.journal.gone([number])
