"""The access matrix: every discovered resource and subresource, with every verb that the server offers for it, decided
for one persona by the cluster's own authorisers.

A cluster has some six hundred such pairs, and each persona is judged against each neighbour. To ask about all of them
costs a second for each persona and place. So the server is first asked for the persona's rules there
(SelfSubjectRulesReview). If it says that they are all (``incomplete: false``), two pairs that are matched by the same
rules are decided alike: every pair that any rule matches is reviewed by itself, and the rest, which no rule matches, by
one review for each resource and subresource. A single "allowed" among the rest would show that the list was not
complete after all. In that case, and whenever the server does not vouch for the list (a webhook authoriser cannot), all
pairs are reviewed.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.kube.discovery import Kind
    from pytest_k8sha.tenancy.tenant import Persona

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
THREADS = 4

REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
RULES = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"

EVERYBODY = frozenset(
    {
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
        ("authentication.k8s.io", "selfsubjectreviews"),
    }
)
"""What ClusterRole system:basic-user gives to every authenticated user: questions about oneself."""

HARMLESS = frozenset(
    {
        ("storage.k8s.io", "storageclasses"),
        ("networking.k8s.io", "ingressclasses"),
        ("gateway.networking.k8s.io", "gatewayclasses"),
        ("scheduling.k8s.io", "priorityclasses"),
        ("node.k8s.io", "runtimeclasses"),
        ("certificates.k8s.io", "clustertrustbundles"),
    }
)
"""Cluster-scoped kinds that tenants name in their own objects and that say nothing of other tenants: may be read."""

READING = frozenset({"get", "list", "watch"})


@dataclass(frozen=True)
class Pair:
    """A verb on a resource or subresource; ``name`` only where a rule speaks of one object by name."""

    verb: str
    group: str
    resource: str
    subresource: str = ""
    name: str = ""

    @property
    def what(self) -> str:
        """``secrets``, ``deployments.apps/scale``, ``configmaps 'ca'``."""
        full = f"{self.resource}.{self.group}" if self.group else self.resource
        return full + (f"/{self.subresource}" if self.subresource else "") + (f" {self.name!r}" if self.name else "")

    @property
    def everybodys(self) -> bool:
        return (self.group, self.resource) in EVERYBODY


@dataclass
class Scan:
    """What one persona may do in one place. ``decided`` pairs were decided by ``asked`` reviews."""

    persona: Persona
    namespace: str
    allowed: list[tuple[Pair, str]] = field(default_factory=list)
    decided: int = 0
    asked: int = 0
    problems: list[str] = field(default_factory=list)

    @property
    def where(self) -> str:
        return self.namespace or "the cluster scope"

    def reasons(self, leave_out: Callable[[Pair], bool] = lambda pair: pair.everybodys) -> dict[str, list[Pair]]:
        """The allowed pairs by who allowed them, in the authoriser's words."""
        found: dict[str, list[Pair]] = {}
        for pair, reason in self.allowed:
            if not leave_out(pair):
                found.setdefault(reason, []).append(pair)
        return found


def offered(kinds: Iterable[Kind], *, namespaced: bool) -> list[Pair]:
    """Every verb that the server offers on every resource and subresource of that scope."""
    found = []
    for kind in kinds:
        if kind.namespaced is not namespaced:
            continue
        found += [Pair(verb, kind.group, kind.plural) for verb in VERBS if verb in kind.verbs]
        for name, verbs in sorted(kind.subresources.items()):
            found += [Pair(verb, kind.group, kind.plural, name) for verb in VERBS if verb in verbs]
    return found


@dataclass(frozen=True)
class Rule:
    """One rule of a SelfSubjectRulesReview."""

    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    names: tuple[str, ...] = ()

    @classmethod
    def of(cls, data: dict[str, Any]) -> Rule:
        return cls(
            verbs=frozenset(data.get("verbs") or ()),
            groups=frozenset(data.get("apiGroups") or ()),
            resources=frozenset(data.get("resources") or ()),
            names=tuple(data.get("resourceNames") or ()),
        )

    def matches(self, pair: Pair) -> bool:
        """As RBAC matches, resource names left aside (k8s.io/component-helpers/auth/rbac/validation)."""
        if not {pair.verb, "*"} & self.verbs or not {pair.group, "*"} & self.groups:
            return False
        if not pair.subresource:
            return bool({pair.resource, "*"} & self.resources)
        return bool({f"{pair.resource}/{pair.subresource}", f"*/{pair.subresource}", "*"} & self.resources)


