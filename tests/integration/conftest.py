"""Clusters that several files of tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_k8sha._process import ProcessId
from tests.integration.local_clusters import Made, make, provider_in

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def three_members(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Made]:
    """A cluster of three members with one node, whose links can be cut. Whoever breaks it heals it."""
    base = tmp_path_factory.mktemp("members")
    made = make(provider_in(base), base, "three", ProcessId.own(), members=3, nodes=1, links=True)
    yield made
    made.provider.delete(made.state)
