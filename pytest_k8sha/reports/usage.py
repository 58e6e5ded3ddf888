"""Usage and cost of tenants: bars and totals, made from the tables that a check recorded, and from nothing else."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_k8sha.reports.model import Result

QUOTAS, COSTS = "use of quotas", "cost"
"""The names of the tables in the record (`pytest_k8sha.tenancy.usage` writes them)."""

BARS_SHOWN = 200
"""So many bars of one result; the fullest first."""
TENANTS_SHOWN = 200
STATES = {"ok": "passed", "warning": "inconclusive", "full": "failed"}
"""The look of a bar, by the state that the record holds."""


@dataclass(frozen=True)
class Bar:
    """One resource of one quota. ``width`` is in tenths of a per cent of the whole, at most 1000."""

    tenant: str
    place: str
    text: str
    state: str
    look: str
    width: int


@dataclass
class Account:
    """What one tenant costs: each item as text, and the sum of the items, with its share of the dearest tenant's."""

    tenant: str
    items: list[str] = field(default_factory=list)
    total: float = 0.0
    currency: str = ""
    width: int = 0


@dataclass
class Usage:
    """What one result recorded. ``omitted`` counts bars and tenants that are in the record only."""

    result: Result
    bars: list[Bar]
    accounts: list[Account]
    omitted: int = 0


def usages(results: Iterable[Result]) -> list[Usage]:
    """Of each result that recorded one of the tables."""
    found = []
    for result in results:
        bars = _bars(result.tables.get(QUOTAS, []))
        accounts = _accounts(result.tables.get(COSTS, []))
        if bars or accounts:
            omitted = max(0, len(bars) - BARS_SHOWN) + max(0, len(accounts) - TENANTS_SHOWN)
            found.append(Usage(result, bars[:BARS_SHOWN], accounts[:TENANTS_SHOWN], omitted))
    return found


def _bars(rows: Iterable[Mapping[str, Any]]) -> list[Bar]:
    made = []
    for row in rows:
        percent = _number(row.get("percent"))
        state = str(row.get("state", ""))
        made.append(
            Bar(
                tenant=str(row.get("tenant", "")),
                place=f"{row.get('resource', '')} of {row.get('quota', '')} in {row.get('namespace', '')}",
                text=f"{row.get('used', '?')} of {row.get('hard', '?')}, {percent:g} %",
                state=state,
                look=STATES.get(state, "none"),
                width=round(min(100.0, max(0.0, percent)) * 10),
            )
        )
    return sorted(made, key=lambda bar: (-bar.width, bar.tenant, bar.place))


def _accounts(rows: Iterable[Mapping[str, Any]]) -> list[Account]:
    by_tenant: dict[str, Account] = {}
    for row in rows:
        account = by_tenant.setdefault(str(row.get("tenant", "")), Account(str(row.get("tenant", ""))))
        cost = _number(row.get("cost"))
        account.total = round(account.total + cost, 2)
        account.currency = str(row.get("currency", ""))
        amount, price, hours = (_number(row.get(key)) for key in ("amount", "price", "hours"))
        what = f"{row.get('item', '')}: {amount:g} {row.get('unit', '')}"
        account.items.append(f"{what} * {price:g} * {hours:g} h = {cost:.2f}")
    most = max((account.total for account in by_tenant.values()), default=0.0)
    for account in by_tenant.values():
        account.width = round(account.total / most * 1000) if most else 0
    return sorted(by_tenant.values(), key=lambda account: (-account.total, account.tenant))


def _number(value: object) -> float:
    """A number of the record; 0 for what is none."""
    return float(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else 0.0
