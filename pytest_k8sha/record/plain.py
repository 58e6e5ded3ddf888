"""Turns any value into what RFC 8785 can carry: text, finite floats, whole numbers below 2^53, lists, objects, null."""

from __future__ import annotations

import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict, is_dataclass
from datetime import date, datetime
from enum import Enum, IntEnum
from typing import Any

MAX_INT = 2**53 - 1
"""The largest whole number that every JSON reader keeps exactly (RFC 8785, section 3.2.2.3)."""
MAX_DEPTH = 64


def plain(value: Any, depth: int = 0) -> Any:
    """``value`` as JSON data. Numbers that JSON cannot keep exactly become text; unknown objects their `str`.

    A text with half a surrogate pair, which UTF-8 cannot carry, gets a replacement character in its place.
    """
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return _text(str(value)) if isinstance(value, (str, IntEnum)) else plain(value.value, depth)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return int(value) if abs(value) <= MAX_INT else str(int(value))
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else str(value)
    if depth >= MAX_DEPTH:
        return "[too deep]"
    if is_dataclass(value) and not isinstance(value, type):
        return plain(asdict(value), depth)
    if isinstance(value, Mapping):
        return {_text(str(key)): plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item, depth + 1) for item in value]
    if isinstance(value, AbstractSet):
        return [plain(item, depth + 1) for item in sorted(value, key=str)]
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return bytes(value).decode("utf-8", "replace")
    return _text(str(value))


def _text(value: str) -> str:
    return "".join(value) if value.isascii() else value.encode("utf-8", "replace").decode("utf-8")
