"""What etcd holds, compared key by key."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import TYPE_CHECKING

from pytest_k8sha.recovery.etcd.gateway import KeyValue

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIELDS = KeyValue._fields[1:]


@dataclass
class Difference:
    """Keys of the ``wanted`` content that are not as wanted. ``changed`` names the fields that differ."""

    missing: list[str] = field(default_factory=list)
    extra: list[str] = field(default_factory=list)
    changed: dict[str, list[str]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.changed)

    def __str__(self) -> str:
        parts = []
        for name, keys in (("missing", self.missing), ("extra", self.extra), ("changed", list(self.changed))):
            if keys:
                shown = f"{keys[0]} ({', '.join(self.changed[keys[0]])})" if name == "changed" else keys[0]
                parts.append(f"{len(keys)} {name}, such as {shown}")
        return "; ".join(parts) or "no difference"


def digest(content: Mapping[bytes, KeyValue]) -> str:
    """SHA-256 over the sorted live keys, each with value, create and mod revision, version and lease.

    Not etcd's HashKV, which also counts the history and what a member compacted when.
    """
    total = sha256()
    for key in sorted(content):
        one = content[key]
        numbers = (one.create_revision, one.mod_revision, one.version, one.lease)
        for part in (one.key, one.value, *(b"%d" % number for number in numbers)):
            total.update(b"%d:" % len(part))  # so that no two different contents are one text
            total.update(part)
    return total.hexdigest()


def compare(wanted: Mapping[bytes, KeyValue], seen: Mapping[bytes, KeyValue]) -> Difference:
    """Key by key, in the order of the keys."""
    found = Difference()
    for key in sorted({*wanted, *seen}):
        name = key.decode("utf-8", "backslashreplace")
        if key not in seen:
            found.missing.append(name)
        elif key not in wanted:
            found.extra.append(name)
        elif wanted[key] != seen[key]:
            pairs = zip(_FIELDS, wanted[key][1:], seen[key][1:], strict=True)
            found.changed[name] = [label for label, a, b in pairs if a != b]
    return found