def plan(pairs: Sequence[Pair], rules: Sequence[Rule], turn: int = 0) -> tuple[list[Pair], list[Pair]]:
    """The pairs that some rule matches, and one of the others for each resource and subresource.

    A rule for named objects adds a pair for each name. ``turn`` varies which verb stands for the others.
    """
    matched: list[Pair] = []
    others: dict[tuple[str, str, str], list[Pair]] = {}
    for pair in pairs:
        hits = [rule for rule in rules if rule.matches(pair)]
        if any(not rule.names for rule in hits):
            matched.append(pair)
            continue
        names = sorted({name for rule in hits for name in rule.names})
        matched += [replace(pair, name=name) for name in names]
        others.setdefault((pair.group, pair.resource, pair.subresource), []).append(pair)
    sample = [group[(number + turn) % len(group)] for number, group in enumerate(others.values())]
    return matched, sample


def scan(cluster: Cluster, questions: Iterable[tuple[Persona, str]]) -> list[Scan]:
    """Decides the whole matrix for each persona and place; ``""`` is the cluster scope.

    For the cluster scope only cluster-scoped resources are asked about: whoever may use a namespaced one everywhere
    may use it in the neighbour's namespace as well, and is found there.
    """
    pairs = {flag: offered(cluster.kinds, namespaced=flag) for flag in (True, False)}
    return decide((persona, namespace, pairs[bool(namespace)]) for persona, namespace in questions)


def decide(questions: Iterable[tuple[Persona, str, Sequence[Pair]]]) -> list[Scan]:
    """Decides these pairs for each persona and place, by as few reviews as prove it."""
    asked = [(Scan(persona, namespace, decided=len(pairs)), pairs) for persona, namespace, pairs in questions]
    with ThreadPoolExecutor(THREADS) as pool:
        ruled = list(pool.map(lambda q: rules_of(q[0].persona, q[0].namespace or "default"), asked))
        samples: list[list[Pair]] = []
        for turn, ((one, pairs), rules) in enumerate(zip(asked, ruled, strict=True)):
            sure, sample = (list(pairs), []) if rules is None else plan(pairs, rules, turn)
            samples.append(sample)
            _review(pool, one, [*sure, *sample])
        for (one, pairs), sample in zip(asked, samples, strict=True):
            seen = {pair for pair, _ in one.allowed}
            if seen & set(sample):
                _review(pool, one, [pair for pair in pairs if pair not in seen | set(sample)])
    return [one for one, _ in asked]


def rules_of(persona: Persona, namespace: str) -> list[Rule] | None:
    """The persona's rules in a namespace as the server lists them; None when the list may not be complete.

    Asked by impersonation, which is a question like any review, so that no credentials have to be made for it.
    """
    client = persona.cluster.client.impersonate(persona.user, persona.groups)
    body = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectRulesReview",
        "spec": {"namespace": namespace},
    }
    try:
        status = client.request("POST", RULES, body=body).get("status") or {}
    except RequestError:
        return None
    if status.get("incomplete") or status.get("evaluationError"):
        return None
    return [Rule.of(rule) for rule in status.get("resourceRules") or []]


def _review(pool: ThreadPoolExecutor, one: Scan, pairs: Sequence[Pair]) -> None:
    client = one.persona.cluster.client

    def ask(pair: Pair) -> tuple[Pair, bool, str]:
        body = one.persona.review(
            pair.verb,
            group=pair.group,
            resource=pair.resource,
            subresource=pair.subresource,
            namespace=one.namespace,
            name=pair.name,
        )
        try:
            status = client.request("POST", REVIEWS, body=body)["status"]
        except RequestError as error:
            one.problems.append(f"{pair.verb} {pair.what}: {error}")
            return pair, False, ""
        if status.get("evaluationError") and not status.get("allowed"):
            one.problems.append(f"{pair.verb} {pair.what}: {status['evaluationError']}")
        return pair, bool(status.get("allowed")), str(status.get("reason") or "no reason was given")

    for pair, allowed, reason in pool.map(ask, pairs):
        one.asked += 1
        if allowed:
            one.allowed.append((pair, reason))


def listing(pairs: Iterable[Pair], most: int = 12) -> str:
    """``get, list secrets; create pods/exec; …``, the verbs of one resource together."""
    verbs: dict[str, list[str]] = {}
    for pair in pairs:
        verbs.setdefault(pair.what, []).append(pair.verb)
    # What hurts most is read first.
    telling = sorted(verbs, key=lambda what: (not what.startswith(("secrets", "pods/exec", "*")), what))
    shown = [f"{', '.join(verbs[what])} {what}" for what in telling[:most]]
    return "; ".join(shown) + (f"; and {len(telling) - most} more resources" if len(telling) > most else "")


def pairs_of_tenants(tenants: Sequence[Any]) -> Iterator[tuple[Any, Any]]:
    """Every ordered pair of two different tenants."""
    for one in tenants:
        for other in tenants:
            if one is not other:
                yield one, other
