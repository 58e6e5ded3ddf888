"""The pytest plugin. What is imported here costs every pytest run, so it is next to nothing.

A run in which no test asks for a fixture of this plugin, and which names no cluster, only passes through the few hooks
of this module. Everything else is imported, and the live objects registered, by `session.activate`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_k8sha.plugin.fixtures import (
    _k8sha,
    _k8sha_target,
    apply,
    availability,
    chaos,
    cluster,
    diagnostics,
    eventually,
    fleet,
    fleet_overview,
    judge,
    k8sha_options,
    namespace,
    neighbour,
    private_folder,
    restore_plan,
    run,
    scratch,
    tenant,
    tenants,
)
from pytest_k8sha.plugin.options import MARKERS, add_options, named

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "_k8sha",
    "_k8sha_target",
    "apply",
    "availability",
    "chaos",
    "cluster",
    "diagnostics",
    "eventually",
    "fleet",
    "fleet_overview",
    "judge",
    "k8sha_options",
    "namespace",
    "neighbour",
    "private_folder",
    "restore_plan",
    "run",
    "scratch",
    "tenant",
    "tenants",
]

ROOT_FIXTURE = "_k8sha"
"""Every fixture of this plugin needs it, so whoever has it in its closure uses the plugin. A project's own fixture of
the same name as one of ours, such as ``cluster``, does not have it."""


def pytest_addoption(parser: pytest.Parser) -> None:
    add_options(parser)


def pytest_addhooks(pluginmanager: pytest.PytestPluginManager) -> None:
    from pytest_k8sha.plugin import newhooks

    pluginmanager.add_hookspecs(newhooks)


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    for marker in MARKERS:
        config.addinivalue_line("markers", marker)
    if named(config):
        from pytest_k8sha.plugin.session import activate

        activate(config)


@pytest.hookimpl(tryfirst=True)
def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if ROOT_FIXTURE in metafunc.fixturenames or hasattr(metafunc.function, "__k8sha_check__"):
        from pytest_k8sha.plugin.parametrise import generate

        generate(metafunc)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Called by xdist in its controller, for each worker."""
    from pytest_k8sha.plugin.xdist import greet

    greet(node)


@pytest.hookimpl(optionalhook=True, tryfirst=True)
def pytest_xdist_node_collection_finished(node: Any, ids: Sequence[str]) -> None:  # noqa: ARG001 - xdist's name
    """Called by xdist in its controller when a worker has collected, before any test starts."""
    from pytest_k8sha.plugin.xdist import serve

    serve(node.config)
