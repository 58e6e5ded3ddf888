"""The little languages of Chaos Mesh fields against plain definitions, and the linter against any YAML at all."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import re
from decimal import Decimal
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha.chaos.lint import cron, tree, values
from pytest_k8sha.chaos.lint.fix import fix
from pytest_k8sha.chaos.lint.linter import Linter
from pytest_k8sha.chaos.lint.shapes import bundled
from tests.thorough import examples

UNITS = {"ns": 1, "us": 1000, "µs": 1000, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9}


def brute(text: str) -> int | None:
    """The definition in words: a sign, then (number, unit) pairs in every way that the text can be cut into them."""
    body = text[1:] if text[:1] in ("+", "-") else text
    sign = -1 if text.startswith("-") else 1
    if body == "0":
        return 0
    cuts: list[tuple[int, Decimal]] = [(0, Decimal(0))]
    ends = set()
    while cuts:
        at, total = cuts.pop()
        if at == len(body) and at:
            ends.add(total)
        for unit, end in itertools.product(UNITS, range(at + 1, len(body))):
            digits = body[at:end]
            plain = digits.replace(".", "", 1)
            if plain and set(plain) <= set("0123456789") and body.startswith(unit, end):
                after = end + len(unit)
                # A unit goes on until the next digit or point: "m" is not a unit in "ms".
                if after == len(body) or body[after] in "0123456789.":
                    cuts.append((after, total + int(Decimal(digits) * UNITS[unit])))
    assert len(ends) <= 1
    return sign * int(ends.pop()) if ends else None


@examples(150, 2000)
@given(st.text("0123456789.+-hmsnuµd ", max_size=8))
def test_durations_against_a_brute_force_definition(text: str) -> None:
    """Short texts over the alphabet of durations: exactly those are accepted that can be cut into numbers and units."""
    assert values.duration(text) == brute(text)


@examples(60, 1000)
@given(
    st.lists(st.tuples(st.integers(0, 10**4), st.sampled_from(sorted(UNITS))), min_size=1, max_size=5), st.booleans()
)
def test_durations_add_up(parts: list[tuple[int, str]], minus: bool) -> None:
    """The parts of a duration add up to its nanoseconds."""
    text = ("-" if minus else "") + "".join(f"{number}{unit}" for number, unit in parts)
    assert values.duration(text) == (-1 if minus else 1) * sum(number * UNITS[unit] for number, unit in parts)


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1m30s", 90 * 10**9),
        (".5s", 5 * 10**8),
        ("1.s", 10**9),
        ("+5m", 300 * 10**9),
        ("-10m", -600 * 10**9),
        ("0", 0),
        ("-0", 0),
        ("2562047h47m16.854775807s", 2**63 - 1),
        ("2562047h47m16.854775808s", None),
        ("-2562047h47m16.854775808s", -(2**63)),
        ("9223372036854775808ns", None),
        ("", None),
        ("-", None),
        ("s", None),
        (".s", None),
        ("3", None),
        ("1d", None),
        ("1 m", None),
        ("1m ", None),
        ("1M", None),
        ("\uff11s", None),
        ("1m-30s", None),
    ],
)
def test_durations_at_the_borders(text: str, nanoseconds: int | None) -> None:
    """Go's own borders: signs, points, 64 bits, and digits of other scripts."""
    assert values.duration(text) == nanoseconds


@given(st.integers(0, 10**15))
def test_one_unit_keeps_the_time(nanoseconds: int) -> None:
    """The rewritten latency has one unit and is the same time."""
    text = values.in_one_unit(nanoseconds)
    assert values.one_unit(text)
    assert values.duration(text) == nanoseconds


@pytest.mark.parametrize(
    "text",
    [
        "* * * * *",
        "*/5 0-6 1,15 jan-mar MON",
        "0 */5 * * * *",
        "@every 90s",
        "@hourly",
        "TZ=UTC 0 3 * * 1",
        "5/10 * ? * ?",
    ],
)
def test_cron_that_is_accepted(text: str) -> None:
    """Five fields, six with seconds, names, ranges, steps, words and a time zone."""
    assert not cron.parse(text).never


