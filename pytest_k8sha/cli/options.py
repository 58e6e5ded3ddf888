"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from pytest_k8sha.cli.app import DEBUG, JSON

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_k8sha.fleet.spec import FleetSpec
    from pytest_k8sha.providers.registry import Registry

F = TypeVar("F", bound="Callable[..., Any]")


def _remember(key: str) -> Callable[[click.Context, click.Parameter, bool], bool]:
    def callback(ctx: click.Context, _: click.Parameter, value: bool) -> bool:  # noqa: FBT001 - click's signature
        ctx.meta[key] = bool(value) or bool(ctx.meta.get(key))
        return value

    return callback


def debug(function: F) -> F:
    """``--debug``: a traceback with an error."""
    return click.option(
        "--debug",
        is_flag=True,
        expose_value=False,
        is_eager=True,
        callback=_remember(DEBUG),
        help="Show a traceback with an error.",
    )(function)


def as_json(function: F) -> F:
    """``--json``: stdout is JSON and nothing else; gives the parameter ``as_json``."""
    return click.option(
        "--json",
        "as_json",
        is_flag=True,
        is_eager=True,
        callback=_remember(JSON),
        help="Print JSON, and nothing else, to the standard output.",
    )(function)


def contexts(function: F) -> F:
    """``--context`` and ``--kubeconfig``: gives ``contexts`` (a tuple of names) and ``kubeconfig`` (a path or None)."""
    function = click.option(
        "--kubeconfig",
        type=click.Path(path_type=Path, exists=True, dir_okay=False),
        help="The kubeconfig (default: KUBECONFIG, then ~/.kube/config).",
    )(function)
    return click.option(
        "--context", "contexts", multiple=True, metavar="NAME", help="A context of the kubeconfig. Repeatable."
    )(function)


def clusters(function: F) -> F:
    """``--cluster`` and ``--fleet``: gives ``cluster`` (a tuple of texts) and ``fleet`` (a path or None)."""
    function = click.option(
        "--fleet",
        type=click.Path(path_type=Path, dir_okay=False),
        help="A fleet file (its schema: `k8sha schema fleet`).",
    )(function)
    return click.option(
        "--cluster",
        multiple=True,
        metavar="NAME=PROVIDER[:ARGUMENT][,key=value…]",
        help="A cluster of the fleet, such as east=local,members=3 or prod=context:prod-eu. Repeatable.",
    )(function)


def demo_fleet() -> Path:
    """The fleet that is meant when none is named: ``east`` with a good set-up, ``west`` with one that leaks."""
    from pytest_k8sha.settings import bundled

    return bundled("fixtures", "fleets", "demo.yaml")


def read_fleet(cluster: tuple[str, ...], fleet: Path | None, registry: Registry) -> FleetSpec:
    """The fleet that the options mean; the demo fleet without any. Raises `UsageError` and `FileProblems`."""
    from pytest_k8sha.errors import UsageError
    from pytest_k8sha.fleet import spec
    from pytest_k8sha.tenancy.models.registry import Models

    if cluster and fleet:
        raise UsageError("a fleet comes from --cluster or from --fleet, not from both")
    if cluster:
        return spec.from_options(cluster, registry, Models())
    return spec.from_file(fleet or demo_fleet(), registry, Models())
