"""The tables of a report: a truth table as a grid of sources and targets, any other as rows; both bounded in size."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha.model import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_k8sha.reports.model import Result

    Rows = Sequence[Mapping[str, Any]]

TRUTH = frozenset({"source", "target", "expected", "observed", "agrees"})
"""A table with these columns is a truth table. ``agrees`` holds yes, no or another word: nothing was proved."""

FIRST = (
    "source",
    "source_node",
    "target",
    "target_node",
    "route",
    "protocol",
    "port",
    "placement",
    "expected",
    "observed",
    "lifted",
    "agrees",
    "why",
)
"""The order of a truth table's columns; a record keeps its keys by the alphabet."""

GRID_SIDE = 40
"""So many sources and targets are drawn; those with differences first, of the rest the number is said."""
ROWS_SHOWN = 200
"""So many rows of one table; of a truth table so many differences, and so many of the others."""
COLUMNS_SHOWN = 16
TEXT_SHOWN = 240
"""Characters of one value."""
BUDGET = 1_500_000
"""Characters for the rows of all tables of a report; a table beyond it has its grid and its number of rows."""
GRID_CELLS = 12_000
"""Cells for the grids of all tables of a report."""
UNDEFINED = "not defined"


@dataclass(frozen=True)
class Square:
    """One field of a grid: every way from a source to a target. ``text`` is said in words beside the symbol."""

    verdict: Verdict | None
    text: str = ""
    note: str = ""


@dataclass(frozen=True)
class Place:
    """A source or a target: the group that it stands in (a namespace), its name there, and its node."""

    group: str
    name: str
    node: str = ""


@dataclass
class Grid:
    """Sources and targets, and a square for each pair, in the order of the targets."""

    targets: list[Place]
    groups: list[tuple[str, int]]
    """The groups of the targets, each with how many stand next to each other."""
    rows: list[tuple[Place, list[Square]]]
    hidden: str
    """What was left out, in words; empty when all is drawn."""


@dataclass
class Drawn:
    """One table of one result. ``rows`` hold one text for each of the ``columns``; ``omitted`` rows are not shown."""

    name: str
    total: int
    columns: list[str]
    rows: list[list[str]]
    omitted: int
    grid: Grid | None = None
    count: list[tuple[str, Verdict | None, int]] = field(default_factory=list)
    """Of a truth table: how many ways came out how."""
    differing: list[list[str]] = field(default_factory=list)
    differing_omitted: int = 0


@dataclass
class Shown:
    """The tables of one result."""

    result: Result
    tables: list[Drawn]


def drawn(results: Iterable[Result]) -> list[Shown]:
    """The tables of all results, those of failed results first, within the budget of a report."""
    order = (Verdict.FAILED, Verdict.INCONCLUSIVE, Verdict.PASSED, Verdict.NOT_EVALUATED)
    having = sorted((r for r in results if r.tables), key=lambda r: (order.index(r.verdict), r.name, r.cluster))
    purse = _Purse(BUDGET, GRID_CELLS)
    return [Shown(r, [_draw(name, rows, purse) for name, rows in r.tables.items()]) for r in having]


@dataclass
class _Purse:
    text: int
    cells: int


def _draw(name: str, rows: Rows, purse: _Purse) -> Drawn:
    keys = list(dict.fromkeys(key for row in rows[:ROWS_SHOWN] for key in row))
    columns = [*filter(keys.__contains__, FIRST), *(key for key in keys if key not in FIRST)][:COLUMNS_SHOWN]
    if not set(columns) >= TRUTH:
        columns = keys[:COLUMNS_SHOWN]
        taken = _take(rows, columns, purse)
        return Drawn(name, len(rows), columns, taken, len(rows) - len(taken))
    wrong = [row for row in rows if _differs(row)]
    others = [row for row in rows if not _differs(row)]
    differing, rest = _take(wrong, columns, purse), _take(others, columns, purse)
    return Drawn(
        name,
        len(rows),
        columns,
        rest,
        len(others) - len(rest),
        _grid(rows, purse),
        _count(rows),
        differing,
        len(wrong) - len(differing),
    )