@pytest.mark.parametrize(
    "text",
    [
        "",
        "* * * *",
        "* * * * * * *",
        "60 * * * *",
        "* 24 * * *",
        "* * 0 * *",
        "* * * 13 *",
        "* * * * 7",
        "5-1 * * * *",
        "*/0 * * * *",
        "a * * * *",
        "@fortnightly",
        "@every",
        "@every 1d",
        "1,,2 * * * *",
        "-1 * * * *",
        "* * * * mon-",
    ],
)
def test_cron_that_is_refused(text: str) -> None:
    """Every kind of mistake is a CronError, and nothing else."""
    with pytest.raises(cron.CronError):
        cron.parse(text)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("* * * * *", 60),
        ("*/15 * * * *", 900),
        ("0 3 * * *", 86400),
        ("0 */6 * * *", 21600),
        ("@every 90s", 90),
        ("0,50 * * * *", 600),
        ("*/10 * * * * *", 10),
        ("@daily", 86400),
    ],
)
def test_the_interval_of_a_cron(text: str, seconds: int) -> None:
    """The least time between two runs, by which a run that lasts longer is found."""
    assert cron.parse(text).interval == seconds * 10**9


@examples(100, 1000)
@given(st.text("0123456789*/,-?@ abcejuly", max_size=20))
def test_cron_never_crashes(text: str) -> None:
    """Any text is a schedule or a CronError."""
    with contextlib.suppress(cron.CronError):
        cron.parse(text)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        ("yes", True),
        ("off", False),
        ("y", True),
        ("~", None),
        ("12", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("017", 15),
        ("1e3", 1000.0),
        ("1.5", 1.5),
        ("1:30", "1:30"),
        ("2026-01-01", "2026-01-01"),
        ("30s", "30s"),
        ("-5", -5),
    ],
)
def test_scalars_as_kubectl_reads_them(raw: str, value: object) -> None:
    """Booleans of YAML 1.1, numbers of every base; times of day and dates are texts."""
    read = tree.scalar(raw)
    assert read == value
    assert type(read) is type(value)


def names() -> list[str]:
    """Every field name that the linter knows."""
    found: set[str] = {"scheduler", "cron", "containerName", "scope", "layer", "flags", "percent", "vm", "sec"}
    seen: set[int] = set()
    todo = list(bundled().kinds.values())
    while todo:
        shape = todo.pop()
        if id(shape) in seen:
            continue
        seen.add(id(shape))
        found |= set(shape.fields)
        todo += [*shape.fields.values(), *([shape.items] if shape.items else [])]
    return sorted(found)


WORDS = [
    "pod-kill",
    "delay",
    "netem",
    "rate",
    "partition",
    "all",
    "fixed",
    "random-max-percent",
    "from",
    "30s",
    "1m30s",
]
WORDS += [
    "5",
    "0",
    "1mbps",
    "PodChaos",
    "Serial",
    "Schedule",
    "a",
    "@every 1s",
    "In",
    "kube-system",
    "Running",
    "/data",
]
WORDS += ["fault", "latency", "Request", "50%", "*", "http://x:99999/", "http://[", "200-100", "JSON", "stress", "-1h"]
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=6), st.sampled_from(WORDS)
)
KEYS = st.sampled_from([*names(), "shop", "metadata.name", "status.phase", "strange"])
VALUES = st.recursive(SCALARS, lambda s: st.lists(s, max_size=3) | st.dictionaries(KEYS, s, max_size=5), max_leaves=25)
KINDS = st.sampled_from([*bundled().names, "IoChaos", "PodChoas"])


