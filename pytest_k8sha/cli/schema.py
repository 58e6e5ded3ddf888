"""``k8sha schema``: the JSON Schema of the files that users write, for their editors."""

from __future__ import annotations

from typing import Any

import click

from pytest_k8sha.cli import options

KINDS = {
    "fleet": "a fleet file (`--fleet`)",
    "tenant": "tenant.yaml of a tenant's template",
    "experiment": "an experiment: a fault with targets, a blast radius and a way back",
    "tenants": "a mapping file: tenants that exist already, and how to act as them",
    "prices": "a price file: what an hour of what tenants take costs",
    "restore": "a restore plan (`--k8sha-restore`)",
    "bia": "a BIA file: services, what they promise, and how they recover",
    "mutant": "a mutant: a broken set-up that a check must fail on",
    "local": "the options of a cluster of the provider local",
    "context": "the options of a cluster of the provider context",
}


@click.command("schema")
@click.argument("kind", type=click.Choice(list(KINDS)))
@options.debug
def schema(kind: str) -> None:
    """Print the JSON Schema (draft 2020-12) of a kind of file."""
    from pytest_k8sha.cli import console

    console.dump(of(kind))


def of(kind: str) -> dict[str, Any]:
    """The schema of one of `KINDS`."""
    made = {
        "fleet": _fleet,
        "tenant": _tenant,
        "tenants": _tenants,
        "prices": _prices,
        "mutant": _mutant,
        "experiment": _experiment,
        "restore": _restore,
        "bia": _bia,
    }.get(kind, lambda: _provider(kind))()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **made, "description": KINDS[kind]}


def _fleet() -> dict[str, Any]:
    """The model's schema, with each provider's own keys allowed where that provider is named, and no others."""
    from pytest_k8sha.fleet.spec import FleetSpec
    from pytest_k8sha.providers.registry import Registry

    made = FleetSpec.model_json_schema()
    order = made["$defs"]["ClusterOrder"]
    default = order["properties"]["provider"]["default"]
    registry = Registry()
    order["allOf"] = []
    for name in registry.names:
        own = _provider(name)
        made["$defs"] |= own.get("$defs", {})
        is_named: dict[str, Any] = {"properties": {"provider": {"const": name}}}
        if name != default:
            is_named["required"] = ["provider"]
        order["allOf"].append({"if": is_named, "then": {"properties": own["properties"]}})
    order["properties"]["provider"]["enum"] = registry.names
    order.pop("additionalProperties", None)
    order["unevaluatedProperties"] = False
    _models(made["$defs"])
    return made


def _models(definitions: dict[str, Any]) -> None:
    """The same for a tenant: each model's own keys where that model is named."""
    from pytest_k8sha.tenancy.models.registry import Models

    models, order = Models(), definitions["TenantOrder"]
    order["allOf"] = []
    for name in models.names:
        own = models.get(name).options.model_json_schema()
        definitions |= own.get("$defs", {})
        is_named = {"properties": {"model": {"const": name}}, "required": ["model"]}
        order["allOf"].append({"if": is_named, "then": {"properties": own.get("properties", {})}})
    order["properties"]["model"]["enum"] = models.names
    order.pop("additionalProperties", None)
    order["unevaluatedProperties"] = False


def _tenant() -> dict[str, Any]:
    from pytest_k8sha.tenancy.template import TenantFile

    return TenantFile.model_json_schema()


def _tenants() -> dict[str, Any]:
    from pytest_k8sha.tenancy.mapping import MappingFile

    return MappingFile.model_json_schema()


def _prices() -> dict[str, Any]:
    from pytest_k8sha.tenancy.prices import Prices

    return Prices.model_json_schema()


def _restore() -> dict[str, Any]:
    from pytest_k8sha.recovery.plan import Plan

    return Plan.model_json_schema()


def _bia() -> dict[str, Any]:
    from pytest_k8sha.recovery.bia import Bia

    return Bia.model_json_schema()


def _mutant() -> dict[str, Any]:
    from pytest_k8sha.checks.mutants import Mutant

    made: dict[str, Any] = Mutant.model_json_schema()
    return made


def _experiment() -> dict[str, Any]:
    from pytest_k8sha.chaos.order import Order

    return Order.model_json_schema(by_alias=True)


def _provider(name: str) -> dict[str, Any]:
    from pytest_k8sha.providers.registry import Registry

    # Both spellings are read: node-grace and node_grace.
    model = Registry().get(name).options
    made = model.model_json_schema(by_alias=True)
    made["properties"] = made["properties"] | model.model_json_schema(by_alias=False)["properties"]
    return made
