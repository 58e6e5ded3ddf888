"""When a snapshot was taken, by what it holds: API servers and nodes renew Leases all the time, and etcd keeps them.

The name and the date of a file say when it was written or copied; only its content says how old the data are.
"""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING

from pytest_k8sha.errors import Inconclusive
from pytest_k8sha.probes.interval import Interval

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_k8sha.recovery.etcd.gateway import KeyValue

RENEWED = 10.0
"""Seconds between two renewals of an API server's Lease; the data may be that much younger than the newest one."""

_PROTOBUF = b"k8s\x00"
"""What begins an object that an API server stored as protobuf (``runtime/serializer/protobuf``)."""
_RAW, _SPEC, _RENEW_TIME, _SECONDS, _NANOS = 2, 2, 4, 1, 2
"""Field numbers: ``Unknown.raw``, ``Lease.spec``, ``LeaseSpec.renewTime``, ``Timestamp.seconds`` and ``.nanos``."""


def moment(content: Mapping[bytes, KeyValue]) -> Interval:
    """When the content was the newest, in seconds since the epoch. Raises `Inconclusive` where no Lease tells."""
    renewed = [_renewed(one.value) for key, one in content.items() if b"/leases/" in key]
    newest = max((seconds for seconds in renewed if seconds), default=None)
    if newest is None:
        raise Inconclusive("the snapshot holds no Lease that was ever renewed, so nothing in it says how old it is")
    return Interval(newest, newest + RENEWED)


def uid_of(content: Mapping[bytes, KeyValue], uid: str) -> bool:
    """Whether this is the content of the cluster whose namespace kube-system has this uid."""
    return any(uid.encode() in one.value for key, one in content.items() if key.endswith(b"/namespaces/kube-system"))


def _renewed(value: bytes) -> float | None:
    """The ``renewTime`` of a stored Lease; None where it has none or cannot be read."""
    with suppress(ValueError, KeyError, TypeError, IndexError):
        if not value.startswith(_PROTOBUF):
            return datetime.fromisoformat(json.loads(value)["spec"]["renewTime"]).timestamp()
        here: bytes = value[len(_PROTOBUF) :]
        for number in (_RAW, _SPEC, _RENEW_TIME):
            here = next(part for field, part in _fields(here) if field == number and isinstance(part, bytes))
        numbers = dict(_fields(here))
        return float(numbers[_SECONDS]) + float(numbers.get(_NANOS, 0)) / 1e9
    return None


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message: numbers and byte strings, by field number."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        match tag & 7:
            case 0:
                value, at = _varint(data, at)
                yield tag >> 3, value
            case 2:
                size, at = _varint(data, at)
                yield tag >> 3, data[at : at + size]
                at += size
            case 1:
                at += 8
            case 5:
                at += 4
            case kind:
                raise ValueError(f"no wire type: {kind}")


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
