"""One test on many clusters: `cluster` runs it once on each, `fleet` once across all."""

from __future__ import annotations

import pytest

from pytest_k8sha.capabilities.probe import check_words
from pytest_k8sha.errors import K8shaError
from pytest_k8sha.plugin.cases import needs_of
from pytest_k8sha.plugin.session import activate
from pytest_k8sha.tenancy.models.base import check_promises

TARGET = "_k8sha_target"


def generate(metafunc: pytest.Metafunc) -> None:
    """Parametrises one test function; a mistake in its markers becomes a collection error."""
    session = activate(metafunc.config)
    try:
        needs = needs_of(metafunc.definition)
        check_words(needs.requires)
        check_promises(needs.promises)
        if "chaos" in metafunc.fixturenames:
            from pytest_k8sha.plugin.trials import read

            read(metafunc.definition)
    except K8shaError as error:
        raise pytest.Collector.CollectError(f"{metafunc.definition.nodeid}: {error}") from error
    if TARGET in metafunc.fixturenames:
        metafunc.parametrize(TARGET, session.names, ids=session.names, indirect=True, scope="session")
