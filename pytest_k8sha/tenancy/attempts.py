"""What a persona must not get through: each attempt is really sent, and judged by who refused it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha.checks.denial import ESCALATION, RBAC, attribute
from pytest_k8sha.errors import ApiError, ImpactRefused, RequestError
from pytest_k8sha.safety.guard import Target
from pytest_k8sha.tenancy import grants
from pytest_k8sha.tenancy.access import Pair, decide

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.kube.client import Client
    from pytest_k8sha.tenancy.tenant import Persona, Tenant

MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"
APPLY = "application/apply-patch+yaml"

_VERBS = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete", "GET": "get"}


@dataclass(frozen=True)
class Attempt:
    """One request. ``what`` reads well after "tries to"; ``dry`` sends it as a rehearsal, which is authorised and
    admitted like the real one and stores nothing."""

    what: str
    method: str
    path: str
    body: Any = None
    query: Mapping[str, Any] = field(default_factory=dict)
    content_type: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    dry: bool = True

    @property
    def pair(self) -> Pair:
        """What the authoriser is asked."""
        target = Target.of(self.path)
        verb = _VERBS[self.method]
        if not target.name and not target.subresource:
            verb = {"get": "list", "delete": "deletecollection"}.get(verb, verb)
        return Pair(verb, target.group, target.resource, target.subresource, target.name if verb != "create" else "")

    @property
    def namespace(self) -> str:
        target = Target.of(self.path)
        # The API server takes a Namespace to be in itself when it is read or written by name.
        return target.name if target.resource == "namespaces" and not target.group else target.namespace

    def send(self, client: Client) -> Any:
        """Raises `ApiError`, `TransportError` and `ImpactRefused`."""
        query = dict(self.query)
        if self.dry and self.method != "GET":
            query["dryRun"] = "All"
        return client.request(
            self.method,
            self.path,
            query=query or None,
            body=self.body,
            content_type=self.content_type or None,
            headers=self.headers or None,
        )

    def proof(self, answer: Any) -> str:  # noqa: ARG002 - of those that open something
        """What an answer shows beyond the fact that it came; empty for an ordinary request."""
        return ""


def review(persona: Persona, pair: Pair, namespace: str = "") -> tuple[bool, str]:
    """Whether the persona may, and who allowed it, down to the rule."""
    may, reason = persona.may(
        pair.verb,
        group=pair.group,
        resource=pair.resource,
        subresource=pair.subresource,
        namespace=namespace,
        name=pair.name,
    )
    return may, grants.explain(persona.cluster, reason, pair) if may else reason


def author(tenant: Tenant, resource: str, group: str = "") -> Persona | None:
    """Somebody of the tenant who may create such objects in its namespace; None where nobody may."""
    for persona in tenant.personas.values():
        if persona.may("create", group=group, resource=resource, namespace=tenant.namespace)[0]:
            return persona
    return None


def forbid(
    judge: Judge,
    persona: Persona,
    attempt: Attempt,
    *,
    by: Iterable[str] = (RBAC, ESCALATION),
    rule: str = "",
    remedy: str = "",
    subject: str = "",
) -> None:
    """The attempt must be refused by one of ``by``.

    When it goes through, the finding says who allowed it. When it ends in an error, which is not a denial, the review
    is asked: if the authoriser lets the persona do it, the error came too late to protect anybody.
    """
    name = subject or f"{persona} tries to {attempt.what}"
    try:
        answer = attempt.send(persona.client)
    except ImpactRefused:
        raise
    except ApiError as error:
        denial = attribute(error)
        if denial and denial.by in tuple(by):
            judge.ok(name, f"denied by {denial}")
            return
        end = f"denied only by {denial}" if denial else f"then answered with {error.status} {error.reason}"
        _judge_by_review(judge, persona, attempt, name, end, str(error), rule, remedy)
    except RequestError as error:
        _judge_by_review(judge, persona, attempt, name, "then without an answer", str(error), rule, remedy)
    else:
        _, reason = review(persona, attempt.pair, attempt.namespace)
        judge.bad(
            name,
            seen=f"it went through{_told(attempt.proof(answer))} ({reason or 'the review says no'})",
            rule=rule,
            remedy=remedy or _way_out(reason),
        )


def forbid_right(
    judge: Judge, persona: Persona, pair: Pair, namespace: str = "", *, rule: str = "", remedy: str = ""
) -> None:
    """The persona must not have the right, as the authorisers say; nothing is sent as the persona."""
    where = f"in {namespace}" if namespace else "at the cluster scope"
    may, reason = review(persona, pair, namespace)
    judge.that(
        not may,
        f"{persona}: {pair.verb} {pair.what} {where}",
        seen=reason if may else "no authoriser allows it",
        rule=rule,
        remedy=remedy or _way_out(reason),
    )


def forbid_rights(
    judge: Judge, questions: Iterable[tuple[Persona, str, Sequence[Pair]]], *, rule: str = "", remedy: str = ""
) -> None:
    """As `forbid_right` for many, by as few reviews as prove it; one subject for each persona, place and resource."""
    listed = list(questions)
    for one, (persona, namespace, pairs) in zip(decide(listed), listed, strict=True):
        where = f"in {namespace}" if namespace else "at the cluster scope"
        if one.problems:
            judge.unsure(
                f"{persona} {where}", f"{len(one.problems)} reviews gave no answer, the first: {one.problems[0]}"
            )
        allowed = dict(one.allowed)
        for what in dict.fromkeys(pair.what for pair in pairs):
            verbs = [pair for pair in pairs if pair.what == what]
            mine = {pair: reason for pair, reason in allowed.items() if pair.what == what}
            subject = f"{persona}: {', '.join(pair.verb for pair in mine or verbs)} {what} {where}"
            if mine:
                pair, reason = next(iter(mine.items()))
                seen = grants.explain(persona.cluster, reason, pair)
                judge.bad(subject, seen=seen, rule=rule, remedy=remedy or _way_out(reason))
            elif not one.problems:
                judge.ok(subject, "no authoriser allows it")
        for pair, reason in allowed.items():
            if pair.what not in {asked.what for asked in pairs}:  # one that a rule names
                judge.bad(f"{persona}: {pair.verb} {pair.what} {where}", seen=reason, remedy=remedy or _way_out(reason))


def works(judge: Judge, client: Client, attempt: Attempt, who: str = "the administrator") -> bool:
    """The positive control: the very same request goes through for somebody who may."""
    try:
        attempt.send(client)
    except ImpactRefused:
        raise
    except RequestError as error:
        return judge.control(False, f"{who} tries to {attempt.what}: {error}")  # noqa: FBT003
    return True


def _judge_by_review(
    judge: Judge, persona: Persona, attempt: Attempt, name: str, end: str, error: str, rule: str, remedy: str
) -> None:
    if any(name.lower().startswith("impersonate-") for name in attempt.headers):
        # The review is about the request as the persona itself, who may ask who they are.
        judge.unsure(name, f"an error is not a denial: {error}")
        return
    may, reason = review(persona, attempt.pair, attempt.namespace)
    if may:
        seen = f"the authoriser let it through ({reason}); it was {end}, which protects nobody"
        judge.bad(name, seen=seen, rule=rule, remedy=remedy or _way_out(reason))
    else:
        judge.unsure(name, f"an error is not a denial: {error}")


def _told(proof: str) -> str:
    return f": {proof}" if proof else ""


def _way_out(reason: str) -> str:
    return grants.remedy(reason) if reason else ""
