"""Probes against servers with outages of exactly known length, over real sockets."""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.outages import KINDS, Server
from benchmarks.probes import prove, reading
from pytest_k8sha import _clock, _process
from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import Inconclusive, UsageError
from pytest_k8sha.model import Verdict
from pytest_k8sha.probes.availability import availability
from pytest_k8sha.probes.sample import Answer, Outcome
from pytest_k8sha.probes.target import Target
from pytest_k8sha.safety import journal as journals

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One process with a port for each test that makes an outage on it."""
    with Server(tmp_path_factory.mktemp("server"), 8) as made:
        yield made


def test_the_interval_holds_outages_of_known_length() -> None:
    """A sample of benchmarks/probes.py: each kind of outage at three lengths lies within [lo, hi], and is recognised
    for what it is."""
    words = {"refused": Outcome.REFUSED, "reset": Outcome.RESET}
    runs = prove([(kind, length) for length in (0.5, 0.12, 0.0) for kind in KINDS], 4, rate=20, timeout=0.2)
    assert [run for run in runs if not run.holds] == []
    for run in runs:
        if run.length > 0.4:
            assert any(words.get(run.kind, Outcome.TIMEOUT) in window.outcomes for window in run.outage.windows)
    assert len(runs) == 12


def test_a_minute_at_full_rate_is_read_in_no_time() -> None:
    """60,000 samples become windows and figures without a walk over pairs of them: far below ten seconds anywhere."""
    assert reading() < 10


def test_no_outage(server: Server) -> None:
    """Nothing fails: the downtime is nothing up to what fits between two samples, and the verdict is passed."""
    with availability(server.url(0), rate=50, objective="longest <= 1s, error_rate <= 0%") as probe:
        eventually(lambda: len(probe.samples()) > 60, timeout=60)
    outage = probe.outage()
    assert (outage.failed, outage.longest.lo, outage.windows) == (0, 0, ())
    assert outage.verdict("longest <= 10s") is Verdict.PASSED
    assert [s.k for s in outage.samples] == list(range(outage.samples[0].k, outage.samples[-1].k + 1))


def test_slow_is_not_down(server: Server) -> None:
    """Answers just below the time-out are successes, and their latency says how slow they were."""
    server.delay(0.8, place=1)
    with availability(server.url(1), rate=10, timeout=5.0) as probe:
        eventually(lambda: len(probe.samples()) > 15, timeout=60)
    outage = probe.outage()
    assert outage.failed == 0
    assert outage.latency(0.5).lo >= 0.8
    assert max(s.done - s.sent for s in outage.samples if s.ok) < 5.0


def test_flaps_are_told_apart(server: Server) -> None:
    """Two outages with a second between them are two windows, each holds its own truth."""
    with availability(server.url(2), rate=20, timeout=0.2) as probe:
        first = server.out("refused", 0.4, place=2)
        eventually(lambda: probe.samples()[-1].sent > first.end[1] + 0.8, timeout=60)
        second = server.out("reset", 0.3, place=2)
        eventually(lambda: probe.samples()[-1].sent > second.end[1] + 0.3, timeout=60)
    windows = probe.outage().windows
    assert len(windows) >= 2
    for truth in (first, second):
        assert any(w.start.lo <= truth.begin[1] and truth.begin[0] <= w.start.hi for w in windows)


def test_a_target_that_is_down_before_is_inconclusive(tmp_path: Path) -> None:
    """No fault is made on what does not answer; who waits for nothing gets no verdict either."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/"
        with pytest.raises(Inconclusive, match=r"never up.*refused"):
            with availability(url, settle=0.3):
                pytest.fail("the block must not begin")
        with availability(url, settle=0, objective="downtime <= 5s") as probe:
            eventually(lambda: len(probe.samples()) > 3, timeout=60)
    outage = probe.outage()
    assert outage.never_up
    assert outage.verdict() is Verdict.INCONCLUSIVE


