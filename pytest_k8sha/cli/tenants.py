"""``k8sha tenants``: what the tenants of clusters that exist use, and what that costs. Reads, and changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_k8sha.cli import options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.fleet.spec import FleetSpec
    from pytest_k8sha.providers.registry import Registry
    from pytest_k8sha.tenancy.usage import Thresholds


@click.group("tenants")
def tenants() -> None:
    """Tell what tenants use and cost."""


@tenants.command("usage")
@options.clusters
@click.option(
    "--prices",
    type=click.Path(path_type=Path, dir_okay=False),
    help="A price file (its schema: `k8sha schema prices`); without one, quotas alone are told.",
)
@click.option("--warn", type=click.FloatRange(1, 100), default=80, show_default=True, help="Per cent to warn from.")
@click.option("--full", type=click.FloatRange(1, 100), default=90, show_default=True, help="Per cent to fail from.")
@click.option("--csv", "as_csv", is_flag=True, help="Print comma-separated values, and nothing else.")
@options.as_json
@options.debug
def usage(
    cluster: tuple[str, ...],
    fleet: Path | None,
    prices: Path | None,
    warn: float,
    full: float,
    *,
    as_csv: bool,
    as_json: bool,
) -> None:
    """Show how full the quotas of each tenant are, and what its requests cost: amount * price * hours.

    The clusters must exist (kept by `k8sha up`, or a context), and the tenants are those of the fleet file. The exit
    code is 1 when a quota is full, else 0.
    """
    from fractions import Fraction

    from pytest_k8sha.errors import UsageError
    from pytest_k8sha.providers.registry import Registry
    from pytest_k8sha.tenancy import prices as price_files
    from pytest_k8sha.tenancy.models.registry import Models
    from pytest_k8sha.tenancy.usage import Thresholds

    if as_csv and as_json:
        raise UsageError("either --csv or --json")
    if warn > full:
        raise UsageError("the warning comes first", value=f"--warn {warn:g} --full {full:g}")
    registry, models = Registry(), Models()
    spec = options.read_fleet(cluster, fleet, registry)
    told = price_files.read(prices) if prices else None
    limits = Thresholds(Fraction(str(warn)) / 100, Fraction(str(full)) / 100)
    rows, costs = collect(spec, registry, models, limits, told)
    if as_json:
        from pytest_k8sha.cli import console

        console.dump({"quotas": rows, "cost": costs})
    elif as_csv:
        click.echo(written(costs if told else rows), nl=False)
    else:
        _show(rows, costs)
    click.get_current_context().exit(int(any(row["state"] == "full" for row in rows)))


def collect(
    spec: FleetSpec, registry: Registry, models: Any, limits: Thresholds, prices: Any
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The rows about quotas and about cost, each with its cluster. Raises `UsageError` where there is no tenant or no
    cluster to look at, and what the requests raise."""
    import tempfile

    from pytest_k8sha.cli.existing import opened
    from pytest_k8sha.errors import UsageError
    from pytest_k8sha.settings import Settings
    from pytest_k8sha.tenancy import usage as using

    rows: list[dict[str, Any]] = []
    costs: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="k8sha-") as folder:
        for name, order in spec.clusters.items():
            if not order.tenants:
                raise UsageError("no tenant is declared for this cluster", value=name, remedy="use a fleet file")
            found = opened(Settings.from_environment(), registry, name, order, Path(folder))
            if found is None:
                raise UsageError("this cluster does not exist", value=name, remedy=f"k8sha up --cluster {name}=…")
            described = [models.describe(found, one) for one in models.prepare(order.tenants)]
            rows += [{"cluster": name, **use.row(limits)} for use in using.uses(found, described)]
            if prices:
                costs += [{"cluster": name, **row} for row in using.bills(found, described, prices)]
    return rows, costs


def written(rows: Sequence[dict[str, Any]]) -> str:
    """Comma-separated values with a line of names."""
    import csv
    import io

    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()


def _show(rows: Sequence[dict[str, Any]], costs: Sequence[dict[str, Any]]) -> None:
    from pytest_k8sha.cli import console

    console.table(
        ["cluster", "tenant", "quota", "resource", "used", "hard", "%", "state"],
        [[r[k] for k in ("cluster", "tenant", "quota", "resource", "used", "hard", "percent", "state")] for r in rows],
    )
    if not costs:
        return
    console.table(
        ["cluster", "tenant", "item", "amount", "unit", "price", "hours", "cost"],
        [
            [r[k] for k in ("cluster", "tenant", "item", "amount", "unit", "price", "hours")]
            + [f"{r['cost']:.2f} {r['currency']}"]
            for r in costs
        ],
    )
    totals: dict[tuple[str, str, str], float] = {}
    for row in costs:
        key = (row["cluster"], row["tenant"], row["currency"])
        totals[key] = round(totals.get(key, 0.0) + row["cost"], 2)
    for (name, tenant, currency), total in totals.items():
        console.say(f"{tenant} on {name}: {total:.2f} {currency}")
