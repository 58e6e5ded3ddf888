"""NetworkPolicies as they are written, read strictly (``networking.k8s.io/v1``)."""

from __future__ import annotations

import re
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel

from pytest_k8sha.errors import FileProblem, FileProblems
from pytest_k8sha.kube import manifests

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

API_VERSION = "networking.k8s.io/v1"

_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?")


class Strict(BaseModel):
    """A field that is not known is a mistake, and the API server's spelling is used."""

    model_config = ConfigDict(extra="forbid", alias_generator=to_camel, frozen=True, strict=True)


def _cidr(value: str) -> str:
    ip_network(value, strict=False)
    if "/" not in value:
        raise ValueError(f"{value!r} is an address; a CIDR such as {value}/32 is expected")
    return value


Cidr = Annotated[str, AfterValidator(_cidr)]


def _port(value: int | str) -> int | str:
    if isinstance(value, int):
        if not 1 <= value <= 65535:
            raise ValueError(f"{value} is not between 1 and 65535")
    elif not _PORT_NAME.fullmatch(value) or "--" in value:
        raise ValueError(
            f"{value!r} is no port name (at most 15 of a-z, 0-9 and -, with a letter); a number is written bare"
        )
    return value


PortNumber = Annotated[int | str, AfterValidator(_port)]
Protocol = Literal["TCP", "UDP", "SCTP"]


class Requirement(Strict):
    """One expression of a label selector."""

    key: str = Field(min_length=1)
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: list[str] | None = None

    @model_validator(mode="after")
    def _fitting(self) -> Requirement:
        if self.operator in {"In", "NotIn"} and not self.values:
            raise ValueError(f"{self.operator} needs values")
        if self.operator in {"Exists", "DoesNotExist"} and self.values:
            raise ValueError(f"{self.operator} takes no values")
        return self

    def holds(self, labels: Mapping[str, str]) -> bool:
        values = self.values or []
        match self.operator:
            case "In":
                return labels.get(self.key) in values
            case "NotIn":
                return labels.get(self.key) not in values  # true as well where the label is absent
            case "Exists":
                return self.key in labels
            case _:
                return self.key not in labels

    def __str__(self) -> str:
        return f"{self.key} {self.operator} {', '.join(self.values or [])}".rstrip()


class Selector(Strict):
    """A label selector. An empty one matches everything; an absent one is None, and what that means is said there."""

    match_labels: dict[str, str] | None = None
    match_expressions: list[Requirement] | None = None

    def matches(self, labels: Mapping[str, str]) -> bool:
        wanted = self.match_labels or {}
        return wanted.items() <= labels.items() and all(e.holds(labels) for e in self.match_expressions or [])

    @property
    def everything(self) -> bool:
        return not self.match_labels and not self.match_expressions

    def __str__(self) -> str:
        parts = [f"{k}={v}" for k, v in (self.match_labels or {}).items()]
        return ", ".join([*parts, *map(str, self.match_expressions or [])]) or "everything"


class IPBlock(Strict):
    cidr: Cidr
    except_: list[Cidr] | None = Field(None, alias="except")

    @model_validator(mode="after")
    def _inside(self) -> IPBlock:
        outer = ip_network(self.cidr, strict=False)
        for text in self.except_ or []:
            inner = ip_network(text, strict=False)
            # The API server wants it strictly smaller: an exception of everything is no rule.
            fits = inner.version == outer.version and inner.subnet_of(outer) and inner != outer  # type: ignore[arg-type]
            if not fits:
                raise ValueError(f"except {text} is not strictly inside {self.cidr}")
        return self

    def holds(self, ip: str) -> bool:
        """An address of the other family is never inside."""
        address = ip_address(ip)
        return address in ip_network(self.cidr, strict=False) and not any(
            address in ip_network(text, strict=False) for text in self.except_ or []
        )

    def __str__(self) -> str:
        return self.cidr + (f" except {', '.join(self.except_)}" if self.except_ else "")


class Peer(Strict):
    """One entry of ``from`` or ``to``: both selectors in one entry must hold, two entries are alternatives."""

    pod_selector: Selector | None = None
    namespace_selector: Selector | None = None
    ip_block: IPBlock | None = None

    @model_validator(mode="after")
    def _one_kind(self) -> Peer:
        selecting = self.pod_selector is not None or self.namespace_selector is not None
        if self.ip_block is not None and selecting:
            raise ValueError("ipBlock cannot stand beside a selector; write two entries")
        if self.ip_block is None and not selecting:
            raise ValueError("a peer is expected: podSelector, namespaceSelector or ipBlock")
        return self


class Port(Strict):
    """No ``port`` means every port of the protocol; a name is looked up on the destination pod."""

    protocol: Protocol = "TCP"
    port: PortNumber | None = None
    end_port: int | None = None

    @model_validator(mode="after")
    def _range(self) -> Port:
        if self.end_port is not None:
            if not isinstance(self.port, int):
                raise ValueError("endPort needs a numeric port")
            if not self.port <= self.end_port <= 65535:
                raise ValueError(f"endPort {self.end_port} is not between port {self.port} and 65535")
        return self


def _listed(value: Any) -> Any:
    # The server reads an absent list, null and an empty one alike: no restriction.
    return [] if value is None else value


Peers = Annotated[list[Peer], BeforeValidator(_listed)]
Ports = Annotated[list[Port], BeforeValidator(_listed)]


