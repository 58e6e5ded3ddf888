"""What comes back from a probe is sorted without guessing: only silence may become a block."""

from __future__ import annotations

import json

import pytest

from pytest_k8sha import _clock
from pytest_k8sha.tenancy.network import look
from pytest_k8sha.tenancy.network.agent import Lane, dial
from pytest_k8sha.tenancy.network.settle import Enforced, verdict
from pytest_k8sha.tenancy.network.table import Ask, Expected, Listener, Outcome, cells
from tests.unit.network_worlds import OTHER, WEB

CELL = cells([OTHER], [Listener(WEB, (("TCP", 8080),))])[0]
UDP_CELL = cells([OTHER], [Listener(WEB, (("UDP", 8080),))])[0]
HTTP_CELL = cells([OTHER], [Listener(WEB, (("TCP", 8080),), ask=Ask.HTTP)])[0]
NONCE = "n0123456789ab"


def _lane(body: str, status: str = "200 OK") -> Lane:
    lane = Lane("/dial", sent=_clock.now())
    raw = f"HTTP/1.1 {status}\r\nContent-Length: {len(body.encode())}\r\n\r\n{body}".encode()
    for i in range(0, len(raw), 7):  # as it may arrive
        assert lane.answered is None
        lane.take(raw[i : i + 7])
    assert lane.body == body
    return lane


def _answer(**parts: list[str]) -> Lane:
    return _lane(json.dumps(parts))


@pytest.mark.parametrize(
    ("lane", "outcome"),
    [
        (_answer(responses=[NONCE]), Outcome.OPEN),
        (_answer(responses=["another nonce"]), Outcome.REACHED),
        (Lane("/dial"), Outcome.BLOCKED),
        (Lane("/dial", problem="the control connection broke"), Outcome.UNSEEN),
        (_answer(errors=["Get: dial tcp 10.0.0.1:80: i/o timeout"]), Outcome.BLOCKED),
        (_answer(errors=["dial tcp 10.0.0.1:80: connect: connection refused"]), Outcome.REFUSED),
        (_answer(errors=["read tcp: connection reset by peer"]), Outcome.REACHED),
        (_answer(errors=["something else"]), Outcome.UNSEEN),
        (_answer(), Outcome.UNSEEN),
        (_lane("lookup web on 10.96.0.10:53: no such host", "400 Bad Request"), Outcome.NO_NAME),
        (_lane("request parameter not specified", "400 Bad Request"), Outcome.UNSEEN),
        (_lane("not JSON"), Outcome.UNSEEN),
    ],
)
def test_outcomes(lane: Lane, outcome: Outcome) -> None:
    """An error of the probe is no observation, a name that is not found no block, an answer from a stranger no echo."""
    assert look.sort(CELL, lane, NONCE).outcome is outcome


SCTP_CELL = cells([OTHER], [Listener(WEB, (("SCTP", 8082),))])[0]


def test_sctp_is_sorted_like_the_others() -> None:
    """In the words of the agent; a kernel without the protocol has shown nothing of the network."""
    assert "protocol=sctp" in look.question(SCTP_CELL, NONCE)
    assert look.sort(SCTP_CELL, _answer(responses=[NONCE]), NONCE).outcome is Outcome.OPEN
    refused = _answer(errors=["sctp dial failed. err:connection refused"])
    assert look.sort(SCTP_CELL, refused, NONCE).outcome is Outcome.REFUSED
    lacking = _answer(errors=["sctp dial failed. err:protocol not supported"])
    assert look.sort(SCTP_CELL, lacking, NONCE).outcome is Outcome.UNSEEN


def test_any_answer_proves_a_connection_where_nothing_can_echo() -> None:
    """A TLS server that answers plain HTTP with an error, or with what is no HTTP at all, was reached."""
    assert look.sort(HTTP_CELL, _answer(responses=["Client sent an HTTP request"]), NONCE).outcome is Outcome.OPEN
    assert look.sort(HTTP_CELL, _answer(errors=["malformed HTTP response"]), NONCE).outcome is Outcome.OPEN
    assert look.sort(UDP_CELL, _answer(errors=["EOF"]), NONCE).outcome is Outcome.UNSEEN


def test_the_servers_log_is_read() -> None:
    """As netexec writes it, for TCP and UDP, with the client's address where it is told; IPv6 as well."""
    text = (
        f"I1 netexec.go:270] GET /echo?msg={NONCE}&code=\n"
        "2026 Echoing n0123456789ac to UDP client 10.244.1.7:53111\n"
        "Echoing n0123456789ad to UDP client [fd00::7]:53111\nGET /dial?host=x&request=echo?msg=nope"
    )
    assert look._ECHOED.findall(text) == [
        (NONCE, ""),
        ("n0123456789ac", "10.244.1.7"),
        ("n0123456789ad", "fd00::7"),
    ]


def test_the_agent_does_not_log_its_own_question_as_an_arrival() -> None:
    """The source's log holds the nonce as well, in the question; only an echo counts."""
    line = f"GET /dial?host=10.0.0.1&protocol=http&port=80&request=echo?msg={NONCE}&tries=1"
    assert look._ECHOED.findall(line) == []


def test_a_dns_question() -> None:
    """Twelve bytes of header, the labels, type A, class IN; and it survives the way through a query string."""
    raw = look.dns_question(NONCE, "svc.cluster.local")
    assert raw[12:26] == b"\x0d" + NONCE.encode()
    assert raw.endswith(b"\x05local\x00\x00\x01\x00\x01")
    assert "%00%01" in dial("10.96.0.10", 53, "udp", raw)


def _probes(*told: tuple[float, bool]) -> list[Lane]:
    lanes = []
    for at, open_ in told:
        lane = _answer(responses=[NONCE]) if open_ else Lane("/dial")
        lane.sent = at
        lanes.append(lane)
    return lanes


def test_the_time_to_enforce_lies_between_two_probes() -> None:
    """After the last that got through, by the first of those that did not; a lost one in between does not count."""
    lanes = _probes((0.0, True), (0.1, False), (0.2, True), (0.3, False), (0.4, False))
    assert verdict(lanes, Expected.BLOCKED, 0.0) == Enforced(0.2, 0.3, 5)
    assert verdict(_probes((0.0, False), (0.1, False)), Expected.BLOCKED, 0.0) == Enforced(0.0, 0.0, 2)
    assert verdict(_probes((0.0, True), (0.1, True)), Expected.BLOCKED, 0.0) == Enforced(0.1, None, 2)
    assert verdict(_probes((0.0, False), (0.1, True)), Expected.OPEN, 0.0) == Enforced(0.0, 0.1, 2)


def test_an_answer_to_a_packet_that_was_sent_again_tells_nothing() -> None:
    """A connection that was begun while the way was closed is made by a later packet: that is not open from then on."""
    lanes = _probes((0.0, True), (0.5, True), (1.0, True))
    for lane, latency in zip(lanes, (1.02, 0.52, 0.01), strict=True):
        lane.answered = lane.sent + latency
    assert verdict(lanes, Expected.OPEN, 0.0, resent=True) == Enforced(0.0, 0.5, 2)
    assert verdict(lanes, Expected.OPEN, 0.0) == Enforced(0.0, 0.0, 3)
