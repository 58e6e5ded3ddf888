"""The public surface is what it is meant to be, and importing it is cheap."""

from __future__ import annotations

import pytest_k8sha

PUBLIC = [
    "Cluster",
    "Fleet",
    "Impact",
    "Inconclusive",
    "Judge",
    "K8shaError",
    "NotEvaluated",
    "ObjectRef",
    "Persona",
    "Severity",
    "Target",
    "Tenant",
    "Verdict",
    "apiread",
    "apiwrite",
    "availability",
    "check",
    "expect_denied",
    "nonce",
]


def test_public_names_are_locked() -> None:
    """A name is added to or taken from the public surface on purpose only: by changing this list as well."""
    assert pytest_k8sha.__all__ == PUBLIC
    assert sorted(pytest_k8sha._EXPORTS) == PUBLIC


def test_every_public_name_resolves() -> None:
    """Each public name can be had from the package and is documented."""
    for name in PUBLIC:
        assert getattr(pytest_k8sha, name).__doc__, name
    assert set(PUBLIC) < set(dir(pytest_k8sha))