@examples(25, 400)
@given(KINDS, VALUES, st.dictionaries(KEYS, VALUES, max_size=10), st.booleans())
def test_the_linter_never_crashes_on_any_value(kind: str, meta: Any, spec: Any, flow: bool) -> None:
    """Known fields with values of any type, in block and in flow style: findings or none, never an exception; and the
    fix neither crashes nor goes on for ever."""
    data = {"apiVersion": "chaos-mesh.org/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}
    text = yaml.safe_dump(data, default_flow_style=flow, allow_unicode=True)
    found = Linter().text(text, "x.yaml")
    assert all(f.line >= 0 and f.message and f.remedy for f in found)
    done = fix(text)
    assert fix(done.text).text == done.text


@examples(30, 400)
@given(VALUES, KEYS, KEYS)
def test_the_linter_never_crashes_deep_inside(value: Any, one: str, two: str) -> None:
    """Any value under any two fields of a Workflow's experiment."""
    template = {"name": "a", "templateType": "NetworkChaos", "networkChaos": {one: {two: value}, two: value}}
    data = {"apiVersion": "chaos-mesh.org/v1alpha1", "kind": "Workflow", "metadata": {"name": "x"}}
    Linter().text(json.dumps({**data, "spec": {"entry": "a", "templates": [template, {one: value}, value]}}), "x.json")


@examples(100, 1000)
@given(st.text(max_size=60) | st.text("{}[]:-&*!|>%@`\"'#, \n\tab<", max_size=60))
def test_the_linter_never_crashes_on_any_text(text: str) -> None:
    """Text that is not YAML, or is YAML of a strange kind, is a finding."""
    Linter().text(text, "x.yaml")
    fix(text)


@pytest.mark.parametrize(
    "text",
    [
        "&a [*a]",
        "a: &a {b: *a}",
        "<<: &a {<<: *a}",
        "[" * 3000,
        "{a: " * 900,
        "- " * 900,
        "? [a]\n: b",
        "!!binary x",
        "\x00",
        "a: &a [1,1,1,1,1,1,1,1,1]\n"
        + "".join(f"{c}: &{c} [{','.join([f'*{p}'] * 9)}]\n" for p, c in itertools.pairwise("abcdefgh")),
    ],
    ids=[
        "recursive list",
        "recursive map",
        "recursive merge",
        "deep flow",
        "deep maps",
        "deep block",
        "complex key",
        "tag",
        "nul",
        "billion laughs",
    ],
)
def test_hostile_yaml_ends(text: str) -> None:
    """Recursive aliases, deep nesting and aliases that multiply are a finding, in little time."""
    assert Linter().text(text, "x.yaml")


def test_without_libyaml_the_places_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    """The parser in Python gives the same findings at the same places."""
    text = "apiVersion: chaos-mesh.org/v1alpha1\nkind: PodChaos\nmetadata: {name: é}\nspec:\n  action: [a,\n   b: c]\n"
    fast = [str(f) for f in Linter().text(text, "x.yaml")]
    monkeypatch.delattr(yaml, "CBaseLoader")
    assert [str(f) for f in Linter().text(text, "x.yaml")] == fast
    assert re.search(r":3:18: .*CHL-004", "\n".join(fast))


ODD = (None, True, 0, -1, "", "x", [], ["x"], [None], [[]], [{}], {}, {"a": "b"}, {"a": None})


def whole(shape: Any, depth: int = 0) -> Any:
    """A value of the right type for every field of a shape."""
    if shape.type in {"object", "map"}:
        if shape.type == "map":
            return {"app": whole(shape.items, depth + 1)}
        return {name: whole(below, depth + 1) for name, below in shape.fields.items()} if depth < 7 else {}
    if shape.type == "list":
        return [whole(shape.items, depth + 1)]
    return {"int": 1, "bool": True, "bytes": "eA==", "any": {}}.get(shape.type, (shape.allowed or ("10s",))[0])


def places(value: Any) -> list[tuple[Any, Any]]:
    """Every mapping or list in a value with each of its keys."""
    keys: Any = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    found = [(value, key) for key in keys]
    return found + [place for key in keys for place in places(value[key])]


@pytest.mark.parametrize("kind", sorted(bundled().kinds))
def test_no_field_of_any_kind_crashes_the_linter(kind: str) -> None:
    """Each field of an object with every field set, replaced by odd values in turn: a finding or none. Neighbouring
    fields get different thirds of the values; K8SHA_EXHAUSTIVE=1 gives each field all of them."""
    spec = whole(bundled().kinds[kind])
    if kind in {"Schedule", "Workflow"}:  # each with one experiment, which is walked into
        holder = spec["templates"][0] if kind == "Workflow" else spec
        holder["templateType" if kind == "Workflow" else "type"] = "NetworkChaos"
        for name in [n for n in holder if n.endswith("Chaos") and n != "networkChaos"]:
            del holder[name]
        holder.pop("workflow", None)
        if kind == "Workflow":
            holder["schedule"] = {"schedule": "@hourly", "type": "PodChaos", "podChaos": {"action": "pod-kill"}}
    spec |= {"scheduler": {"cron": "@hourly"}, "containerName": "a", "scope": "all", "flags": {}, "layer": "fs"}
    meta = {
        "name": "x",
        "namespace": "shop",
        "labels": {"a": "b"},
        "annotations": {"experiment.pingcap.com/pause": "true"},
    }
    data = {"apiVersion": "chaos-mesh.org/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}
    linter = Linter()
    step = 1 if os.environ.get("K8SHA_EXHAUSTIVE") else 3
    for at, (holder, key) in enumerate(places(data)):
        kept = holder[key]
        for odd in ODD[at % step :: step]:
            holder[key] = odd
            linter.text(json.dumps(data), "x.json")
        holder[key] = kept
    assert linter.result.findings
