"""The catalogue: what each check claims, under an id that never changes."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_k8sha.errors import UsageError
from pytest_k8sha.model import Impact, Severity

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

ATTRIBUTE = "__k8sha_check__"

ID_PATTERN = re.compile(r"[A-Z]{3}-[A-Z]{3}-\d{3}")
"""``SUITE-TOPIC-NUMBER``, such as TEN-ACC-004."""

SUITES = {"TEN": "tenancy", "AVL": "availability", "FLT": "failover", "RST": "restore"}

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class CheckSpec:
    """What a check claims. ``clusters`` is how many clusters it needs at once (1: it runs on each)."""

    id: str
    title: str
    severity: Severity
    impact: Impact
    why: str
    remedy: str
    controls: tuple[str, ...] = ()
    requires: tuple[str, ...] = ()
    clusters: int = 1
    promises: tuple[str, ...] = ()

    @property
    def suite(self) -> str:
        """The suite's name; for a project's own prefix that prefix in lower case."""
        prefix = self.id[:3]
        return SUITES.get(prefix, prefix.lower())

    def as_dict(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "title": self.title,
            "suite": self.suite,
            "severity": str(self.severity),
            "impact": str(self.impact),
            "why": self.why,
            "remedy": self.remedy,
            "controls": list(self.controls),
            "requires": list(self.requires),
            "clusters": self.clusters,
            "promises": list(self.promises),
        }


def check(
    id: str,  # noqa: A002 - the word users know
    title: str,
    *,
    severity: str,
    impact: str,
    why: str = "",
    remedy: str = "",
    controls: Sequence[str] = (),
    requires: Sequence[str] = (),
    clusters: int = 1,
    promises: Sequence[str] = (),
) -> Callable[[F], F]:
    """Makes a test function a check of the catalogue.

    ``id`` is SUITE-TOPIC-NUMBER and never changes; ``title`` is the promise, as a sentence that is true when the check
    passes; ``why`` says what it costs when it is broken, ``remedy`` what to do then. ``requires`` names capabilities
    (see `pytest_k8sha.capabilities`), ``promises`` what isolation the tenants' model must promise for the check to mean
    anything (see `pytest_k8sha.tenancy.models.base.PROMISES`). Raises `UsageError` for values that cannot be meant.
    """
    if not ID_PATTERN.fullmatch(id):
        raise UsageError("a check id has the form ABC-DEF-123", value=id)
    spec = CheckSpec(
        id=id,
        title=title,
        severity=Severity.parse(severity),
        impact=Impact.parse(impact),
        why=why,
        remedy=remedy,
        controls=tuple(controls),
        requires=tuple(requires),
        clusters=clusters,
        promises=tuple(promises),
    )

    def mark(function: F) -> F:
        setattr(function, ATTRIBUTE, spec)
        return function

    return mark


def spec_of(function: Any) -> CheckSpec | None:
    """What `check` attached to a function; None for an ordinary test."""
    found = getattr(function, ATTRIBUTE, None)
    return found if isinstance(found, CheckSpec) else None


@dataclass
class Catalogue:
    """All checks of some folders, by id, with the mutants that each is proved by.

    ``places`` holds each check's file as ``folder/file.py``, ``nodes`` what pytest is told to run just this check.
    """

    checks: dict[str, CheckSpec] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, str] = field(default_factory=dict)
    mutants: dict[str, list[str]] = field(default_factory=dict)

    @classmethod
    def of(cls, folders: Iterable[Path]) -> Catalogue:
        """Reads every ``test_*.py`` below the folders, and files as they are.

        Raises `UsageError` when two checks share an id.
        """
        catalogue = cls()
        for folder in folders:
            for path in sorted(folder.rglob("test_*.py")) if folder.is_dir() else [folder]:
                catalogue._read(path)
        return catalogue

    def _read(self, path: Path) -> None:
        name = f"_k8sha_catalogue_{abs(hash(path))}"
        loader = importlib.util.spec_from_file_location(name, path)
        if loader is None or loader.loader is None:
            return
        module = importlib.util.module_from_spec(loader)
        sys.modules[name] = module  # dataclasses look their module up while it is being read
        try:
            loader.loader.exec_module(module)
        finally:
            del sys.modules[name]
        for attribute, item in vars(module).items():
            spec = spec_of(item)
            if spec is None or getattr(item, "__module__", name) != name:
                continue
            if spec.id in self.checks:
                raise UsageError(f"two checks share an id: {self.places[spec.id]} and {path}", value=spec.id)
            self.checks[spec.id] = spec
            self.places[spec.id] = f"{path.parent.name}/{path.name}"
            self.nodes[spec.id] = f"{path}::{attribute}"
