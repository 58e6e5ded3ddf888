"""What a probe saw, as a record tells it, and its drawing: fault, downtime with error bars, objective, latencies.

Every part of a record may be missing or of another kind; what cannot be read is left out, and nothing is made up.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from pytest_k8sha.model import Verdict

WIDTH, LEFT, RIGHT = 1000.0, 96.0, 14.0
"""Of the drawing, in its own units; left of the plot stand the names of its rows."""
LEAST = 2.0
"""Units of width below which nothing is drawn, so that a short outage in a long course can be seen."""
LATENCY = 64.0
"""Units of height of the latencies."""
COLUMNS = 2000
"""So many columns of a strip are drawn."""
LONGEST = 400
"""Characters of a text of a timeline."""

Pair = tuple[float | None, float | None]


@dataclass(frozen=True)
class Fault:
    """When it was injected, from ``start`` to ``end``, and taken back; seconds, None where that was not marked."""

    name: str
    start: float
    end: float | None
    undone: float | None


@dataclass(frozen=True)
class Window:
    """A time without a success; each end lies between two moments, None where nothing bounds it. Seconds."""

    start: Pair
    end: Pair
    lasted: Pair
    failures: int
    said: str


@dataclass(frozen=True)
class Demand:
    """A clause of the objective and what was measured. ``limit`` and ``value`` in seconds, or shares of 1."""

    text: str
    figure: str
    limit: float | None
    unit: str
    value: Pair
    verdict: Verdict
    reason: str

    @property
    def measured(self) -> str:
        """The interval for people."""
        return interval(self.value, self.unit)


@dataclass(frozen=True)
class Timeline:
    """What one probe saw. Times are in seconds from its first success on."""

    subject: str
    target: str
    rate: float
    timeout: float
    started: str
    seconds: float
    samples: int
    outcomes: dict[str, int]
    instances: dict[str, int]
    broken: str
    faults: tuple[Fault, ...]
    windows: tuple[Window, ...]
    windows_all: int
    figures: dict[str, Pair]
    demands: tuple[Demand, ...]
    step: float
    half: tuple[float | None, ...]
    most: tuple[float | None, ...]
    failed: tuple[int, ...]
    missed: tuple[int, ...]
    file: str
    digest: str

    @classmethod
    def read(cls, data: dict[str, Any]) -> Timeline:
        """From the data of a record."""
        strip = _mapping(data.get("strip"))
        return cls(
            subject=_text(data.get("subject")),
            target=_text(data.get("target")),
            rate=_number(data.get("rate")) or 0.0,
            timeout=_number(data.get("timeout")) or 0.0,
            started=_text(data.get("started")),
            seconds=max(0.0, _number(data.get("seconds")) or 0.0),
            samples=int(_number(data.get("samples")) or 0),
            outcomes=_counts(data.get("outcomes")),
            instances=_counts(data.get("instances")),
            broken=_text(data.get("broken")),
            faults=tuple(
                Fault(_text(f.get("name")), start, _number(f.get("end")), _number(f.get("undone")))
                for f in _mappings(data.get("faults"))
                if (start := _number(f.get("start"))) is not None
            ),
            windows=tuple(
                Window(
                    _pair(w.get("start")),
                    _pair(w.get("end")),
                    (_number(w.get("lo")), _number(w.get("hi"))),
                    int(_number(w.get("failures")) or 0),
                    _text(w.get("said")),
                )
                for w in _mappings(data.get("windows"))
            ),
            windows_all=int(_number(data.get("windows_all")) or 0),
            figures={_text(name): _pair(value) for name, value in _mapping(data.get("figures")).items()},
            demands=tuple(_demand(item) for item in _mappings(data.get("objective"))),
            step=_number(strip.get("step")) or 0.0,
            half=tuple(_number(v) for v in _list(strip.get("half"))[:COLUMNS]),
            most=tuple(_number(v) for v in _list(strip.get("most"))[:COLUMNS]),
            failed=tuple(int(_number(v) or 0) for v in _list(strip.get("failed"))[:COLUMNS]),
            missed=tuple(int(_number(v) or 0) for v in _list(strip.get("missed"))[:COLUMNS]),
            file=_text(data.get("file")),
            digest=_text(data.get("digest")),
        )

    @property
    def lost(self) -> int:
        """Samples that the probe's own machine did not send in time."""
        return self.outcomes.get("missed", 0)

    @property
    def by_begin(self) -> list[Window]:
        return sorted(self.windows, key=lambda w: (w.start[1] or 0.0, w.end[0] or 0.0))


