"""What clusters are ordered: by ``--k8sha-cluster NAME=PROVIDER[:ARGUMENT][,key=value…]`` or by a fleet file."""

from __future__ import annotations

import re
from difflib import get_close_matches
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from pytest_k8sha.errors import FileProblem, FileProblems, UsageError
from pytest_k8sha.kube.manifests import line_of, parse
from pytest_k8sha.model import Impact

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_k8sha.providers.registry import Registry

NAME = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")
NAMESPACE = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""A DNS label of RFC 1123."""


class Keyed(Protocol):
    """What is known here of a tenancy model: the keys that it reads (`pytest_k8sha.tenancy.models`)."""

    options: type[BaseModel]


class Models(Protocol):
    """The tenancy models by name."""

    def get(self, name: str) -> Keyed:
        """Raises `UsageError` with the known names."""

    def shorthand(self, text: str) -> list[dict[str, Any]]:
        """The tenants that ``MODEL[:ARGUMENT]`` means. Raises `UsageError`."""


class NoKeys(BaseModel):
    """The options of a tenancy model that has none of its own."""

    model_config = ConfigDict(extra="forbid")


class PersonaOrder(BaseModel):
    """Somebody of a tenant: a user with groups, a service account, or whoever a kubeconfig's context logs in as."""

    model_config = ConfigDict(extra="forbid")

    user: str = Field("", description="the user name, as the cluster's authenticator knows it")
    groups: list[str] = Field(default_factory=list, description="the user's groups; they count for RBAC")
    serviceAccount: str = Field("", description="a service account of the tenant's first namespace")  # noqa: N815 - the file's spelling
    kubeconfig: Path | None = Field(None, description="a kubeconfig whose credentials are this persona's own")
    context: str = Field("", description="the context of that kubeconfig (default: its current one)")

    @model_validator(mode="after")
    def _one_way(self) -> PersonaOrder:
        ways = [word for word in ("user", "serviceAccount", "kubeconfig") if getattr(self, word)]
        if len(ways) != 1:
            said = f"{' and '.join(ways)} are given" if ways else "there is no way to act as this persona"
            raise ValueError(f"{said}; one of user (with groups), serviceAccount or kubeconfig is expected")
        if self.groups and not self.user:
            raise ValueError("groups belong to a user; a service account and a kubeconfig bring their own")
        if self.context and not self.kubeconfig:
            raise ValueError("context names one of a kubeconfig, and there is none")
        return self


class Visitor(BaseModel):
    """Who is let in from outside the tenant, such as the pods of an ingress controller."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(description="what it is, such as `ingress controller`")
    namespace: dict[str, str] = Field(min_length=1, description="labels of its namespace")
    labels: dict[str, str] = Field(default_factory=dict, description="labels of its pods")
    port: int = Field(ge=1024, le=65535, description="the port of the tenant's pods that it may reach, and no other")

    def alike(self, other: Visitor) -> bool:
        """Whether a policy takes them for the same."""
        return (self.namespace, self.labels) == (other.namespace, other.labels)


class Destination(BaseModel):
    """What the tenant may reach outside the cluster, such as a database."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    name: str = Field(description="what it is, such as `database`")
    address: str = Field(description="its IP address")
    port: int = Field(ge=1, le=65535, description="its TCP port; nothing else at the address may be reached")
    stand_in: bool = Field(
        default=False,
        alias="standIn",
        description="the address is a node's, and a probe on the nodes' network answers there instead of a real server",
    )

    @field_validator("address")
    @classmethod
    def _ip(cls, value: str) -> str:
        try:
            return str(ip_address(value))
        except ValueError as error:
            raise ValueError(f"{value!r} is no IP address") from error


