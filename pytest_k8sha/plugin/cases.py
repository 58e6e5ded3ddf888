"""What the plugin knows of one test item: the check that it is, what it needs, its cluster, its judge."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from pytest_k8sha.checks.catalogue import CheckSpec, spec_of
from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.errors import UsageError
from pytest_k8sha.model import Impact

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT = "_k8sha"
TARGET = "_k8sha_target"
OVERVIEW = "fleet_overview"


@dataclass(frozen=True)
class Needs:
    """What must be so for a test to be evaluated. ``impact`` is None where the test does not say."""

    impact: Impact | None = None
    requires: tuple[str, ...] = ()
    clusters: int = 1
    promises: tuple[str, ...] = ()
    """What the tenants' model must promise."""


@dataclass
class Case:
    """One test item that uses the plugin. ``cluster`` is empty when it runs on none or across all."""

    item: pytest.Item
    spec: CheckSpec | None
    needs: Needs
    cluster: str
    everywhere: bool
    """The test uses the whole fleet."""
    overlooks: bool
    """The test looks at the fleet as it is: a cluster that is not there is something to see, no reason to stop."""
    judged: bool
    """The verdict comes from the judge: a check, or a test that asks for `judge`."""
    judge: Judge = field(default_factory=Judge)
    namespaces: list[str] = field(default_factory=list)
    """Namespaces that the test uses, for the diagnostics."""
    started: str = ""
    duration: float = 0.0
    concluded: bool = False

    def describe(self) -> dict[str, Any]:
        """The part of a result that is known before the test runs (see the record)."""
        spec = self.spec.as_dict() if self.spec else {}
        return {
            "check": spec.get("id", ""),
            "title": spec.get("title", "") or self.item.nodeid,
            "suite": spec.get("suite", ""),
            "severity": spec.get("severity", ""),
            "impact": spec.get("impact", "") or str(self.needs.impact or ""),
            "controls": spec.get("controls", []),
            "why": spec.get("why", ""),
            "remedy": spec.get("remedy", ""),
            "cluster": self.cluster,
            "nodeid": self.item.nodeid,
        }


CASE = pytest.StashKey[Case]()


def needs_of(item: Any) -> Needs:
    """From the check, else from the markers. Raises `UsageError` for a marker that cannot be meant."""
    spec = spec_of(getattr(item, "obj", None))
    if spec:
        return Needs(spec.impact, spec.requires, spec.clusters, spec.promises)
    impact = _one(item, "k8sha_impact", str)
    clusters = _one(item, "k8sha_clusters", int)
    requires = [word for marker in item.iter_markers("k8sha_requires") for word in marker.args]
    return Needs(Impact.parse(impact) if impact else None, tuple(requires), clusters or 1)


def _one(item: Any, name: str, kind: type) -> Any:
    marker = item.get_closest_marker(name)
    if marker is None:
        return None
    if len(marker.args) != 1 or marker.kwargs or not isinstance(marker.args[0], kind):
        raise UsageError(f"the marker {name} takes one {kind.__name__}", value=(*marker.args, *marker.kwargs))
    return marker.args[0]


def case_of(item: pytest.Item) -> Case | None:
    """The case of an item; None for a test that does not use the plugin."""
    found = item.stash.get(CASE, None)
    if found is not None:
        return found
    names: Sequence[str] = getattr(item, "fixturenames", ())
    spec = spec_of(getattr(item, "obj", None))
    if ROOT not in names and spec is None:
        return None
    callspec = getattr(item, "callspec", None)
    cluster = callspec.params.get(TARGET, "") if callspec else ""
    case = Case(
        item=item,
        spec=spec,
        needs=needs_of(item),
        cluster=cluster,
        everywhere=not cluster and bool({"fleet", OVERVIEW} & set(names)),
        overlooks=not cluster and OVERVIEW in names and "fleet" not in names,
        judged=spec is not None or "judge" in names,
        judge=Judge(rule=spec.title, remedy=spec.remedy) if spec else Judge(),
    )
    item.stash[CASE] = case
    return case


def judge_of(item: pytest.Item) -> Judge:
    """The judge of a running test."""
    case = case_of(item)
    return case.judge if case else Judge()
