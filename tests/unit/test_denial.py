"""Attribution of denials, by messages taken from kube-apiserver 1.36.3."""

from __future__ import annotations

import pytest

from pytest_k8sha.checks.denial import attribute, expect_denied
from pytest_k8sha.checks.judge import Judge
from pytest_k8sha.errors import ApiError, ImpactRefused, TransportError
from pytest_k8sha.model import Verdict

REAL = [
    (
        'secrets is forbidden: User "acme-admin" cannot list resource "secrets" in API group "" in the namespace "g"',
        "RBAC",
        "acme-admin",
    ),
    ('forbidden: User "acme-admin" cannot get path "/metrics"', "RBAC", "acme-admin"),
    (
        'nodes is forbidden: User "acme-admin" cannot impersonate-on:user-info:list resource "nodes" in API group ""',
        "RBAC",
        "acme-admin",
    ),
    (
        (
            'rolebindings.rbac.authorization.k8s.io "x" is forbidden: user "acme-admin" (groups=["acme:admins" '
            '"system:authenticated"]) is attempting to grant RBAC permissions not currently held:\n{APIGroups:["*"]}'
        ),
        "escalation",
        "acme-admin",
    ),
    (
        (
            'pods "p" is forbidden: exceeded quota: compute, requested: requests.cpu=6, used: requests.cpu=0, limited: '
            "requests.cpu=4"
        ),
        "quota",
        "compute",
    ),
    (
        'pods "p" is forbidden: failed quota: compute: must specify limits.cpu for: c',
        "quota, unspecified request",
        "compute",
    ),
    (
        'pods "p" is forbidden: pod node label selector conflicts with its namespace node label selector',
        "PodNodeSelector",
        "node label selector",
    ),
    (
        'pods "p" is forbidden: pod node label selector labels conflict with its namespace whitelist',
        "PodNodeSelector",
        "node label selector",
    ),
    (
        'pods "p" is forbidden: maximum cpu usage per Container is 2, but limit is 100',
        "LimitRange",
        "maximum cpu",
    ),
    (
        (
            'pods "p" is forbidden: [maximum cpu usage per Container is 2, but limit is 9, maximum memory usage per '
            "Container is 1Gi, but limit is 2Gi]"
        ),
        "LimitRange",
        "maximum cpu",
    ),
    (
        'pods "p" is forbidden: cpu max limit to request ratio per Container is 10, but provided ratio is 200.000000',
        "LimitRange",
        "cpu max limit to request ratio",
    ),
    (
        (
            'pods "p" is forbidden: violates PodSecurity "restricted:latest": privileged (container "c" must not set '
            "securityContext.privileged=true)"
        ),
        "PodSecurity",
        "restricted:latest",
    ),
    (
        (
            "deployments.apps \"d\" is forbidden: ValidatingAdmissionPolicy 'no-privileged' with binding 'b' "
            "denied request: privileged containers are not allowed: i"
        ),
        "ValidatingAdmissionPolicy",
        "no-privileged",
    ),
    (
        'admission webhook "validation.gatekeeper.sh" denied the request: [must-have-owner] missing label',
        "webhook",
        "validation.gatekeeper.sh",
    ),
]


def _error(message: str, status: int = 403, reason: str = "Forbidden") -> ApiError:
    return ApiError(status, method="POST", path="/api/v1/pods", reason=reason, message=message)


@pytest.mark.parametrize(("message", "by", "name"), REAL, ids=[f"{by}-{i}" for i, (_, by, _n) in enumerate(REAL)])
def test_who_refused_is_read_from_the_servers_words(message: str, by: str, name: str) -> None:
    """Each real message is attributed to whoever sent it, with the name it gave."""
    denial = attribute(_error(message))
    assert denial
    assert (denial.by, denial.name) == (by, name)


@pytest.mark.parametrize("status", [400, 401, 404, 409, 422, 429, 500, 503])
def test_no_other_status_is_a_denial(status: int) -> None:
    """A status other than 403 is no denial, even with the words of one."""
    assert attribute(_error(REAL[0][0], status, "Other")) is None


def test_a_policy_may_answer_invalid() -> None:
    """A ValidatingAdmissionPolicy may answer 422 and names itself; nobody else may."""
    message = "pods \"p\" is forbidden: ValidatingAdmissionPolicy 'labels' with binding 'b' denied request: no"
    assert attribute(_error(message, 422, "Invalid")) is not None
    assert attribute(_error(REAL[4][0], 422, "Invalid")) is None


def test_text_that_a_tenant_wrote_is_not_taken_for_a_refusal() -> None:
    """A policy's message, or a name, that holds the words of another plugin does not change who refused."""
    denial = attribute(
        _error(
            "pods \"p\" is forbidden: ValidatingAdmissionPolicy 'labels' with binding 'b' denied request: "
            'bad value: violates PodSecurity "x", exceeded quota: y'
        )
    )
    assert denial
    assert denial.by == "ValidatingAdmissionPolicy"
    assert attribute(_error('the value is wrong: User "x" cannot get resource "y"')) is None


def test_forbidden_for_an_unknown_reason_is_nobodys_denial() -> None:
    """A 403 that names nobody known is not attributed."""
    assert attribute(_error('pods "p" is forbidden: error looking up service account a/b')) is None


def test_a_refused_upgrade_comes_without_words() -> None:
    """The second authorisation of exec over WebSocket says nothing; anywhere else silence is nobody's denial."""
    message = 'pods "web" is forbidden: '
    exec_ = ApiError(403, method="GET", path="/api/v1/namespaces/a/pods/web/exec", reason="Forbidden", message=message)
    assert attribute(exec_) is not None
    assert attribute(_error(message)) is None


def test_expect_denied_tells_the_four_ends_apart() -> None:
    """Denied as expected, denied by another, an error, and a success are four different findings."""
    judge = Judge()
    with expect_denied(judge, "expected", by="RBAC"):
        raise _error(REAL[0][0])
    with expect_denied(judge, "another", by="RBAC"):
        raise _error(REAL[4][0])
    with expect_denied(judge, "named", by=("RBAC", "quota"), naming="compute"):
        raise _error(REAL[4][0])
    with expect_denied(judge, "misnamed", by="quota", naming="objects"):
        raise _error(REAL[4][0])
    with expect_denied(judge, "missing", by="RBAC"):
        raise _error("not found", 404, "NotFound")
    with expect_denied(judge, "silent", by="RBAC"):
        raise TransportError("timeout", method="GET", path="/", cause="slow")
    with expect_denied(judge, "open", by="RBAC", allowed=lambda: "it went through"):
        pass
    assert [(f.subject, f.verdict) for f in judge.findings] == [
        ("expected", Verdict.PASSED),
        ("another", Verdict.INCONCLUSIVE),
        ("named", Verdict.PASSED),
        ("misnamed", Verdict.INCONCLUSIVE),
        ("missing", Verdict.INCONCLUSIVE),
        ("silent", Verdict.INCONCLUSIVE),
        ("open", Verdict.FAILED),
    ]
    assert judge.findings[-1].seen == "it went through"


def test_a_request_that_was_never_sent_is_not_judged() -> None:
    """A request above the ceiling is not a denial by the cluster; the check ends there."""
    with pytest.raises(ImpactRefused), expect_denied(Judge(), "x", by="RBAC"):
        raise ImpactRefused("above the ceiling")
