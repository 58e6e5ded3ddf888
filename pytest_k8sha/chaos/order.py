"""The order of an experiment: ``kind: K8shaExperiment`` of a YAML file, or the same made by a test.

Every duration has a unit (``20s``, ``1m30s``, ``500ms``), every share a per cent sign, since a bare number is read
differently by everybody who meets it.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema, model_validator

from pytest_k8sha.chaos.lint import values

API_VERSION, KIND = "k8sha.dev/v1", "K8shaExperiment"

RULES = {
    "budget": "a PodDisruptionBudget would be broken",
    "quorum": "the members that stay are no quorum of etcd",
    "outage": "a workload or a control-plane component would have nothing left that serves",
    "system": "a namespace of the cluster's own is hit",
    "foreign": "neither the cluster nor the namespace was made by this project",
    "hang": "the engine could not take it back by itself",
    "empty": "a part of it would hit nobody",
}
"""What a preflight refuses unless the order accepts it by name."""

COMPONENTS = ("kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler")


def _seconds(value: Any) -> Any:
    if isinstance(value, (bool, int, float)):
        raise ValueError(f"{value!r} has no unit; write {value}s or {value}m")  # noqa: TRY004 - as pydantic wants it
    if isinstance(value, str):
        found = values.duration(value)
        if found is None and value.strip().replace(".", "", 1).isdigit():
            raise ValueError(f"{value!r} has no unit; write {value.strip()}s or {value.strip()}m")
        if found is None:
            raise ValueError(f"{value!r} is no duration; write it as 20s, 1m30s or 500ms")
        if found < 0:
            raise ValueError(f"{value!r} is less than nothing")
        return found / values.SECOND
    return value


def _percent(value: Any) -> Any:
    if isinstance(value, str) and value.endswith("%") and (number := values.number(value[:-1])) is not None:
        return number
    raise ValueError(f"{value!r} is no share; write it as 34%")


def text_of(seconds: float) -> str:
    """A duration in the words of a file."""
    return values.in_one_unit(round(seconds * values.SECOND))


Seconds = Annotated[
    float,
    BeforeValidator(_seconds),
    PlainSerializer(text_of, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^([0-9.]+(ns|us|µs|ms|s|m|h))+$", "examples": ["20s", "1m30s"]}),
]
"""A duration in seconds; in a file a text with its unit."""

Percent = Annotated[
    float,
    BeforeValidator(_percent),
    Field(gt=0, le=100),
    PlainSerializer(lambda share: f"{share:g}%", return_type=str),
    WithJsonSchema({"type": "string", "pattern": "^[0-9.]+%$", "examples": ["34%"]}),
]
"""A share in per cent, above 0 and at most 100; in a file a text with its sign."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Expression(_Model):
    """A rule of a label selector."""

    key: str
    operator: Literal["In", "NotIn", "Exists", "DoesNotExist"]
    values: tuple[str, ...] = ()


class Selector(_Model):
    """A label selector, as Kubernetes writes it. An empty one fits everything."""

    match_labels: dict[str, str] = Field(default_factory=dict, alias="matchLabels")
    match_expressions: tuple[Expression, ...] = Field(default=(), alias="matchExpressions")

    def as_labels(self) -> dict[str, Any]:
        """The LabelSelector of the API."""
        return self.model_dump(by_alias=True, mode="json")


class Choice(_Model):
    """How many of those that fit are taken. Left out: all of them."""

    count: int | None = Field(None, ge=1, description="so many, chosen by the seed")
    percent: Percent | None = Field(None, description="this share, rounded up, chosen by the seed")

    @model_validator(mode="after")
    def _one_way(self) -> Choice:
        if self.count is not None and self.percent is not None:
            raise ValueError("give count or percent, not both")
        return self


class Members(Choice):
    """Programs of control-plane members."""

    component: Literal["kube-apiserver", "etcd", "kube-controller-manager", "kube-scheduler"] = Field(
        description="the program"
    )
    which: Literal["any", "leader", "followers"] = Field(
        "any", description="only the leader, or only the others; not for kube-apiserver, which has no leader"
    )
    numbers: tuple[Annotated[int, Field(ge=0)], ...] = Field((), description="just these members, counted from 0")

    @model_validator(mode="after")
    def _has_leader(self) -> Members:
        if self.which != "any" and self.component == "kube-apiserver":
            raise ValueError("kube-apiserver has no leader: leave `which` out, or name members by `numbers`")
        return self


class Nodes(Choice):
    """Nodes of the cluster, control-plane nodes left out unless they are named."""

    names: tuple[str, ...] = Field((), description="just these")
    zone: str = Field("", description="all of this zone (topology.kubernetes.io/zone)")
    selector: Selector = Selector()


class Pods(Choice):
    """Pods that run, in the namespaces that are named."""

    namespaces: tuple[str, ...] = Field(min_length=1, description="where to look; each is named, none is implied")
    names: tuple[str, ...] = Field((), description="just these")
    selector: Selector = Selector()
    container: str = Field("", description="one container of each, for container-kill")


