"""Kubernetes quantities, exactly (https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/)."""

from __future__ import annotations

import re
from fractions import Fraction

from pytest_k8sha.errors import UsageError

_FORM = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([eE][+-]?\d+)|([numkMGTPE]|[KMGTPE]i)?)")

_FACTORS = {
    "": Fraction(1),
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    **{name: Fraction(1000**power) for power, name in enumerate("kMGTPE", 1)},
    **{f"{name}i": Fraction(1024**power) for power, name in enumerate("KMGTPE", 1)},
}


def parse(text: str | float) -> Fraction:
    """``"500m"`` → 1/2, ``"1Gi"`` → 1073741824. Raises `UsageError` for what is no quantity."""
    found = _FORM.fullmatch(str(text).strip())
    if not found:
        raise UsageError("this is no quantity", value=str(text), allowed=["500m", "2", "1Gi", "1e3"])
    number, exponent, suffix = found.groups()
    scale = Fraction(10) ** int(exponent[1:]) if exponent else _FACTORS[suffix or ""]
    return Fraction(number) * scale


def spell(value: Fraction) -> str:
    """The shortest exact form: whole numbers, else thousandths (rounded up, as the API server does)."""
    if value.denominator == 1:
        return str(value.numerator)
    return f"{-(-value.numerator * 1000 // value.denominator)}m"
