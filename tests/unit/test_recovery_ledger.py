"""The write ledger: what is on the disk before a write is sent, and what it says afterwards was lost."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import EnvironmentFailure, Inconclusive, UsageError
from pytest_k8sha.model import Verdict
from pytest_k8sha.probes.interval import Interval
from pytest_k8sha.recovery.ledger import Attempt, Ledger, Outcome
from pytest_k8sha.recovery.loss import Reading
from pytest_k8sha.recovery.objective import verdict
from pytest_k8sha.recovery.stores import DbApi, HttpStore, SqlRefused, SqlStore
from pytest_k8sha.recovery.writer import LedgerWriter, Record


@dataclass(frozen=True)
class Fate:
    """One write of a generated history. ``taken``: whether the store has it at all; ``done`` is when, between sending
    and answer, as a share; the rest is what happens to it later."""

    outcome: Outcome
    taken: bool
    done: float
    twice: bool
    changed: bool
    dropped: bool


fates = st.builds(
    Fate,
    st.sampled_from(list(Outcome)),
    st.booleans(),
    st.floats(0, 1),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)


def history(plan: list[Fate], lag: list[float]) -> tuple[Ledger, list[float]]:
    """A ledger of writes a second apart that take ``lag`` seconds each, and when the store took each of them."""
    attempts, moments = [], []
    for number, (fate, seconds) in enumerate(zip(plan, lag, strict=True), 1):
        payload = str(number).encode()
        attempts.append(
            Attempt(number, sha256(payload).hexdigest(), "", float(number), fate.outcome, number + seconds, payload)
        )
        moments.append(number + seconds * fate.done)
    return Ledger(Path("generated"), "w", attempts, boot="", fd=-1), moments


@given(st.lists(fates, min_size=1, max_size=12), st.lists(st.integers(100, 110), max_size=3), st.integers(0, 2))
def test_every_write_is_sorted_rightly(plan: list[Fate], odd: list[int], strangers: int) -> None:
    """Lost, recovered, unexpected, contradicted, duplicate and corrupt are what was done to the store, whatever it
    was; and a store that lost or altered anything is not clean."""
    ledger, _ = history(plan, [0.5] * len(plan))
    there: list[Record] = [Record(number, b"?") for number in odd] + [Record(None, b"?")] * strangers
    kept: dict[int, Fate] = {}
    for number, fate in enumerate(plan, 1):
        has = (fate.outcome is Outcome.OK or fate.taken) and not fate.dropped
        if has:
            payload = b"changed" if fate.changed else str(number).encode()
            there += [Record(number, payload)] * (2 if fate.twice else 1)
            kept[number] = fate
    acknowledged = {n for n, f in enumerate(plan, 1) if f.outcome is Outcome.OK}
    if not acknowledged:
        with pytest.raises(Inconclusive):
            ledger.compare(there)
        return
    loss = ledger.compare(there)
    assert loss.acknowledged == len(acknowledged)
    assert set(loss.lost) == acknowledged - set(kept)
    assert set(loss.corrupt) == {n for n, f in kept.items() if f.changed}
    assert set(loss.recovered) == {n for n, f in kept.items() if f.outcome is Outcome.INFO and not f.changed}
    assert set(loss.contradicted) == {n for n, f in kept.items() if f.outcome is Outcome.FAIL}
    assert set(loss.duplicate) == {n for n, f in kept.items() if f.twice} | {
        n for n, t in Counter(odd).items() if t > 1
    }
    assert set(loss.unexpected) == set(odd)
    assert loss.strangers == strangers
    assert set(loss.ok) == acknowledged - set(loss.lost) - set(loss.corrupt)
    harmless = all(
        not (f.dropped and f.outcome is Outcome.OK)
        and not (n in kept and (f.changed or f.twice or f.outcome is Outcome.FAIL))
        for n, f in enumerate(plan, 1)
    )
    assert loss.clean == (harmless and not odd and not strangers)
    assert (loss.bound is None) == bool(loss.lost or loss.corrupt)


@given(
    st.lists(st.tuples(st.floats(0, 1), st.floats(0.001, 3)), min_size=2, max_size=15),
    st.floats(0.5, 17),
    st.floats(0, 1),
)
def test_the_interval_holds_the_point_that_the_store_went_back_to(
    writes: list[tuple[float, float]], point: float, width: float
) -> None:
    """A store that goes back to a moment loses what it took later. The measured RPO holds the true one, also with
    several writes on their way at once; it is a rollback, so there is no hole."""
    plan = [Fate(Outcome.OK, True, share, False, False, False) for share, _ in writes]
    ledger, moments = history(plan, [seconds for _, seconds in writes])
    inject = Interval(20.0, 20.0 + width)
    there = [Record(n, str(n).encode()) for n, moment in enumerate(moments, 1) if moment <= point]
    loss = ledger.compare(there)
    measured = loss.rpo(inject)
    if len(there) == len(plan):
        assert measured.lo == 0
        assert measured.hi >= inject.hi - max(a.settled or 0 for a in ledger.attempts.values())
    else:
        assert measured.lo <= inject.lo - point + 1e-9
        assert measured.hi >= inject.hi - point - 1e-9
    assert not loss.holes
    if not there:
        assert measured.hi == float("inf")


def test_a_hole_is_told_apart_from_a_rollback() -> None:
    """A lost write with a survivor that was begun after its acknowledgement is a hole, and the prefix ends there."""
    plan = [Fate(Outcome.OK, True, 1.0, False, False, False)] * 5
    ledger, _ = history(plan, [0.5] * 5)
    loss = ledger.compare([Record(n, str(n).encode()) for n in (1, 3, 4, 5)])
    assert (loss.lost, loss.holes, loss.altered) == ([2], [2], True)
    assert loss.rpo(Interval(10, 10)) == Interval(10 - 2.5, 10 - 1)


def test_what_was_written_after_the_fault_makes_no_hole() -> None:
    """A rollback, and a writer that goes on afterwards: the lost writes are no holes; with no fault named they are."""
    plan = [Fate(Outcome.OK, True, 1.0, False, False, False)] * 6
    ledger, _ = history(plan, [0.5] * 6)
    there = [Record(n, str(n).encode()) for n in (1, 2, 5, 6)]
    assert ledger.compare(there, inject=Interval(4.8, 4.9)).holes == []
    assert ledger.compare(there).holes == [3, 4]
    assert ledger.compare(there, inject=Interval(4.8, 4.9)).rpo(Interval(4.8, 4.9)) == Interval(4.8 - 3.5, 4.9 - 2)


def test_a_loss_after_the_fault_moves_the_end_of_the_window() -> None:
    """A store that acknowledges while it is already lost does not get away with an RPO of nought."""
    plan = [Fate(Outcome.OK, True, 1.0, False, False, False)] * 5
    ledger, _ = history(plan, [0.5] * 5)
    loss = ledger.compare([Record(n, str(n).encode()) for n in (1, 2, 3)])
    assert loss.rpo(Interval(3.6, 3.7)) == Interval(5.5 - 4.5, 5.5 - 3)
    assert verdict(loss.rpo(Interval(3.6, 3.7)), 0.5) is Verdict.FAILED


def test_a_write_that_shows_late_is_stale() -> None:
    """Acknowledged before a look began, missing in it, there at the end."""
    plan = [Fate(Outcome.OK, True, 1.0, False, False, False)] * 3
    ledger, _ = history(plan, [0.5] * 3)
    everything = [Record(n, str(n).encode()) for n in (1, 2, 3)]
    loss = ledger.compare(everything, [Reading(2.6, (everything[0],)), Reading(3.2, tuple(everything[:2]))])
    assert (loss.stale, loss.clean) == ([2], False)


def test_nothing_lost_of_few_proves_little() -> None:
    """The bound is the rule of three: 0 of 30 leaves up to a tenth."""
    plan = [Fate(Outcome.OK, True, 1.0, False, False, False)] * 30
    ledger, _ = history(plan, [0.5] * 30)
    loss = ledger.compare([Record(n, str(n).encode()) for n in range(1, 31)])
    assert loss.bound == pytest.approx(0.1)
    assert "at most 0.1" in str(loss)


@given(st.floats(0, 1e6), st.floats(0, 1e6), st.floats(0, 1e6))
def test_an_interval_is_judged_as_a_whole(a: float, b: float, target: float) -> None:
    """Passed only below, failed only above, else inconclusive."""
    interval = Interval(min(a, b), max(a, b))
    assert (verdict(interval, target) is Verdict.PASSED) == (max(a, b) <= target)
    assert (verdict(interval, target) is Verdict.FAILED) == (min(a, b) > target)


class Memory:
    """A store in this process that notes what the ledger's file held at each write."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.there: dict[int, bytes] = {}
        self.lines: list[list[dict[str, Any]]] = []

    def write(self, seq: int, payload: bytes) -> Outcome:
        self.lines.append([json.loads(line) for line in self.path.read_text().splitlines()])
        self.there[seq] = payload
        return Outcome.OK

    def read(self) -> list[Record]:
        return [Record(seq, payload) for seq, payload in self.there.items()]