def _take(rows: Rows, columns: Sequence[str], purse: _Purse) -> list[list[str]]:
    taken: list[list[str]] = []
    for row in rows[:ROWS_SHOWN]:
        texts = [_text(row.get(column, "")) for column in columns]
        purse.text -= 40 + sum(len(text) + 12 for text in texts)
        if purse.text < 0:
            break
        taken.append(texts)
    return taken


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = f"{value:,.4g}" if isinstance(value, float) else "" if value is None else str(value)
    return text if len(text) <= TEXT_SHOWN else f"{text[:TEXT_SHOWN]}…"


def _differs(row: Mapping[str, Any]) -> bool:
    return row.get("agrees") == "no"


def _verdict(row: Mapping[str, Any]) -> Verdict | None:
    """None where nothing was promised."""
    if row.get("agrees") in {"yes", "no"}:
        return Verdict.FAILED if _differs(row) else Verdict.PASSED
    return None if row.get("expected") == UNDEFINED else Verdict.INCONCLUSIVE


def _count(rows: Rows) -> list[tuple[str, Verdict | None, int]]:
    count = Counter(_verdict(row) for row in rows)
    words: list[tuple[str, Verdict | None]] = [
        ("different", Verdict.FAILED),
        ("not proved", Verdict.INCONCLUSIVE),
        ("as expected", Verdict.PASSED),
        (UNDEFINED, None),
    ]
    return [(word, verdict, count[verdict]) for word, verdict in words if count[verdict]]


# --- the grid --------------------------------------------------------------------------------------------------------


def _grid(rows: Rows, purse: _Purse) -> Grid | None:
    """The rows by source and target. None when the grids of this report are already many."""
    ways: dict[tuple[Place, Place], list[Mapping[str, Any]]] = {}
    for row in rows:
        ways.setdefault((_place(row, "source"), _place(row, "target")), []).append(row)
    sources, lost = _chosen(ways, 0)
    targets, missed = _chosen(ways, 1)
    purse.cells -= len(sources) * len(targets)
    if purse.cells < 0:
        return None
    groups: list[tuple[str, int]] = []
    for target in targets:
        if groups and groups[-1][0] == target.group:
            groups[-1] = (target.group, groups[-1][1] + 1)
        else:
            groups.append((target.group, 1))
    drawn_rows = [(source, [_square(ways.get((source, target), [])) for target in targets]) for source in sources]
    hidden = [f"{count:,} further {what}" for count, what in ((lost, "sources"), (missed, "targets")) if count]
    return Grid(targets, groups, drawn_rows, " and ".join(hidden))


def _chosen(ways: Mapping[tuple[Place, Place], Rows], side: int) -> tuple[list[Place], int]:
    """The places of one side that are drawn, by group and name, and how many are not. Groups stand as in the table."""
    broken: Counter[Place] = Counter()
    for pair, rows in ways.items():
        broken[pair[side]] += sum(map(_differs, rows))
    kept = sorted(broken, key=lambda place: -broken[place])[:GRID_SIDE]
    groups = list(dict.fromkeys(place.group for place in broken))
    groups.sort(key=lambda group: not group)  # what has no group stands last
    return sorted(kept, key=lambda place: (groups.index(place.group), place.name)), len(broken) - len(kept)


def _place(row: Mapping[str, Any], side: str) -> Place:
    """A pod is named NAMESPACE/NAME; whatever else there is stands in a group of its own."""
    name, node = str(row.get(side, "")), str(row.get(f"{side}_node", "") or "")
    group, slash, inner = name.partition("/")
    return Place(group, inner, node) if slash and " " not in name else Place("", name, "" if node in name else node)


def _square(rows: Rows) -> Square:
    if not rows:
        return Square(None)
    wrong = [row for row in rows if _differs(row)]
    if wrong:
        return Square(
            Verdict.FAILED, _one(wrong, "observed"), f"not {_one(wrong, 'expected')}, {len(wrong)}/{len(rows)}"
        )
    unproved = [row for row in rows if _verdict(row) is Verdict.INCONCLUSIVE]
    if unproved:
        return Square(Verdict.INCONCLUSIVE, _one(unproved, "observed"), f"{len(unproved)}/{len(rows)} not proved")
    kept = [row for row in rows if _verdict(row) is Verdict.PASSED]
    if not kept:
        return Square(None, UNDEFINED)
    return Square(Verdict.PASSED, _one(kept, "expected"), f"{len(kept)}")


def _one(rows: Rows, key: str) -> str:
    values = list(dict.fromkeys(str(row.get(key, "")) for row in rows))
    return values[0] if len(values) == 1 else "mixed"
