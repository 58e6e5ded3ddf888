"""What an engine of faults is: it finds what an order may mean, injects a fault, says what it sees of it, and takes it
back. The faults of the cluster's own provider are one engine; Chaos Mesh, Litmus and krkn fit the same Protocol.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_k8sha.chaos.order import Order


@dataclass(frozen=True, order=True)
class Target:
    """One thing that a fault is about: a pod, a node, or a program of a control-plane member.

    ``uid`` is the API object's, where it has one: what bears the same name later is not the same target.
    """

    kind: str
    name: str
    namespace: str = ""
    uid: str = ""
    member: int = -1
    """The control-plane member, counted from 0; -1 where the target is none."""

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"


@dataclass(frozen=True)
class Candidates:
    """What an order may choose from, and what the choice is judged by.

    ``targets`` are those that the order's selection fits, ``population`` the number that its share is taken of (all
    running pods of the namespaces, all nodes, all members), and ``counted`` what that is, such as ``etcd members``.
    """

    targets: tuple[Target, ...]
    population: int
    counted: str


@dataclass(frozen=True)
class Observation:
    """What was measured. ``holds`` is None where nothing could be measured; ``seen`` says what was seen, or why not."""

    holds: bool | None
    seen: str

    def __bool__(self) -> bool:
        """Refused: *no* and *not measured* are two things, and neither may be taken for the absence of an answer."""
        raise TypeError("an observation is not true or false; ask for what it holds")

    @classmethod
    def all_of(cls, seen: Sequence[Observation]) -> Observation:
        """What several come to: not measured when one was not, else as the first that does not hold, else all."""
        for wanted in (None, False):
            for one in seen:
                if one.holds is wanted:
                    return one
        return cls(bool(seen) or None, "; ".join(one.seen for one in seen))


@dataclass(frozen=True)
class Plan:
    """An order with its targets resolved, chosen and pinned: from here on nothing is selected any more."""

    order: Order
    targets: tuple[Target, ...]
    notes: Mapping[str, str] = field(default_factory=dict)
    """What the preflight predicted, by rule."""

    @property
    def names(self) -> str:
        return ", ".join(map(str, self.targets))


class ChaosEngine(Protocol):
    """A sort of faults on one cluster.

    Every method may raise `K8shaError`. ``inject`` journals the fault with its undo before it makes it, so that
    `k8sha recover` takes it back after SIGKILL; ``recover`` is idempotent, and is called also when ``inject`` failed.
    """

    name: str

    def resolve(self, order: Order) -> Candidates:
        """What the order's selection fits now. Changes nothing."""

    def risks(self, order: Order, chosen: tuple[Target, ...]) -> Mapping[str, list[str]]:
        """What would come of the choice: sentences by the rule that is broken (`pytest_k8sha.chaos.order.RULES`).
        Changes nothing."""

    def steady(self, order: Order) -> Observation:
        """Whether all is well with what the order is about: so it must be before a fault, and again after it."""

    def inject(self, plan: Plan) -> None: ...

    def observe(self, plan: Plan) -> Observation:
        """Whether the fault is felt at each target: measured there, not what a controller says of it."""

    def lasts(self, plan: Plan) -> bool:
        """Whether the fault goes on until `recover`. A killed pod is made up for at once; a cut network is not."""

    def recover(self, plan: Plan) -> None:
        """Takes the fault back, and raises when that did not come about."""