class Expectations(BaseModel):
    """What a tenant's pods promise, and so what the cluster must hold them to."""

    model_config = ConfigDict(extra="forbid", populate_by_name=True)

    pod_security: Literal["baseline", "restricted"] = Field(
        default="baseline", alias="podSecurity", description="the Pod Security level in force"
    )
    labels: dict[str, str] = Field(
        default_factory=dict, description="labels that each pod must carry, with values that are right for this tenant"
    )
    registries: list[str] = Field(
        default_factory=list, description="what an image's name must begin with; end it with a slash"
    )
    domains: list[str] = Field(
        default_factory=list, description="the DNS domains whose hosts the tenant's ingresses may serve, the main first"
    )
    start_delay: int = Field(
        default=0,
        ge=0,
        le=60,
        alias="startDelay",
        description="seconds that an init container of each pod waits, where the network closes in on a pod too late",
    )
    visitors: list[Visitor] = Field(default_factory=list, description="who is let in from outside the tenant")
    destinations: list[Destination] = Field(default_factory=list, description="what may be reached outside the cluster")
    private_images: list[str] = Field(
        default_factory=list,
        alias="privateImages",
        description="images of this tenant's own, by their full names, that no other tenant may run",
    )


class TenantOrder(BaseModel):
    """A tenant of one model: made from a template folder, or one that exists already. Keys that are not listed here
    belong to the model."""

    model_config = ConfigDict(extra="allow")

    model: str = Field("namespace", description="namespace, tenant-crd, existing, or a model that a plugin adds")
    name: str = Field("", description="the tenant's name; `${tenant}` in a template (default: a new one)")
    template: Path | None = Field(None, description="a folder with `tenant.yaml` and manifests; none: it exists")
    overlays: list[Path] = Field(default_factory=list, description="further manifests, applied after the template")
    namespaces: list[str] = Field(default_factory=list, description="the tenant's namespaces (default: its name)")
    personas: dict[str, PersonaOrder] = Field(default_factory=dict, description="role → who; needed without a template")
    expects: Expectations | None = Field(None, description="what the tenant's pods promise")
    promises: list[str] = Field(
        default_factory=list, description="what isolation is promised (default: all that the model promises)"
    )

    @field_validator("name")
    @classmethod
    def _label(cls, value: str) -> str:
        if value and not NAME.fullmatch(value):
            raise ValueError("a lower-case DNS label of at most 32 characters is expected")
        return value

    @field_validator("namespaces")
    @classmethod
    def _labels(cls, value: list[str]) -> list[str]:
        wrong = [name for name in value if not NAMESPACE.fullmatch(name)]
        if wrong:
            raise ValueError(f"{', '.join(map(repr, wrong))}: a lower-case DNS label is expected")
        return value

    @property
    def keys(self) -> dict[str, Any]:
        """The model's own keys, not yet validated."""
        return dict(self.model_extra or {})


class ClusterOrder(BaseModel):
    """One cluster of a fleet. Keys that are not listed here belong to the provider."""

    model_config = ConfigDict(extra="allow")

    provider: str = Field("local", description="local, context, or a provider that a plugin adds")
    argument: str | None = Field(None, description="what the provider is told, such as the context's name")
    ceiling: str | None = Field(None, description="observe, rehearse, exercise or disrupt")
    apply: list[Path] = Field(default_factory=list, description="manifests (files or folders) applied at the start")
    tenants: list[TenantOrder] = Field(default_factory=list, description="the tenants that the tenancy suite judges")
    restore: Path | None = Field(None, description="the restore plan that the restore suite goes by")

    @field_validator("ceiling")
    @classmethod
    def _known(cls, value: str | None) -> str | None:
        if value is not None and value.upper() not in Impact.__members__:
            raise ValueError(f"{value!r} is not one of {', '.join(str(i) for i in Impact)}")
        return value

    @property
    def keys(self) -> dict[str, Any]:
        """The provider's own keys, not yet validated."""
        return dict(self.model_extra or {})

    def provider_options(self, registry: Registry) -> BaseModel:
        """The provider's keys as its own model. Raises `UsageError` and pydantic's ``ValidationError``."""
        provider = registry.get(self.provider)
        if self.argument and not getattr(provider, "takes_argument", True):
            raise UsageError(
                f"the provider {self.provider} takes no argument",
                value=self.argument,
                remedy=f"leave it out: NAME={self.provider}",
            )
        return provider.options.model_validate(self.keys)