def test_the_invoke_is_on_the_disk_before_the_write_is_sent(tmp_path: Path) -> None:
    """When the store is asked, the file names the attempt with its hash and not yet an outcome; the hashes chain."""
    path = tmp_path / "ledger.jsonl"
    store = Memory(path)
    ledger = Ledger.open(path, "east")
    for _ in range(3):
        with ledger.write("x" * 10) as attempt:
            attempt.outcome = store.write(attempt.seq, attempt.payload)
    for seq, lines in enumerate(store.lines, 1):
        assert lines[-1]["op"] == "invoke"
        assert (lines[-1]["seq"], lines[-1]["hash"]) == (seq, sha256(store.there[seq]).hexdigest())
    assert all(json.loads(b)["prev"] == sha256(a).hexdigest() for a, b in pairwise(store.there.values()))
    assert ledger.compare(store.read()).clean
    ledger.close()


def test_a_killed_writer_leaves_info_and_the_ledger_goes_on(tmp_path: Path) -> None:
    """An attempt without outcome, the last line cut short: it counts as unknown, and the numbers continue."""
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger.open(path, "east")
    with ledger.write() as attempt:
        attempt.outcome = Outcome.OK
    with ledger.write() as attempt:
        attempt.outcome = Outcome.OK
    ledger.close()
    whole = path.read_text().splitlines()
    path.write_text("\n".join(whole[:-1]) + "\n" + whole[-1][:9])
    again = Ledger.open(path, "east")
    assert [a.outcome for a in again.attempts.values()] == [Outcome.OK, Outcome.INFO]
    with again.write() as attempt:
        assert attempt.seq == 3
        assert attempt.previous == again.attempts[2].payload_hash
    again.close()
    assert [a.seq for a in Ledger.open(path, "east").attempts.values()] == [1, 2, 3]


