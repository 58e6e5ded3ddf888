"""The impact guard: what each request would do, and that nothing above the ceiling is let through."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha.errors import ImpactRefused
from pytest_k8sha.model import LABEL_RUN, Impact, Run
from pytest_k8sha.safety import journal
from pytest_k8sha.safety.guard import CONNECTING, Guard, Target

RUN = Run(id="r1", owner="me", expires=1)
METHODS = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]

names = st.from_regex(r"[a-z]([a-z0-9-]{0,8}[a-z0-9])?", fullmatch=True)
plurals = st.sampled_from(["pods", "secrets", "nodes", "namespaces", "deployments", "clusterroles", "widgets"])
groups = st.sampled_from(["", "apps", "rbac.authorization.k8s.io", "example.com"])
subresources = st.sampled_from(["", "status", "scale", "eviction", "finalize", *sorted(CONNECTING)])


def guard(ceiling: Impact = Impact.DISRUPT, **more: Any) -> Guard:
    """A guard that knows the namespace ``mine`` as the run's own, and no other."""
    return Guard(cluster="east", ceiling=ceiling, run=RUN, namespaces={"mine"}, look=lambda _: None, **more)


@st.composite
def targets(draw: st.DrawFn) -> Target:
    """Targets that the API server could have, `namespaces` among the kinds only where it is the kind itself."""
    plural = draw(plurals)
    namespace = draw(st.one_of(st.just(""), st.just("mine"), names)) if plural != "namespaces" else ""
    name = draw(st.one_of(st.just(""), names))
    sub = draw(subresources) if name else ""
    return Target(draw(groups), "v1", plural, namespace, name, sub)


def path_of(target: Target) -> str:
    base = f"/apis/{target.group}/{target.version}" if target.group else f"/api/{target.version}"
    place = f"/namespaces/{target.namespace}" if target.namespace else ""
    return "/".join(filter(None, [base + place, target.resource, target.name, target.subresource]))


@given(targets())
def test_a_path_is_read_as_the_server_reads_it(target: Target) -> None:
    """Every path that names an object, a collection or a subresource gives back just that."""
    if target.resource == "namespaces" and target.subresource not in {"", "status", "finalize"}:
        return  # the server reads it as a kind inside of the namespace
    assert Target.of(path_of(target)) == target


@given(targets(), st.sampled_from(METHODS), st.booleans(), st.booleans())
def test_the_impact_of_every_verb_on_every_path(target: Target, method: str, dry: bool, body: bool) -> None:
    """Reading is observe unless it reaches through; a dry run is rehearse; a write to somebody else's is disrupt."""
    query = {"dryRun": "All"} if dry else None
    content = {"kind": "DeleteOptions", "apiVersion": "v1"} if body else None
    found = guard().impact(method, path_of(target), query, content)
    target = Target.of(path_of(target))
    connecting = target.subresource in CONNECTING
    own = target.namespace == "mine" or (target.resource == "namespaces" and not target.group and target.name == "mine")
    own = own or (method == "POST" and not target.name and (target.group, target.resource) == ("", "namespaces"))
    really_dry = dry and not (method == "DELETE" and body)
    if method in {"GET", "HEAD", "OPTIONS"} and not connecting:
        assert found is Impact.OBSERVE
    elif really_dry and not connecting:
        assert found is Impact.REHEARSE
    else:
        assert found is (Impact.EXERCISE if own else Impact.DISRUPT)


@given(targets(), st.sampled_from(METHODS), st.sampled_from(list(Impact)), st.booleans())
def test_nothing_above_the_ceiling_is_let_through(target: Target, method: str, ceiling: Impact, dry: bool) -> None:
    """`admit` raises exactly when the impact is above the ceiling, whatever the request is."""
    made, query = guard(ceiling), {"dryRun": "All"} if dry else None
    if made.impact(method, path_of(target), query) > ceiling:
        with pytest.raises(ImpactRefused, match="it was not sent"):
            made.admit(method, path_of(target), query, None)
    else:
        made.admit(method, path_of(target), query, None)


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/namespaces/mine/../other/secrets",
        "/api/v1/namespaces/mine/./secrets",
        "/api/v1/namespaces/mine/..",
        "/api/v1//namespaces/mine/secrets",
        "/api/v1/nodes/n%2Fproxy",
        "/api/v1/namespaces/mine/pods?dryRun=None",
        "/api/v1/namespaces/mine/pods#",
        "/api/v1/namespaces/mine\\pods",
        "/api/v1/namespaces/mine/po ds",
        "api/v1/pods",
        "",
    ],
)
def test_a_path_that_can_be_read_in_two_ways_is_refused(path: str) -> None:
    """The HTTP library and the server read these otherwise than the guard would: never sent."""
    with pytest.raises(ImpactRefused, match="two ways"):
        guard().admit("GET", path, None, None)