class FleetSpec(BaseModel):
    """A fleet file: ``clusters`` by name."""

    model_config = ConfigDict(extra="forbid")

    clusters: dict[str, ClusterOrder] = Field(min_length=1, description="the clusters by name")


def from_options(options: Iterable[str], registry: Registry, models: Models | None = None) -> FleetSpec:
    """Reads ``NAME=PROVIDER[:ARGUMENT][,key=value…]``. Raises `UsageError` for the first that cannot be meant."""
    clusters: dict[str, ClusterOrder] = {}
    for text in options:
        name, equals, rest = text.partition("=")
        if not equals or not rest:
            raise UsageError(
                "a cluster is given as NAME=PROVIDER[:ARGUMENT][,key=value…]",
                value=text,
                remedy="e.g. east=local,nodes=3",
            )
        _check_name(name)
        if name in clusters:
            raise UsageError("two clusters have one name", value=name, remedy="give each cluster a name of its own")
        first, *pairs = rest.split(",")
        provider, _, argument = first.partition(":")
        data: dict[str, Any] = {"provider": provider, "argument": argument or None}
        for pair in pairs:
            key, sign, value = pair.partition("=")
            if not sign or not key:
                raise UsageError(f"cluster {name}: a key and a value are expected", value=pair, remedy="e.g. members=3")
            if key in data:
                taken = {"provider", "argument"} & {key}
                said = "is no key here" if taken else "is given twice"
                raise UsageError(f"cluster {name}: {key} {said}", value=pair)
            data[key] = value.split("+") if key == "apply" else value
            if key == "tenants" and models:
                data[key] = models.shorthand(value)
        try:
            order = ClusterOrder.model_validate(data)
            order.provider_options(registry)
        except ValidationError as error:
            known = {*ClusterOrder.model_fields, *registry.get(provider).options.model_fields} - {
                "provider",
                "argument",
            }
            raise UsageError(
                f"cluster {name}: "
                + "; ".join(f"{'.'.join(map(str, e['loc']))}: {_said(e, known)}" for e in error.errors())
            ) from error
        clusters[name] = order
    return FleetSpec(clusters=clusters)