def test_what_an_answer_must_hold(server: Server) -> None:
    """Nonce, word, header and parser: an HTTP 200 that lacks one is a wrong answer; the instance is told."""
    base = server.url(3).partition("?")[0]

    def who(answer: Answer) -> str | None:
        return answer.headers["x-instance"].upper() if "x-" in answer.body else None

    good = [
        (Target(f"{base}?{{nonce}}", instance="header:X-Instance"), "place-3"),
        (Target(f"{base}?x-", parse=who), "PLACE-3"),
        (Target(f"{base}?word", expect="word", instance="body"), "/x?word"),
    ]
    for target, instance in good:
        with availability(target, rate=50) as probe:
            pass
        assert set(probe.outage().instances) == {instance}
    bad = [
        Target(base, headers={"X-Nonce": "{nonce}"}),
        Target(base, expect="word"),
        Target(base, instance="json:pod"),
        Target(base, instance="header:X-Pod"),
        Target(base, parse=who),
    ]
    for target in bad:
        with pytest.raises(Inconclusive, match="wrong answer"):
            with availability(target, settle=0.2):
                pytest.fail("the block must not begin")
    with pytest.raises(Inconclusive, match=r"error \(HTTP 200\)"):
        with availability(Target(base, status=(204,)), settle=0.2):
            pytest.fail("the block must not begin")


def test_tcp_and_what_is_said_over_it(server: Server) -> None:
    """A connection is a success; with something to send, only the right answer is."""
    port = server.ports[4]
    with availability(f"tcp://127.0.0.1:{port}", rate=50) as probe:
        eventually(lambda: len(probe.samples()) > 5, timeout=60)
    assert probe.outage().failed == 0
    request = "GET /{nonce} HTTP/1.1\r\n\r\n"
    with availability(Target(f"tcp://127.0.0.1:{port}", send=request, expect="/{nonce}"), rate=50) as probe:
        eventually(lambda: len(probe.samples()) > 5, timeout=60)
    assert probe.outage().failed == 0
    with pytest.raises(Inconclusive, match="wrong answer"):
        with availability(Target(f"tcp://127.0.0.1:{port}", send=request, expect="PONG"), settle=0.3):
            pytest.fail("the block must not begin")


def dns_answer(query: bytes, code: int, address: bytes) -> bytes:
    """A reply to one question: a code, and an A record with the question's name as a pointer (RFC 1035, 4.1.4)."""
    answers = 0 if code else 1
    head = query[:2] + bytes([0x81, 0x80 | code]) + b"\0\1" + answers.to_bytes(2, "big") + b"\0\0\0\0"
    record = b"\xc0\x0c\0\1\0\1\0\0\0\x1e\0\4" + address
    return head + query[12:] + (record if answers else b"")


def test_dns() -> None:
    """A name is asked for; NXDOMAIN is a failure, another address than the one expected a wrong answer."""
    code = [0]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                try:
                    query, peer = sock.recvfrom(512)
                    sock.sendto(b"\0\0" + query[2:], peer)  # a stray with another id
                    sock.sendto(dns_answer(query, code[0], bytes([10, 0, 0, 7])), peer)
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        url = f"dns://127.0.0.1:{sock.getsockname()[1]}/web.shop.svc.cluster.local"
        with availability(url, rate=20) as probe:
            code[0] = 3
            eventually(lambda: probe.outage().failed > 2, timeout=60)
            code[0] = 0
            eventually(lambda: probe.samples()[-1].ok, timeout=60)
        outage = probe.outage()
        assert set(outage.instances) == {"10.0.0.7"}
        assert "NXDOMAIN" in outage.windows[0].detail
        with pytest.raises(Inconclusive, match="wrong answer"):
            with availability(Target(url, expect="10.0.0.8"), settle=0.3):
                pytest.fail("the block must not begin")


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:80",
        "ftp://host/",
        "http://",
        "tcp://host",
        "http://host:port/",
        "dns://1.1.1.1/",
        "dns://h/x?type=MX",
    ],
)
def test_a_target_that_cannot_be_meant(url: str) -> None:
    """Refused before a process is started."""
    with pytest.raises(UsageError):
        availability(url)


