"""The mapping file: tenants of a cluster that somebody else runs, and how to act as them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from pytest_k8sha.errors import FileProblem, FileProblems, UsageError
from pytest_k8sha.fleet.spec import NAME, NAMESPACE, Expectations, PersonaOrder, TenantOrder
from pytest_k8sha.kube import kubeconfig, manifests
from pytest_k8sha.tenancy.models.base import PROMISES

if TYPE_CHECKING:
    from pathlib import Path


class Mapped(BaseModel):
    """One tenant, as it is."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(description="what the tenant is called in findings: a DNS label of at most 32 characters")
    namespaces: list[str] = Field(min_length=1, description="the tenant's namespaces, the main one first")
    personas: dict[str, PersonaOrder] = Field(min_length=1, description="role → who, and so how to act as them")
    expects: Expectations | None = Field(None, description="what the tenant's pods promise")
    promises: list[str] = Field(default_factory=list, description="what isolation is promised (default: all)")

    @field_validator("name")
    @classmethod
    def _name(cls, value: str) -> str:
        if not NAME.fullmatch(value):
            raise ValueError(f"{value!r}: a lower-case DNS label of at most 32 characters is expected")
        return value

    @field_validator("namespaces")
    @classmethod
    def _namespaces(cls, value: list[str]) -> list[str]:
        for name in value:
            if not NAMESPACE.fullmatch(name):
                raise ValueError(f"{name!r}: a lower-case DNS label is expected")
            if value.count(name) > 1:
                raise ValueError(f"{name!r} is named twice")
        return value

    @field_validator("promises")
    @classmethod
    def _words(cls, value: list[str]) -> list[str]:
        for word in value:
            if word not in PROMISES:
                raise ValueError(f"{word!r} is no promise; there are: {', '.join(PROMISES)}")
        return value


class MappingFile(BaseModel):
    """A mapping file."""

    model_config = ConfigDict(extra="forbid")

    tenants: list[Mapped] = Field(min_length=1, description="the tenants that the tenancy suite judges")


def read(path: Path) -> list[Mapped]:
    """The tenants of a mapping file; paths in it count from its folder.

    Raises `FileProblems` with every mistake: what YAML, the schema and the kubeconfigs that it names have against it,
    and names and namespaces that two tenants share.
    """
    problems: list[FileProblem] = []
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise FileProblems([FileProblem(str(path), 0, "", f"cannot be read ({error})")]) from error
    documents = manifests.parse(text, str(path), problems)
    if len(documents) != 1 or not isinstance(documents[0][0], dict):
        problems.append(FileProblem(str(path), 1, "", "one mapping with the key `tenants` is expected"))
        raise FileProblems(problems)
    data, lines = documents[0]

    def note(field: tuple[Any, ...], message: str) -> None:
        words = message.removeprefix("Value error, ").replace("Extra inputs are not permitted", "is not known here")
        problems.append(FileProblem(str(path), manifests.line_of(lines, data, field), ".".join(map(str, field)), words))

    found: list[Mapped] = []
    try:
        found = MappingFile.model_validate(data).tenants
    except ValidationError as error:
        for mistake in error.errors():
            note(tuple(step for step in mistake["loc"] if step != "[key]"), mistake["msg"])
    owners: dict[tuple[str, str], int] = {}
    for i, tenant in enumerate(found):
        for key, words in (("name", [tenant.name]), ("namespaces", tenant.namespaces)):
            for word in words:
                other = owners.setdefault((key, word), i)
                if other != i:
                    note(("tenants", i, key), f"{word!r} is that of tenants.{other} as well")
        for role, who in tenant.personas.items():
            if who.kubeconfig is None:
                continue
            who.kubeconfig = path.parent / who.kubeconfig.expanduser()
            try:
                kubeconfig.load(str(who.kubeconfig), who.context or None)
            except FileProblems as error:
                problems += error.problems
            except (UsageError, KeyError, TypeError, AttributeError) as error:  # the last three: a file of another form
                note(("tenants", i, "personas", role, "context" if who.context else "kubeconfig"), str(error))
    if problems:
        raise FileProblems(problems)
    return found


def order_of(tenant: Mapped) -> TenantOrder:
    """The same as the order of a fleet."""
    return TenantOrder.model_validate({"model": "existing", **tenant.model_dump()})