@dataclass
class Box:
    """A rectangle, or a line where it has no height. ``title`` shows when the pointer rests on it."""

    x: float
    y: float
    width: float
    height: float
    kind: str
    title: str = ""


@dataclass
class Label:
    """A text; ``anchor`` is start, middle or end."""

    x: float
    y: float
    text: str
    anchor: str = "start"
    kind: str = ""


@dataclass
class Path:
    """A line or an area, in the words of SVG."""

    d: str
    kind: str


@dataclass
class Picture:
    """A drawing, for the template to write down. ``words`` say the same to whoever cannot see it."""

    height: float = 0.0
    words: str = ""
    boxes: list[Box] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    paths: list[Path] = field(default_factory=list)


def draw(line: Timeline) -> Picture:
    """The rows from above: faults, the service, the objective, latencies, the axis of time."""
    return _Drawing(line).picture()


class _Drawing:
    def __init__(self, line: Timeline) -> None:
        self._line = line
        marks = [m for f in line.faults for m in (f.start, f.end, f.undone) if m is not None]
        self._until = max(line.seconds, *marks, 1e-3) if marks else max(line.seconds, 1e-3)
        self._made = Picture()
        self._y = 4.0

    def picture(self) -> Picture:
        self._faults()
        self._service()
        self._demands()
        self._latencies()
        self._axis()
        self._made.height = round(self._y, 1)
        self._made.words = self._words()
        return self._made

    def _x(self, moment: float | None, otherwise: float = 0.0) -> float:
        value = otherwise if moment is None else moment
        share = min(1.0, max(0.0, value / self._until))
        return round(LEFT + share * (WIDTH - LEFT - RIGHT), 2)

    def _box(self, begin: float | None, end: float | None, y: float, height: float, kind: str, title: str = "") -> None:
        x, to = self._x(begin, 0.0), self._x(end, self._until)
        self._made.boxes.append(Box(x, y, round(max(to - x, LEAST), 2), height, kind, title))

    def _name(self, text: str, y: float) -> None:
        self._made.labels.append(Label(LEFT - 10, y, text, "end", "tl-name"))

    def _faults(self) -> None:
        reached: list[float] = []  # where the label of each level ends
        for fault in self._line.faults:
            x = self._x(fault.start)
            text = fault.name if len(fault.name) <= 60 else f"{fault.name[:59]}…"
            width = 7.0 * len(text)
            left = x + width > WIDTH  # it would not fit to the right of its beginning
            begin = max(LEFT, x - width) if left else x
            level = next((n for n, end in enumerate(reached) if end < begin), len(reached))
            if level > 5:
                continue  # the table beneath has all of them
            reached[level : level + 1] = [begin + width + 8]
            y = self._y + level * 30
            place, anchor = (max(x, LEFT + width), "end") if left else (x, "start")
            self._made.labels.append(Label(place, y + 11, text, anchor))
            if fault.undone is not None:
                self._box(fault.start, fault.undone, y + 16, 8, "tl-hold", f"{fault.name}: until it was taken back")
            self._box(fault.start, fault.end, y + 16, 8, "tl-fault", f"{fault.name}: injected at {fault.start:.3f} s")
        if reached:
            self._name("fault", self._y + 24)
            self._y += len(reached) * 30 + 4

    def _service(self) -> None:
        self._name("service", self._y + 19)
        self._box(0.0, self._line.seconds, self._y, 28, "tl-up")
        for window in self._line.windows:
            lasted = f"down for {interval(window.lasted, 's')}, {window.said}"
            self._box(window.start[0], window.end[1], self._y, 28, "tl-maybe", lasted)
            if window.start[1] is not None and window.end[0] is not None and window.end[0] > window.start[1]:
                self._box(window.start[1], window.end[0], self._y, 28, "tl-down", lasted)
        self._y += 34

    def _demands(self) -> None:
        timed = [d for d in self._line.demands if d.unit == "s" and d.limit and not d.figure.startswith("p")]
        begin = min((f.start for f in self._line.faults), default=None)
        if begin is None:
            begin = min((w.start[1] for w in self._line.windows if w.start[1] is not None), default=0.0)
        for demand in timed[:6]:
            assert demand.limit is not None  # noqa: S101 - chosen so
            end = begin + demand.limit
            self._name("wanted", self._y + 10)
            self._box(begin, min(end, self._until), self._y + 3, 4, "tl-limit", f"wanted: {demand.text}")
            if end < self._until:
                self._made.boxes.append(Box(self._x(end), self._y - 1, 1.5, 12, "tl-limit"))
            text = demand.text if end <= self._until else f"{demand.text}, further than this drawing"
            x, width = self._x(min(end, self._until)), 7.0 * len(text)
            if x + 8 + width <= WIDTH:
                self._made.labels.append(Label(x + 8, self._y + 10, text))
                self._y += 18
            else:
                self._y += 14
                self._made.labels.append(Label(WIDTH - RIGHT, self._y + 8, text, "end"))
                self._y += 16

    def _latencies(self) -> None:
        line = self._line
        seen = [v for v in line.most if v is not None]
        top = max([*seen, 1e-3])
        limits = [d for d in line.demands if d.figure.startswith("p") and d.limit is not None]
        # A limit a little above what was seen gives the scale; one far above it would make the latencies a flat line.
        near = [d for d in limits if d.limit is not None and d.limit * 1000 <= 4 * top]
        top = max([top, *(d.limit * 1000 for d in near if d.limit is not None)])
        base = self._y + LATENCY
        self._name("latency", self._y + LATENCY / 2 + 4)
        self._made.labels.append(Label(LEFT - 10, self._y + 10, milliseconds(top), "end", "tl-small"))
        self._made.labels.append(Label(LEFT - 10, base, "0", "end", "tl-small"))
        self._made.boxes.append(Box(LEFT, base, WIDTH - LEFT - RIGHT, 0.8, "tl-rule"))
        bars, middle, pen = [], [], "M"
        for n, most in enumerate(line.most):
            x, to = self._x(n * line.step), self._x((n + 1) * line.step)
            half = line.half[n] if n < len(line.half) else None
            if most is None or half is None:
                pen = "M"
                continue
            y = base - LATENCY * min(1.0, most / top)
            bars.append(f"M{x:g} {base:g}V{y:.1f}H{max(to, x + 0.5):g}V{base:g}z")
            middle.append(f"{pen}{x:g} {base - LATENCY * min(1.0, half / top):.1f}H{to:g}")
            pen = "L"
        self._made.paths.append(Path("".join(bars), "tl-most"))
        self._made.paths.append(Path("".join(middle), "tl-half"))
        for demand in near:
            assert demand.limit is not None  # noqa: S101 - chosen so
            y = round(base - LATENCY * demand.limit * 1000 / top, 1)
            self._made.boxes.append(Box(LEFT, y, WIDTH - LEFT - RIGHT, 1.2, "tl-limit", f"wanted: {demand.text}"))
        for counts, kind, what in ((line.failed, "tl-down", "failed"), (line.missed, "tl-missed", "missed")):
            for first, last, count in _runs(counts):
                title = f"{count} {what}"
                self._box(first * line.step, (last + 1) * line.step, base + 2, 5, kind, title)
        self._y = base + 10

    def _axis(self) -> None:
        step = _nice(self._until / 8)
        for n in range(int(self._until / step + 1e-9) + 1):
            x = self._x(n * step)
            self._made.boxes.append(Box(x, self._y, 0.8, 5, "tl-rule"))
            anchor = "start" if n == 0 else "end" if x > WIDTH - 40 else "middle"
            text = f"{n * step:g} s" if n == 0 or step < 60 else f"{n * step / 60:g} min"
            self._made.labels.append(Label(x, self._y + 17, text, anchor, "tl-small"))
        self._y += 22

    def _words(self) -> str:
        line = self._line
        parts = [f"{line.seconds:.1f} seconds of {line.target or 'a probe'}"]
        parts += [f"fault {f.name} at {f.start:.2f} s" for f in line.faults[:5]]
        parts += [f"down from {_moment(w.start)} to {_moment(w.end)} s" for w in line.by_begin[:5]]
        if not line.windows:
            parts.append("no request failed")
        return "; ".join(parts)