def test_a_rate_or_an_objective_that_cannot_be(tmp_path: Path) -> None:
    """So are rates, time-outs and objectives out of reach, and a file that exists."""
    for options in ({"rate": 0.5}, {"rate": 2000}, {"timeout": 0}, {"rate": 1, "objective": "downtime <= 5s"}):
        with pytest.raises(UsageError):
            availability("http://127.0.0.1/", **options)  # type: ignore[arg-type]
    there = tmp_path / "samples.jsonl"
    there.touch()
    with pytest.raises(UsageError, match="exists already"):
        availability("http://127.0.0.1/", samples=there)


def test_samples_outlive_the_test_and_the_probe_does_not(server: Server, tmp_path: Path) -> None:
    """When the test is killed, the probe ends by itself, its samples are on the disk to the last one, and the folder
    with its order, which may hold keys, is gone."""
    samples, script = tmp_path / "samples.jsonl", tmp_path / "owner.py"
    script.write_text(
        f"import sys, time\nsys.path.insert(0, {str(ROOT)!r})\n"
        "from pytest_k8sha import availability\n"
        f"with availability({server.url(5)!r}, rate=50, samples={str(samples)!r}):\n    time.sleep(600)\n"
    )
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    env = {**os.environ, "TMPDIR": str(temporary)}
    owner = _process.start([sys.executable, script], log=tmp_path / "log", env=env)
    try:
        eventually(lambda: samples.exists() and len(samples.read_text().splitlines()) > 10, timeout=60)
        pid = json.loads(samples.read_text().splitlines()[0])["pid"]
        probe = _process.ProcessId.of(pid)
        assert probe
    finally:
        owner.signal(signal.SIGKILL)
        owner.wait(10)
    assert probe.wait(60)
    lines = [json.loads(line) for line in samples.read_text().splitlines()]
    assert lines[-1]["end"] == "owner gone"
    assert list(temporary.iterdir()) == []


def test_a_probe_that_is_killed_is_noticed(server: Server, tmp_path: Path) -> None:
    """Its samples count until then; what followed is not known, and nothing is passed. The journal has it as gone."""
    journal = journals.Journal(tmp_path / "journal.jsonl", run="r", label="test")
    samples = tmp_path / "samples.jsonl"
    with availability(server.url(6), rate=50, samples=samples, journal=journal, objective="downtime <= 5s") as probe:
        eventually(lambda: len(probe.samples()) > 10, timeout=60)
        (entry,) = journals.read(journal.path).open
        assert (entry.what, entry.data["role"]) == ("process", "probe")
        os.kill(entry.data["pid"], signal.SIGKILL)
    journal.close(clean=True)
    outage = probe.outage()
    assert "died" in outage.broken
    assert outage.verdict() is Verdict.INCONCLUSIVE
    assert len(probe.digest) == 64
    assert journals.read(journal.path).open == []


def test_a_probe_that_was_stopped_says_what_it_missed(server: Server) -> None:
    """Samples that its process slept over are missed, not failed, and the downtime may have been as long as the gap."""
    with availability(server.url(7), rate=50, objective="longest <= 1s", timeout=0.5) as probe:
        eventually(lambda: len(probe.samples()) > 5, timeout=60)
        assert probe._program
        probe._program.signal(signal.SIGSTOP)
        _clock.pause(1.5)
        probe._program.signal(signal.SIGCONT)
        eventually(lambda: len([s for s in probe.samples() if s.ok]) > 20, timeout=60)
    outage = probe.outage()
    assert outage.missed >= 50
    assert outage.failed == 0
    assert outage.longest.hi >= 1.4
    assert outage.verdict() is Verdict.INCONCLUSIVE