def from_file(path: Path, registry: Registry, models: Models | None = None) -> FleetSpec:
    """Reads a fleet file; paths in it count from its folder. Raises `FileProblems` with every mistake.

    Without ``models`` no tenant may have keys of its model.
    """
    problems: list[FileProblem] = []
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise FileProblems([FileProblem(str(path), 0, "", f"cannot be read ({error})")]) from error
    documents = parse(text, str(path), problems)
    if not documents or not isinstance(documents[0][0], dict):
        problems.append(FileProblem(str(path), 1, "", "a mapping with the key `clusters` is expected"))
        raise FileProblems(problems)
    data, lines = documents[0]

    def note(error: ValidationError, prefix: tuple[Any, ...], known: Iterable[str]) -> None:
        for mistake in error.errors():
            field = (*prefix, *(step for step in mistake["loc"] if step != "[key]"))
            problems.append(
                FileProblem(str(path), line_of(lines, data, field), ".".join(map(str, field)), _said(mistake, known))
            )

    spec = None
    own: dict[tuple[str, int], BaseModel] = {}
    try:
        spec = FleetSpec.model_validate(data)
    except ValidationError as error:
        note(error, (), FleetSpec.model_fields)
    clusters = data.get("clusters")
    for name, raw in clusters.items() if isinstance(clusters, dict) else ():
        if not NAME.fullmatch(str(name)):
            where = line_of(lines, data, ("clusters", name))
            problems.append(FileProblem(str(path), where, f"clusters.{name}", "is not a lower-case DNS label"))
        if not isinstance(raw, dict):
            continue
        provider = raw.get("provider", "local")
        try:
            options = registry.get(str(provider)).options
        except UsageError as error:
            where = line_of(lines, data, ("clusters", name, "provider"))
            problems.append(FileProblem(str(path), where, f"clusters.{name}.provider", str(error)))
            continue
        try:
            options.model_validate({k: v for k, v in raw.items() if k not in ClusterOrder.model_fields})
        except ValidationError as error:
            note(error, ("clusters", name), {*ClusterOrder.model_fields, *options.model_fields})
        tenants = raw.get("tenants")
        for i, tenant in enumerate(tenants if isinstance(tenants, list) else ()):
            place = ("clusters", name, "tenants", i)
            if not isinstance(tenant, dict):
                continue
            try:
                model = models.get(str(tenant.get("model", "namespace"))).options if models else NoKeys
            except UsageError as error:
                where = line_of(lines, data, (*place, "model"))
                problems.append(FileProblem(str(path), where, ".".join(map(str, (*place, "model"))), str(error)))
                continue
            try:
                own[str(name), i] = model.model_validate(
                    {k: v for k, v in tenant.items() if k not in TenantOrder.model_fields}
                )
            except ValidationError as error:
                note(error, place, {*TenantOrder.model_fields, *model.model_fields})
    if spec is not None:
        problems += _missing_paths(spec, own, path, lines, data)
    if problems:
        raise FileProblems(problems)
    assert spec is not None  # noqa: S101 - a failed validation left a problem
    return spec


def _missing_paths(
    spec: FleetSpec,
    own: Mapping[tuple[str, int], BaseModel],
    path: Path,
    lines: Mapping[int, Mapping[Any, int]],
    data: Any,
) -> list[FileProblem]:
    """Makes the file's relative paths absolute, in place, and tells which do not exist. ``own`` are the keys that
    belong to a tenant's model, by the cluster's name and the tenant's place in its list."""
    missing = []

    def absolute(given: Path, *field: Any) -> Path:
        found = given if given.is_absolute() else path.parent / given
        if not found.exists():
            where = line_of(lines, data, field)
            missing.append(FileProblem(str(path), where, ".".join(map(str, field)), f"{found} does not exist"))
        return found

    for name, order in spec.clusters.items():
        order.apply = [absolute(p, "clusters", name, "apply", i) for i, p in enumerate(order.apply)]
        if order.restore:
            order.restore = absolute(order.restore, "clusters", name, "restore")
        for i, tenant in enumerate(order.tenants):
            place = ("clusters", name, "tenants", i)
            if tenant.template:
                tenant.template = absolute(tenant.template, *place, "template")
            tenant.overlays = [absolute(p, *place, "overlays", j) for j, p in enumerate(tenant.overlays)]
            for role, persona in tenant.personas.items():
                if persona.kubeconfig:
                    persona.kubeconfig = absolute(persona.kubeconfig, *place, "personas", role, "kubeconfig")
            for key, value in own.get((name, i), ()):
                if isinstance(value, Path):
                    setattr(tenant, key, absolute(value, *place, key))
    return missing


def _check_name(name: str) -> None:
    if not NAME.fullmatch(name):
        raise UsageError("a cluster's name is a lower-case DNS label of at most 32 characters", value=name)


def _said(mistake: Any, known: Iterable[str]) -> str:
    """Pydantic's message, with the nearest right key for an unknown one."""
    message = str(mistake["msg"])
    if mistake["type"] == "extra_forbidden":
        wrong, names = str(mistake["loc"][-1]), sorted(known)
        near = get_close_matches(wrong, names, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"unknown key {wrong!r}; {hint}allowed: {', '.join(names)}"
    value = mistake.get("input")
    return f"{message} (given: {value!r})" if isinstance(value, (str, int, float, bool)) else message