def interval(value: Pair, unit: str) -> str:
    """``[0.9, 1.1] s``; rates in per cent; an end that is not bounded as ``…``."""
    if value == (None, None):
        return "without bound"
    factor = 100.0 if unit == "%" else 1.0
    ends = ["…" if end is None else _short(end * factor) for end in value]
    text = ends[0] if ends[0] == ends[1] and ends[0] != "…" else f"[{ends[0]}, {ends[1]}]"
    return f"{text} {unit}".rstrip()


def milliseconds(value: float) -> str:
    """A latency for people."""
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.1f} s"


def _short(value: float) -> str:
    if not value or abs(value) >= 100:
        return f"{value:.0f}"
    return f"{value:.{2 if abs(value) >= 1 else 3}f}".rstrip("0").rstrip(".")


def _moment(pair: Pair) -> str:
    return " or ".join(f"{end:.2f}" for end in dict.fromkeys(pair) if end is not None) or "an unknown moment"


def _nice(least: float) -> float:
    """The next of 1, 2, 5, 10… that is not below ``least``; above half a minute, of minutes."""
    unit = 60.0 if least > 30 else 1.0
    power = unit * 10.0 ** math.floor(math.log10(max(least / unit, 1e-6)))
    return next((power * n for n in (1, 2, 5, 10) if power * n >= least * (1 - 1e-9)), power * 10)