def test_an_error_in_the_block_is_info_and_goes_on(tmp_path: Path) -> None:
    """Whatever breaks a write off, it may have happened."""
    ledger = Ledger.open(tmp_path / "ledger.jsonl")

    def broken_off() -> None:
        with ledger.write() as attempt:
            attempt.outcome = Outcome.OK
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    assert ledger.attempts[1].outcome is Outcome.INFO
    ledger.close()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('{"op":"ledger","writer":"west","boot":""}\n', "another writer"),
        ('{"op":"ledger","writer":"east","boot":"long ago"}\n', "before this machine was started"),
        ('{"kind":"run"}\n', "no line of a ledger"),
        ('{"op":"ok","seq":7,"at":1}\n', "no line of a ledger"),
        ("hello\n", "names no writer"),
    ],
)
def test_a_file_that_is_no_ledger_of_this_writer_is_refused(tmp_path: Path, text: str, says: str) -> None:
    """Nothing is written to it."""
    path = tmp_path / "ledger.jsonl"
    path.write_text(text)
    with pytest.raises(UsageError, match=says):
        Ledger.open(path, "east")
    assert path.read_text() == text


def test_nothing_is_sent_when_the_ledger_cannot_be_written(tmp_path: Path) -> None:
    """The store is never asked once the disk says no."""
    ledger = Ledger.open(tmp_path / "ledger.jsonl")
    ledger.close()
    store = Memory(ledger.path)
    with pytest.raises(EnvironmentFailure, match="nothing may be sent"):
        with ledger.write() as attempt:
            store.write(attempt.seq, attempt.payload)
    assert not store.there


