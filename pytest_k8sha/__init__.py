"""pytest-k8sha proves that a Kubernetes cluster keeps its promises: isolation, availability, failover and recovery.

The names below are the whole public surface. They are resolved on first use, so that merely installing the plugin
imports no client, no YAML and no HTTP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from pytest_k8sha.checks.catalogue import check
    from pytest_k8sha.checks.denial import expect_denied
    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.errors import Inconclusive, K8shaError, NotEvaluated
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.fleet.fleet import Fleet
    from pytest_k8sha.model import Impact, ObjectRef, Severity, Verdict, nonce
    from pytest_k8sha.probes.api import apiread, apiwrite
    from pytest_k8sha.probes.availability import availability
    from pytest_k8sha.probes.target import Target
    from pytest_k8sha.tenancy.tenant import Persona, Tenant

_EXPORTS = {
    "Cluster": "pytest_k8sha.fleet.cluster",
    "Fleet": "pytest_k8sha.fleet.fleet",
    "Impact": "pytest_k8sha.model",
    "Inconclusive": "pytest_k8sha.errors",
    "Judge": "pytest_k8sha.checks.judge",
    "K8shaError": "pytest_k8sha.errors",
    "NotEvaluated": "pytest_k8sha.errors",
    "ObjectRef": "pytest_k8sha.model",
    "Persona": "pytest_k8sha.tenancy.tenant",
    "Severity": "pytest_k8sha.model",
    "Target": "pytest_k8sha.probes.target",
    "Tenant": "pytest_k8sha.tenancy.tenant",
    "Verdict": "pytest_k8sha.model",
    "apiread": "pytest_k8sha.probes.api",
    "apiwrite": "pytest_k8sha.probes.api",
    "availability": "pytest_k8sha.probes.availability",
    "check": "pytest_k8sha.checks.catalogue",
    "expect_denied": "pytest_k8sha.checks.denial",
    "nonce": "pytest_k8sha.model",
}

__all__ = [
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


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