def test_a_delete_with_a_body_is_dry_only_when_its_body_says_so() -> None:
    """The server takes a DELETE's options from its body when there is one; ``?dryRun=All`` alone would delete."""
    made, path, dry = guard(Impact.REHEARSE), "/api/v1/namespaces/other/pods/p", {"dryRun": "All"}
    for body in ({}, {"kind": "DeleteOptions"}, {"dryRun": []}, {"dryRun": "All"}, b"{}"):
        with pytest.raises(ImpactRefused):
            made.admit("DELETE", path, dry, body)
    made.admit("DELETE", path, dry, {"dryRun": ["All"]})
    made.admit("DELETE", path, dry, None)


def test_the_method_is_judged_whatever_its_case() -> None:
    """``delete`` is a DELETE for the server, so it is one for the guard."""
    with pytest.raises(ImpactRefused):
        guard(Impact.OBSERVE).admit("delete", "/api/v1/nodes/n", None, None)
    assert guard().admit("post", "/api/v1/namespaces", None, {"metadata": {"name": "x"}}).body["metadata"]["labels"]


@pytest.mark.parametrize("kind", ["selfsubjectaccessreviews", "subjectaccessreviews", "selfsubjectrulesreviews"])
def test_reviews_are_observing_only_as_post(kind: str) -> None:
    """An access review is a question; anything but its POST is none."""
    path = f"/apis/authorization.k8s.io/v1/{kind}"
    assert guard().impact("POST", path) is Impact.OBSERVE
    assert guard().impact("DELETE", path) is Impact.DISRUPT


def test_a_namespace_is_proved_by_its_label_once() -> None:
    """A namespace with the run's label is its own; one with another's, or none, is not; each is looked at once."""
    seen: list[str] = []
    labels = {"ours": {LABEL_RUN: "r1"}, "theirs": {LABEL_RUN: "r2"}, "plain": {}}

    def look(name: str) -> dict[str, Any]:
        seen.append(name)
        return {"metadata": {"labels": labels[name]}}

    made = Guard(cluster="east", ceiling=Impact.EXERCISE, run=RUN, look=look)
    assert [made.owns(name) for name in ("ours", "theirs", "plain") * 2] == [True, False, False] * 2
    assert seen == ["ours", "theirs", "plain"]


def test_what_is_made_is_stamped_and_journalled_before_it_is_sent(tmp_path: Path) -> None:
    """A POST carries run id, owner and expiry, and is in the journal by then; a refusal takes the entry back."""
    path = tmp_path / "journal.jsonl"
    made = guard(journal=journal.Journal(path, run="r1", label="me"), uid="u")
    body = {"kind": "ConfigMap", "apiVersion": "v1", "metadata": {"name": "a"}}
    where = "/api/v1/namespaces/mine/configmaps"
    ticket = made.admit("POST", where, None, body)
    assert ticket.body["metadata"]["labels"] == RUN.labels
    assert "labels" not in body["metadata"]
    (entry,) = journal.read(path).open
    assert (entry.data["path"], entry.data["uid"]) == (f"{where}/a", "u")
    made.settle(ticket, "POST", where, None, refused=True)
    assert journal.read(path).open == []


def test_an_object_of_the_run_in_a_foreign_namespace_can_be_deleted_at_exercise() -> None:
    """What is proved to be the run's own, by label and uid, may be removed wherever it lies; its neighbour may not."""
    made = guard(Impact.EXERCISE)
    made.own.add(("", "configmaps", "default/a"))
    made.admit("DELETE", "/api/v1/namespaces/default/configmaps/a", None, None)
    for path in ("default/configmaps/b", "default/configmaps", "other/configmaps/a", "default/secrets/a"):
        with pytest.raises(ImpactRefused):
            made.admit("DELETE", f"/api/v1/namespaces/{path}", None, None)