class Measure(_Model):
    """A command in a pod whose success tells of the effect, for faults that nothing else can measure."""

    command: tuple[str, ...] = Field(min_length=1, description="the command and its arguments; no shell")
    namespace: str = Field(description="where its pod is")
    pod: str = Field("", description="the pod, by name")
    selector: Selector | None = Field(None, description="or the first ready pod with these labels")
    container: str = ""
    effect: Literal["fails", "slower", "answers otherwise"] = Field(
        "fails", description="what the fault makes of a command that works without it"
    )
    by: Seconds = Field(0.0, description="for `slower`: how much longer it takes at least")

    @model_validator(mode="after")
    def _one_pod(self) -> Measure:
        if bool(self.pod) == (self.selector is not None):
            raise ValueError("give pod or selector, one of the two")
        if (self.effect == "slower") != (self.by > 0):
            raise ValueError("`by` belongs to the effect slower, which needs it")
        return self


class Manifest(Choice):
    """An object of another engine, such as Chaos Mesh. It says itself what is done, and to whom."""

    object: dict[str, Any] = Field(description="the whole object, as its engine takes it")
    measure: Measure | None = Field(None, description="what shows the effect, where nothing built in does")


ACTIONS: dict[str, dict[str, str]] = {
    "members": {
        "stop": "SIGTERM; it stays down until it is recovered",
        "kill": "SIGKILL; it stays down until it is recovered",
        "freeze": "SIGSTOP: it holds its connections and answers nothing",
        "restart": "it is killed and started again at once",
        "cut": "nothing passes between it and its peers; clients in its own member still reach it",
        "fill": "etcd is filled up to its quota, which must be small; then compacted, defragmented and disarmed",
        "delay": "what passes between it and its peers comes late, by `latency`",
    },
    "nodes": {
        "stop": "the node loses its power: its heartbeats end and its pods with them",
        "cordon": "no new pod is placed there",
        "drain": "cordoned, and its pods evicted, budgets respected",
        "stop-kubelet": "the kubelet ends; its containers go on",
    },
    "pods": {
        "delete": "deleted, with their grace period",
        "kill": "deleted without grace",
        "evict": "evicted through the eviction API, budgets respected",
        "container-kill": "every process of a container ends by SIGKILL; its kubelet starts another one",
        "freeze": "SIGSTOP to every process of a container: it holds its connections and answers nothing",
    },
    "manifest": {"apply": "an object of Chaos Mesh is created, and deleted to take it back"},
}
"""Every action, by the block that names its targets."""


class Spec(_Model):
    """What is done to what, for how long, and what must not come of it."""

    action: str = Field(description="what is done; see docs/experiments.md for those of each block")
    members: Members | None = None
    nodes: Nodes | None = None
    pods: Pods | None = None
    manifest: Manifest | None = None
    latency: Seconds | None = Field(None, description="for `delay`: how late, one way")
    hold: Seconds = Field(0.0, description="how long the fault stays after its effect was measured")
    limit: Percent = Field(50.0, description="the blast radius: the largest share that may be hit", alias="blastRadius")
    seed: int = Field(0, description="the same seed chooses the same targets")
    accept: tuple[Literal["budget", "quorum", "outage", "system", "foreign", "hang", "empty"], ...] = Field(
        (), description="what the preflight is to let pass, by name"
    )
    prove_within: Seconds = Field(30.0, description="how long its effect may take to be measured", alias="proveWithin")
    recover_within: Seconds = Field(
        120.0, description="how long the steady state may take to come back", alias="recoverWithin"
    )

    @model_validator(mode="after")
    def _fits(self) -> Spec:
        blocks = [name for name in ACTIONS if getattr(self, name) is not None]
        if len(blocks) != 1:
            told = " and ".join(blocks) or "none"
            raise ValueError(f"just one of {', '.join(ACTIONS)} names the targets (given: {told})")
        if self.action not in ACTIONS[blocks[0]]:
            raise ValueError(
                f"{self.action!r} is nothing that is done to {blocks[0]}; allowed: {', '.join(ACTIONS[blocks[0]])}"
            )
        if (self.action == "delay") != (self.latency is not None):
            raise ValueError("`latency` belongs to the action delay, which needs it")
        return self

    @property
    def block(self) -> str:
        """The block that names the targets: ``members``, ``nodes``, ``pods`` or ``manifest``."""
        return next(name for name in ACTIONS if getattr(self, name) is not None)

    @property
    def choice(self) -> Choice:
        found = getattr(self, self.block)
        assert isinstance(found, Choice)  # noqa: S101 - the validator saw it
        return found


class Metadata(_Model):
    """Names the experiment."""

    name: str = Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")


class Order(_Model):
    """``kind: K8shaExperiment``."""

    api_version: Literal["k8sha.dev/v1"] = Field("k8sha.dev/v1", alias="apiVersion")
    kind: Literal["K8shaExperiment"] = "K8shaExperiment"
    metadata: Metadata
    spec: Spec

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def title(self) -> str:
        """The fault in a few words."""
        words = {"members": self.spec.members.component if self.spec.members else "", "nodes": "node", "pods": "pod"}
        if self.spec.manifest:
            words["manifest"] = str(self.spec.manifest.object.get("kind", ""))
        late = f" by {text_of(self.spec.latency)}" if self.spec.latency is not None else ""
        return f"{self.spec.action} {words[self.spec.block]}{late}"


def order(name: str, action: str, **spec: Any) -> Order:
    """An order made in Python, with the names and values of a file (``hold="5s"``, ``members={...}``).

    Raises pydantic's ``ValidationError``.
    """
    return Order.model_validate({"metadata": {"name": name}, "spec": {"action": action, **spec}})
