"""Attribution of denials: who refused a request, in the server's own words. An error is never a denial."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_k8sha.errors import ApiError, ImpactRefused, RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_k8sha.checks.judge import Judge

RBAC = "RBAC"
ESCALATION = "escalation"
QUOTA = "quota"
UNSPECIFIED = "quota, unspecified request"
LIMITS = "LimitRange"
POD_SECURITY = "PodSecurity"
POLICY = "ValidatingAdmissionPolicy"
WEBHOOK = "webhook"
NODE = "NodeRestriction"
EXTERNAL_IPS = "DenyServiceExternalIPs"
NODE_SELECTOR = "PodNodeSelector"

ADMISSION = (POD_SECURITY, POLICY, WEBHOOK)
"""Those that judge an object by its content; quota and limits judge its size."""

_QUOTED = r'"(?P<name>(?:[^"\\]|\\.)*)"'

_RULES: tuple[tuple[str, re.Pattern[str]], ...] = (
    (RBAC, re.compile(rf"User {_QUOTED} cannot \S+ (?:resource|path) \"")),
    (ESCALATION, re.compile(rf"user {_QUOTED} .*is attempting to grant RBAC permissions not currently held")),
    (QUOTA, re.compile(r"exceeded quota: (?P<name>[\w.-]+)")),
    (UNSPECIFIED, re.compile(r"failed quota: (?P<name>[\w.-]+)")),
    (LIMITS, re.compile(r"\[?(?P<name>(?:maximum|minimum) [\w./-]+) usage per \w+ is ")),
    (LIMITS, re.compile(r"\[?(?P<name>[\w./-]+ max limit to request ratio) per \w+ is ")),
    (POD_SECURITY, re.compile(rf"violates PodSecurity {_QUOTED}")),
    (POLICY, re.compile(r"ValidatingAdmissionPolicy '(?P<name>[^']+)' with binding '[^']+' denied request")),
    (WEBHOOK, re.compile(rf"admission webhook {_QUOTED} denied the request")),
    (NODE, re.compile(rf"node {_QUOTED} is not allowed to ")),
    (NODE_SELECTOR, re.compile(r"pod (?P<name>node label selector)(?: labels)? conflicts? with its namespace ")),
    (EXTERNAL_IPS, re.compile(r"Use of (?P<name>external IPs) is denied by admission control")),
)

_HEAD = re.compile(r"^(?:[\w.-]+ (?:\"[^\"]*\" )?is )?forbidden: ")
"""What API server puts before the words of whoever refused."""

_UPGRADES = ("/exec", "/attach", "/portforward")
"""A connection that is upgraded by GET is authorised a second time, as *create*; that refusal comes without a word
(since Kubernetes 1.35, `AuthorizePodWebsocketUpgradeCreatePermission`)."""


@dataclass(frozen=True)
class Denial:
    """``by`` is the authoriser or admission plugin; ``name`` the quota, policy, webhook, level or user it named."""

    by: str
    name: str
    message: str

    def __str__(self) -> str:
        return f"{self.by} {self.name}".rstrip()


def attribute(error: ApiError) -> Denial | None:
    """Who denied it; None when this is no denial at all (only a 403 Forbidden is one) or names nobody known.

    The texts are those of kube-apiserver: `responsewriters/errors.go` and the RBAC, quota, LimitRange, PodSecurity,
    NodeRestriction, DenyServiceExternalIPs, `ValidatingAdmissionPolicy` and webhook plugins. They are looked for only
    where the server puts the words of whoever refused, since the rest of a message may hold text that a tenant wrote.
    """
    if error.status not in {403, 422} or (error.status == 403 and error.reason not in {"", "Forbidden"}):
        return None
    words = _HEAD.sub("", error.message, count=1)
    if error.status == 403 and not words and error.path.endswith(_UPGRADES):
        return Denial(RBAC, "", error.message)
    for by, pattern in _RULES:
        found = pattern.match(words)
        if not found:
            continue
        # A policy may be told to answer 422 Invalid (spec.validations[].reason); it still names itself.
        if error.status == 422 and by != POLICY:
            return None
        return Denial(by, found["name"], error.message)
    return None


@contextmanager
def expect_denied(
    judge: Judge,
    subject: object,
    *,
    by: str | tuple[str, ...],
    naming: str = "",
    allowed: str | Callable[[], str] = "",
    rule: str = "",
    remedy: str = "",
) -> Iterator[None]:
    """The request inside must be denied by ``by`` (one of, when several), and by the very object ``naming``.

    Denied so: the subject is ok. It succeeds: bad, with ``allowed`` (or what it returns) as what was seen. Anything
    else, such as a 404, a 500, a time-out or a denial by another plugin, leaves the subject open, since it says nothing
    about ``by``.
    """
    wanted = (by,) if isinstance(by, str) else by
    try:
        yield
    except ImpactRefused:
        raise
    except ApiError as error:
        denial = attribute(error)
        if denial and denial.by in wanted and naming in denial.name:
            judge.ok(subject, f"denied by {denial}")
        elif denial:
            judge.unsure(subject, f"denied by {denial}, not by {' or '.join(wanted)} {naming}: {denial.message}")
        else:
            judge.unsure(subject, f"an error is not a denial: {error}")
    except RequestError as error:
        judge.unsure(subject, f"an error is not a denial: {error}")
    else:
        seen = allowed if isinstance(allowed, str) else allowed()
        judge.bad(
            subject,
            seen=seen or f"the request succeeded; {' or '.join(wanted)} should have denied it",
            rule=rule,
            remedy=remedy,
        )
