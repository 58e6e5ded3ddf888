"""etcd, full: until it raises the alarm NOSPACE, and back again by the three steps of its manual."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import ApiError, K8shaError, UsageError

if TYPE_CHECKING:
    from pytest_k8sha.kube.etcd import Etcd

KEY = "/k8sha/filling"
"""One key, written again and again: its old revisions are what fills the store, and a compaction frees them."""

LARGEST = 256 * 2**20
"""The largest quota, in bytes, that is filled: a store that is in use is not."""

ALARM = "NOSPACE"
_PIECE = 2**20
_TIMEOUT = 15.0


def fill(etcd: Etcd, member: int = 0) -> int:
    """Writes until etcd says that it is full; returns how many MiB that took. Raises `UsageError` for a large quota."""
    quota = etcd.status(member).quota
    if not 0 < quota <= LARGEST:
        raise UsageError(
            "only an etcd with a small quota is filled",
            value=f"{quota / 2**20:.0f} MiB",
            remedy="make the cluster with etcd-args=quota-backend-bytes=33554432",
        )
    for written in range(2 * quota // _PIECE + 1):
        try:
            etcd.put(member, KEY, bytes(_PIECE), timeout=_TIMEOUT)
        except ApiError as error:
            if "space" in error.message:
                return written
            raise
    raise UsageError(f"etcd took twice its quota of {quota / 2**20:.0f} MiB and raised no alarm")


def empty(etcd: Etcd, member: int = 0) -> None:
    """Compacts, defragments each member and disarms every alarm, as etcd's manual says
    (https://etcd.io/docs/v3.6/op-guide/maintenance/#space-quota). Idempotent."""
    try:
        etcd.compact(member, etcd.revision(member))
    except ApiError as error:
        if "compacted" not in error.message:  # it was, by an earlier try or by the API server
            raise
    for place in range(len(etcd)):
        etcd.defragment(place)

    def disarmed() -> bool:
        for whose, alarm in etcd.alarms(member):
            etcd.disarm(member, whose, alarm)
        return not etcd.alarms(member)

    eventually(disarmed, what="every alarm of etcd is taken back", timeout=30.0)


def raised(etcd: Etcd) -> list[str]:
    """The ids of the members that raise `ALARM`, by the first member that tells."""
    for place in range(len(etcd)):
        try:
            return [whose for whose, alarm in etcd.alarms(place) if alarm == ALARM]
        except K8shaError:
            continue
    return []
