"""The control plane's answers: parsed, and judged."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha.errors import TransportError
from pytest_k8sha.probes import control_plane
from pytest_k8sha.probes.control_plane import Endpoint, Health, parse_health

READY = "[+]ping ok\n[+]etcd ok\n[+]informer-sync ok\n[+]shutdown ok\n"
LIVE = "[+]ping ok\n[+]etcd ok\n"
ONE, TWO = Endpoint("10.0.0.1", 6443, "https://a"), Endpoint("10.0.0.2", 6443, "https://b")
NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z


def said(ready: Any = READY, live: Any = LIVE) -> dict[tuple[str, str], Any]:
    """What two servers said: the first that all is well, the second as given."""
    answers: dict[tuple[str, str], Any] = {}
    for path, good, other in (("/readyz", READY, ready), ("/livez", LIVE, live)):
        answers["10.0.0.1", path] = parse_health(good, ok=True)
        answers["10.0.0.2", path] = parse_health(other, ok="[-]" not in other) if isinstance(other, str) else other
    return answers


def breaches(answers: dict[tuple[str, str], Any]) -> list[tuple[str, str]]:
    return [(s.subject, s.seen) for s in control_plane.judge_health([ONE, TWO], answers) if not s.ok]


def test_all_is_well() -> None:
    """Two servers that say ok to everything are four subjects that pass."""
    assert not breaches(said())


def test_a_failed_check_is_named() -> None:
    """[-] is a breach, with the server, the path and the check."""
    text = READY.replace("[+]etcd ok", "[-]etcd failed: reason withheld")
    assert breaches(said(text)) == [("API server 10.0.0.2:6443 /readyz", "etcd failed: reason withheld")]


def test_an_excluded_check_is_no_pass() -> None:
    """The server answers 200 and says that it left a check out: that is a breach."""
    assert breaches(said(READY.replace("[+]etcd ok", "[+]etcd excluded: ok")))[0][1] == "etcd is excluded"


def test_a_check_that_is_not_asked_is_noticed() -> None:
    """A server that asks less than its neighbour, or less than is essential, is a breach."""
    assert breaches(said(READY.replace("[+]shutdown ok\n", "")))[0][1] == "shutdown is not asked, and is elsewhere"
    everywhere = dict.fromkeys((("10.0.0.1", "/readyz"), ("10.0.0.2", "/readyz")), parse_health("[+]ping ok", ok=True))
    assert len(breaches({**said(), **everywhere})) == 2


def test_a_server_out_of_reach_is_a_breach_and_no_server_is_not() -> None:
    """One of two that cannot be reached is a finding; when none can, it is this machine's view that is wrong."""
    lost = TransportError("timeout", method="GET", path="/readyz", cause="x")
    answers = said(lost, lost)
    assert [subject for subject, _ in breaches(answers)] == [
        "API server 10.0.0.2:6443 /readyz",
        "API server 10.0.0.2:6443 /livez",
    ]
    assert control_plane.reachable(answers)
    assert not control_plane.reachable(dict.fromkeys(answers, lost))


def test_an_answer_without_checks_is_a_breach() -> None:
    """A proxy that answers 'ok' to everything has proved nothing: no check was seen."""
    assert len(breaches({key: parse_health("ok", ok=True) for key in said()})) == 4


@given(st.text(max_size=200))
def test_any_text_is_parsed(text: str) -> None:
    """Whatever a server says, nothing raises, and no check is both failed and excluded."""
    found: Health = parse_health(text, ok=True)
    assert not set(found.failed) & set(found.excluded)


def lease(name: str, seconds: float | None, address: str = "", duration: int = 3600) -> dict[str, Any]:
    from datetime import UTC, datetime

    stamp = datetime.fromtimestamp(NOW - seconds, UTC).isoformat() if seconds is not None else None
    notes = {control_plane.PEER: f"{address}:6443"} if address else {}
    return {
        "metadata": {"name": name, "annotations": notes, "labels": {"kubernetes.io/hostname": "h"}},
        "spec": {"renewTime": stamp, "leaseDurationSeconds": duration, "holderIdentity": f"{name}_1"},
    }


def identities(*leases: dict[str, Any]) -> list[tuple[str, bool | None]]:
    return [(s.subject, s.ok) for s in control_plane.judge_identities([ONE, TWO], list(leases), NOW)]


def test_leases_are_fresh_or_stale_by_their_renewals() -> None:
    """A Lease is valid for an hour and renewed every ten seconds: after three missed renewals its server is gone."""
    assert identities(lease("a", 5), lease("b", 29)) == [("Lease a", True), ("Lease b", True)]
    assert ("Lease b", False) in identities(lease("a", 5), lease("b", 31))
    assert ("Lease b", False) in identities(lease("a", 5), lease("b", None))


def test_a_lease_from_the_future_is_fresh() -> None:
    """The server's time is known to the second only, so a renewal may seem to lie ahead."""
    assert identities(lease("a", -0.9), lease("b", 0)) == [("Lease a", True), ("Lease b", True)]


def test_servers_and_leases_are_counted_where_they_cannot_be_paired() -> None:
    """Two endpoints and one fresh Lease: one of them writes nothing."""
    assert identities(lease("a", 1)) == [("Lease a", True), ("API servers", False)]
    assert identities() == [("API servers", False)]


def test_servers_and_leases_are_paired_by_address() -> None:
    """Where Leases say whose they are, the endpoint without one is named, and so is a server that is not listed."""
    assert identities(lease("a", 1, "10.0.0.1"), lease("b", 1, "10.0.0.9")) == [
        ("Lease a", True),
        ("Lease b", True),
        ("API server 10.0.0.2:6443", False),
        ("API server 10.0.0.9", False),
    ]


def test_leaders() -> None:
    """A missing Lease, a holder that stopped renewing and a lease that is too long are breaches, each told apart."""
    cases = {
        "there is no Lease": None,
        "nobody leads (last renewed 16 s ago)": lease("x", 16, duration=15),
        "after 60 s at the earliest": lease("x", 1, duration=60),
        "x_1 leads, renewed 2 s ago": lease("x", 2, duration=15),
    }
    for text, given_ in cases.items():
        (seen,) = control_plane.judge_leaders({"kube-scheduler": given_}, NOW)
        assert text in seen.seen
        assert seen.ok is text.startswith("x_1")


def test_three_members_or_more() -> None:
    """None is a breach as well: then the cluster advertises no API server to its own pods."""
    for count, ok in ((0, False), (1, False), (2, False), (3, True), (5, True)):
        (seen,) = control_plane.judge_number([ONE] * count)
        assert seen.ok is ok
