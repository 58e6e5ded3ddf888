"""Attribution of denials: who refused a request, in the server's own words. An error is never a denial."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_k8sha.errors import ApiError, ImpactRefused, RequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_k8sha.checks.judge import Judge

RBAC = "RBAC"

_RULES: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("quota", re.compile(r"exceeded quota: (?P<name>[\w.-]+)")),
    ("quota", re.compile(r"failed quota: (?P<name>[\w.-]+)")),
    ("PodSecurity", re.compile(r'violates PodSecurity "(?P<name>[^"]+)"')),
    ("ValidatingAdmissionPolicy", re.compile(r"ValidatingAdmissionPolicy '(?P<name>[^']+)'")),
    ("webhook", re.compile(r'admission webhook "(?P<name>[^"]+)" denied the request')),
    ("LimitRange", re.compile(r"(?P<name>maximum|minimum) [\w./-]+ usage per \w+|max limit to request ratio")),
    ("NodeRestriction", re.compile(r"is not allowed to .*(?P<name>node)")),
    ("escalation", re.compile(r"is attempting to grant RBAC permissions not currently held(?P<name>)")),
    (
        RBAC,
        re.compile(
            r'(?:User |user |)"?(?P<name>[^"]+)"? cannot [\w:-]+ '
            r"(?:resource|path|users|groups|uids|userextras|serviceaccounts)?"
        ),
    ),
)


@dataclass(frozen=True)
class Denial:
    """``by`` is the authoriser or admission plugin; ``name`` the quota, policy, webhook, level or user it named."""

    by: str
    name: str
    message: str


def attribute(error: ApiError) -> Denial | None:
    """Who denied it; None when this is no denial at all (only a 403 Forbidden is one) or names nobody known.

    The texts are those of kube-apiserver (`responsewriters/errors.go`, the quota, LimitRange and PodSecurity admission
    plugins, `ValidatingAdmissionPolicy` and webhook dispatchers).
    """
    if error.status not in {403, 422} or (error.status == 403 and error.reason not in {"", "Forbidden"}):
        return None
    for by, pattern in _RULES:
        found = pattern.search(error.message)
        if not found:
            continue
        # A policy may be told to answer 422 Invalid (spec.validations[].reason); it still names itself.
        if error.status == 422 and by != "ValidatingAdmissionPolicy":
            continue
        return Denial(by, found.groupdict().get("name") or "", error.message)
    return None


@contextmanager
def expect_denied(judge: Judge, subject: object, *, by: str, naming: str = "", allowed: str = "") -> Iterator[None]:
    """The request inside must be denied by ``by`` (and by the very object ``naming``, where given).

    Denied so: the subject is ok. It succeeds: bad, with ``allowed`` as what was seen. Anything else, such as a 404, a
    500, a time-out or a denial by another plugin, leaves the subject open, since it says nothing about ``by``.
    """
    try:
        yield
    except ImpactRefused:
        raise
    except ApiError as error:
        denial = attribute(error)
        if denial and denial.by == by and naming in denial.name:
            judge.ok(subject, f"denied by {denial.by} {denial.name}".rstrip())
        elif denial:
            judge.unsure(subject, f"denied by {denial.by} {denial.name}, not by {by} {naming}: {denial.message}")
        else:
            judge.unsure(subject, f"an error is not a denial: {error}")
    except RequestError as error:
        judge.unsure(subject, f"an error is not a denial: {error}")
    else:
        judge.bad(subject, seen=allowed or f"the request succeeded; {by} should have denied it")
