"""Hooks that a project's conftest or another plugin may implement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_k8sha.fleet.fleet import Fleet
    from pytest_k8sha.providers.base import Provider
    from pytest_k8sha.tenancy.models.base import TenancyModel


@pytest.hookspec
def pytest_k8sha_providers(config: pytest.Config) -> Sequence[Provider]:  # type: ignore[empty-body]
    """Return further providers of clusters (see `pytest_k8sha.providers.base.Provider`)."""


@pytest.hookspec
def pytest_k8sha_tenancy_models(config: pytest.Config) -> Sequence[TenancyModel]:  # type: ignore[empty-body]
    """Return further tenancy models (see `pytest_k8sha.tenancy.models.base.TenancyModel`)."""


@pytest.hookspec
def pytest_k8sha_fleet(config: pytest.Config, fleet: Fleet) -> None:
    """The clusters of the run are there, and what was ordered is applied. Called once, before the first test that
    needs them, in the process that made them."""


@pytest.hookspec
def pytest_k8sha_result(config: pytest.Config, result: Mapping[str, Any]) -> None:
    """A check or test has come to its verdict. ``result`` is the data of its line in the record. Called once for each,
    in the process that writes the record."""