def test_the_background_writer_goes_on_while_a_write_hangs(tmp_path: Path) -> None:
    """A write that does not come back holds up itself alone; errors are info; all is settled when it has stopped."""
    gate = threading.Event()

    class Hanging(Memory):
        def write(self, seq: int, payload: bytes) -> Outcome:
            if seq == 2:
                gate.wait(60)
            if seq == 3:
                raise Inconclusive("no answer")
            return super().write(seq, payload)

    ledger = Ledger.open(tmp_path / "ledger.jsonl")
    store = Hanging(ledger.path)
    with LedgerWriter(ledger, store, rate=200, threads=3) as writer:
        eventually(lambda: len(store.there) > 10, what="later writes are through")
        assert 2 not in store.there
        gate.set()
    writer.stop()
    loss = ledger.compare(store.read())
    assert 3 not in store.there
    assert ledger.attempts[3].outcome is Outcome.INFO
    assert loss.clean
    assert loss.acknowledged == len(ledger.attempts) - 1


def test_a_broken_off_writer_is_told(tmp_path: Path) -> None:
    """When the ledger cannot be written any more the measurement has a gap, and nobody may take it for calm."""
    ledger = Ledger.open(tmp_path / "ledger.jsonl")
    store = Memory(ledger.path)

    def write_and_close() -> None:
        with LedgerWriter(ledger, store, rate=200, threads=2) as writer:
            eventually(lambda: store.there, what="a write")
            ledger.close()
            eventually(lambda: not any(t.is_alive() for t in writer._threads), what="the threads have ended")

    with pytest.raises(Inconclusive, match="broke off"):
        write_and_close()


def test_a_table_of_a_real_database(tmp_path: Path) -> None:
    """Rows come back as they were written; what the database refuses is *fail*, what it cannot say is *info*."""
    place = tmp_path / "base.sqlite"
    sql = DbApi(lambda: sqlite3.connect(place), error=sqlite3.Error, refused=[sqlite3.IntegrityError])
    store = SqlStore(sql, "ledger")
    store.prepare()
    ledger = Ledger.open(tmp_path / "ledger.jsonl")
    for _ in range(5):
        with ledger.write() as attempt:
            attempt.outcome = store.write(attempt.seq, attempt.payload)
    assert ledger.compare(store.read()).clean
    sql("DELETE FROM ledger WHERE seq = 4")
    sql("UPDATE ledger SET payload = 'x' WHERE seq = 2")
    sql("INSERT INTO ledger SELECT seq, payload FROM ledger WHERE seq = 1")
    loss = ledger.compare(store.read())
    assert (loss.lost, loss.corrupt, loss.duplicate, loss.holes) == ([4], [2], [1], [4])
    sql("CREATE UNIQUE INDEX one ON ledger (seq, payload) WHERE seq > 2")
    assert store.write(3, ledger.attempts[3].payload) is Outcome.FAIL
    sql("DROP TABLE ledger")
    assert store.write(9, b"") is Outcome.INFO
    with pytest.raises(Inconclusive):
        store.read()
    with pytest.raises(SqlRefused):
        DbApi(lambda: sqlite3.connect(place), error=sqlite3.Error, refused=[sqlite3.Error])("SELECT nothing")
    with pytest.raises(UsageError):
        SqlStore(sql, "ledger; DROP TABLE users")


def test_an_http_service(tmp_path: Path) -> None:
    """2xx is *ok*, a refusal *fail*, a 5xx and a connection that breaks *info*; nobody listening is *fail*."""
    kept: dict[str, str] = {}

    class Service(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            number = self.path.rpartition("/")[2]
            content = self.rfile.read(int(self.headers["Content-Length"])).decode()
            status = {"3": 403, "4": 503}.get(number, 204)
            if number == "5":
                self.close_connection = True
                return
            if status == 204:
                kept[number] = content
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def do_GET(self) -> None:
            body = json.dumps(kept).encode()
            self.send_response(200 if self.path == "/store" else 404)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: Any) -> None:
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Service)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}/store"
    try:
        store = HttpStore(url)
        ledger = Ledger.open(tmp_path / "ledger.jsonl")
        for _ in range(6):
            with ledger.write() as attempt:
                attempt.outcome = store.write(attempt.seq, attempt.payload)
        words = [str(a.outcome) for a in ledger.attempts.values()]
        assert words == ["ok", "ok", "fail", "info", "info", "ok"]
        assert ledger.compare(store.read()).clean
        with pytest.raises(Inconclusive, match="404"):
            HttpStore(url + "/elsewhere").read()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    assert store.write(7, b"") is Outcome.FAIL
    with pytest.raises(Inconclusive):
        store.read()
    with pytest.raises(UsageError):
        HttpStore("ftp://somewhere")