class IngressRule(Strict):
    peers: Peers = Field(default_factory=list, alias="from")
    ports: Ports = Field(default_factory=list)


class EgressRule(Strict):
    peers: Peers = Field(default_factory=list, alias="to")
    ports: Ports = Field(default_factory=list)


Rule = IngressRule | EgressRule
Direction = Literal["Ingress", "Egress"]


class Spec(Strict):
    pod_selector: Selector = Field(default_factory=Selector)
    ingress: list[IngressRule] | None = None
    egress: list[EgressRule] | None = None
    policy_types: list[Direction] | None = None


class Policy(BaseModel):
    """A NetworkPolicy: where it is, what it selects, what it lets through."""

    model_config = ConfigDict(frozen=True)

    name: str
    namespace: str
    spec: Spec

    def rules(self, direction: Direction) -> list[IngressRule] | list[EgressRule]:
        return (self.spec.ingress if direction == "Ingress" else self.spec.egress) or []

    @property
    def directions(self) -> set[str]:
        """What it isolates. Unless said otherwise: Ingress always, Egress where there is an egress rule."""
        if self.spec.policy_types:
            return set(self.spec.policy_types)
        return {"Ingress", "Egress"} if self.spec.egress else {"Ingress"}

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def of(obj: Mapping[str, Any], *, path: str = "the cluster", namespace: str = "") -> Policy:
    """A policy from one object. Raises `FileProblems` with every field that cannot be meant."""
    problems: list[FileProblem] = []
    policy = read(obj, {}, path, namespace, problems)
    if policy is None:
        raise FileProblems(problems)
    return policy


def load(paths: Iterable[Path], *, namespace: str = "default", values: Mapping[str, str] | None = None) -> list[Policy]:
    """The NetworkPolicies of files and folders; ``namespace`` is where those go that name none, and ``values`` fill
    ``${name}``. Other kinds are left out.

    Raises `FileProblems` with every mistake of every file, each with its line.
    """
    problems: list[FileProblem] = []
    found: list[Policy] = []
    for path in manifests.files_of(paths, problems):
        try:
            text = path.read_text()
        except (OSError, UnicodeDecodeError) as error:
            problems.append(FileProblem(str(path), 0, "", f"cannot be read ({error})"))
            continue
        for document, lines in manifests.parse(text, str(path), problems):
            if document is None:
                continue
            if not isinstance(document, dict):
                message = f"an object is expected, not {type(document).__name__}"
                problems.append(FileProblem(str(path), 0, "", message))
                continue
            listed = str(document.get("kind", "")).endswith("List") and isinstance(document.get("items"), list)
            for obj in document["items"] if listed else [document]:
                if isinstance(obj, dict) and obj.get("kind") == "NetworkPolicy":
                    try:
                        filled = obj if values is None else manifests.fill(obj, values)
                    except KeyError as error:
                        message = f"${{{error.args[0]}}} has no value"
                        problems.append(FileProblem(str(path), 0, "", message))
                        continue
                    policy = read(filled, lines, str(path), namespace, problems, source=obj)
                    found += [policy] if policy else []
    if problems:
        raise FileProblems(problems)
    return found


def read(
    obj: Mapping[str, Any],
    lines: Mapping[int, Mapping[Any, int]],
    path: str,
    namespace: str,
    problems: list[FileProblem],
    *,
    source: Mapping[str, Any] | None = None,
) -> Policy | None:
    """One object as a policy; None when it has mistakes, which are added to ``problems``. ``source`` is the object as
    it stands in the file, which the ``lines`` are of."""
    before = len(problems)
    there = obj if source is None else source
    meta = obj.get("metadata")
    meta = meta if isinstance(meta, dict) else {}
    if obj.get("apiVersion") != API_VERSION:
        line = manifests.line_of(lines, there, ["apiVersion"])
        problems.append(
            FileProblem(path, line, "apiVersion", f"{API_VERSION} is expected, not {obj.get('apiVersion')}")
        )
    if not isinstance(meta.get("name"), str) or not meta["name"]:
        line = manifests.line_of(lines, there, ["metadata"])
        problems.append(FileProblem(path, line, "metadata.name", "is missing"))
    spec: Spec | None = None
    try:
        spec = Spec.model_validate(obj.get("spec") or {})
    except ValidationError as error:
        for mistake in error.errors():
            field = mistake["loc"]
            if field[-1] in {"int", "str"} and field[-2:-1] == ("port",):
                # pydantic tells of each type of a union; the file has one field
                if field[-1] == "str":
                    continue
                field = field[:-1]
            line = _line(lines, there, ("spec", *field))
            message = (
                mistake["msg"].removeprefix("Value error, ").replace("Extra inputs are not permitted", "is not known")
            )
            problems.append(FileProblem(path, line, ".".join(map(str, ("spec", *field))), message))
    if spec is None or len(problems) > before:
        return None
    return Policy(name=meta["name"], namespace=meta.get("namespace") or namespace, spec=spec)


def _line(lines: Mapping[int, Mapping[Any, int]], obj: Mapping[str, Any], field: tuple[Any, ...]) -> int:
    """The line of a field; an entry of a list is where its first key is."""
    here: Any = obj
    for step in field:
        try:
            here = here[step]
        except (KeyError, IndexError, TypeError):
            return manifests.line_of(lines, obj, field)
    first = next(iter(here), None) if isinstance(here, dict) and isinstance(field[-1], int) else None
    return manifests.line_of(lines, obj, (*field, first) if first else field)