def _runs(counts: tuple[int, ...]) -> list[tuple[int, int, int]]:
    """First and last place and sum of each run of numbers above 0."""
    runs: list[tuple[int, int, int]] = []
    for place, count in enumerate(counts):
        if count <= 0:
            continue
        if runs and runs[-1][1] == place - 1:
            runs[-1] = (runs[-1][0], place, runs[-1][2] + count)
        else:
            runs.append((place, place, count))
    return runs


def _demand(item: dict[str, Any]) -> Demand:
    word = item.get("verdict")
    return Demand(
        text=_text(item.get("text")),
        figure=_text(item.get("figure")),
        limit=_number(item.get("limit")),
        unit=_text(item.get("unit")),
        value=(_number(item.get("lo")), _number(item.get("hi"))),
        # An unknown word proves nothing, least of all a pass.
        verdict=Verdict(word) if word in {str(verdict) for verdict in Verdict} else Verdict.INCONCLUSIVE,
        reason=_text(item.get("reason")),
    )


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(value)


def _text(value: object) -> str:
    return value[:LONGEST] if isinstance(value, str) else ""


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _mappings(value: object) -> list[dict[str, Any]]:
    return [item for item in _list(value) if isinstance(item, dict)]


def _pair(value: object) -> Pair:
    items = _list(value)
    return (_number(items[0]), _number(items[1])) if len(items) == 2 else (None, None)


def _counts(value: object) -> dict[str, int]:
    return {_text(name): int(number) for name, item in _mapping(value).items() if (number := _number(item)) is not None}
