"""The record: appending, the hash chain, crashes, damage."""

from __future__ import annotations

import json
import math
import threading
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_k8sha.errors import EnvironmentFailure, UsageError
from pytest_k8sha.model import Run, Severity, Verdict
from pytest_k8sha.record.chain import GENESIS, Record, read, verify

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
DATA = st.dictionaries(st.text(), JSON, max_size=4)


def write(path: Path, notes: int = 5) -> Record:
    with Record(path, run=Run("r1", "me", 0)) as record:
        record.append("run.start", {"argv": ["pytest"]})
        for n in range(notes):
            record.append("note", {"text": f"note {n}", "measured": n / 3})
        record.append("run.end", {"exitstatus": 0, "interrupted": False})
    return record


def test_lines_are_canonical_and_chained(tmp_path: Path) -> None:
    """Each line is RFC 8785 byte for byte, and its hash is what anybody computes without this code."""
    record = write(tmp_path / "record.jsonl")
    prev = GENESIS
    raw_lines = (tmp_path / "record.jsonl").read_bytes().splitlines()
    for seq, raw in enumerate(raw_lines):
        line = json.loads(raw)
        assert rfc8785.dumps(line) == raw
        digest = line.pop("hash")
        assert sha256(rfc8785.dumps(line)).hexdigest() == digest
        assert (line["seq"], line["prev"]) == (seq, prev)
        prev = digest
    assert (record.head, record.length) == (prev, len(raw_lines))


def test_run_start_carries_the_run(tmp_path: Path) -> None:
    """The run's id and owner come from the run where the caller gives none."""
    write(tmp_path / "r")
    assert read(tmp_path / "r").lines[0]["data"] == {"run": "r1", "owner": "me", "argv": ["pytest"]}


@settings(max_examples=60, deadline=None)
@given(st.lists(DATA, max_size=5))
def test_whatever_is_written_reads_back_whole(items: list[dict[str, object]]) -> None:
    """Any data, with NaN, huge numbers and odd text, makes a record that verifies and reads back the same."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "r")
        with Record(path) as record:
            lines = [record.append("note", item) for item in items]
        outcome = verify(path, record.head, record.length)
        assert outcome.ok, outcome.problems
        assert read(path).lines == lines


def test_values_json_cannot_keep_become_text(tmp_path: Path) -> None:
    """Numbers beyond 2^53, NaN, half surrogates, enums, paths and bytes are kept readable instead of refused."""
    with Record(tmp_path / "r") as record:
        data = record.append(
            "note",
            {
                "big": 2**53, "ok": 2**53 - 1, "nan": math.nan, "inf": -math.inf, "float": 2.0**70, "half": "a\udc80",
                "severity": Severity.HIGH, "verdict": Verdict.PASSED, "path": Path("a/b"), "set": {2, 1}, "raw": b"x",
                3: (1, 2),
            },
        )["data"]  # fmt: skip
    assert data == {
        "big": "9007199254740992", "ok": 2**53 - 1, "nan": "nan", "inf": "-inf", "float": 2.0**70, "half": "a?",
        "severity": "high", "verdict": "passed", "path": "a/b", "set": [1, 2], "raw": "x", "3": [1, 2],
    }  # fmt: skip
    assert verify(tmp_path / "r").ok


def test_data_that_holds_itself_is_cut(tmp_path: Path) -> None:
    """A cycle ends in a marker, not in a crash of the run."""
    loop: dict[str, object] = {}
    loop["again"] = loop
    with Record(tmp_path / "r") as record:
        record.append("note", loop)
    assert "[too deep]" in (tmp_path / "r").read_text()


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_edit_of_any_byte_is_detected(data: st.DataObject) -> None:
    """One byte replaced, removed or added anywhere: `verify` with the head and length of the end says so."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "r")
        record = write(path, notes=3)
        raw = path.read_bytes()
        at = data.draw(st.integers(0, len(raw) - 1))
        byte = bytes([data.draw(st.integers(0, 255))])
        edited = data.draw(
            st.sampled_from([raw[:at] + byte + raw[at + 1 :], raw[:at] + raw[at + 1 :], raw[:at] + byte + raw[at:]])
        )
        if edited == raw:
            return
        path.write_bytes(edited)
        assert not verify(path, record.head, record.length).ok


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_deletion_reorder_repetition_or_truncation_of_lines_is_detected(data: st.DataObject) -> None:
    """Whatever is done with whole lines, the anchored head shows it; without anchors all but a cut end shows."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "r")
        record = write(path, notes=4)
        lines = path.read_bytes().splitlines(keepends=True)
        chosen = data.draw(st.lists(st.integers(0, len(lines) - 1), min_size=1, max_size=8))
        if chosen == list(range(len(lines))):
            return
        path.write_bytes(b"".join(lines[n] for n in chosen))
        assert not verify(path, record.head, record.length).ok
        assert verify(path).ok == (chosen == list(range(len(chosen))))


def test_a_chain_written_anew_is_found_by_its_head_only(tmp_path: Path) -> None:
    """Who rewrites the whole chain makes a valid one: the reason why the head is printed and kept elsewhere."""
    honest = write(tmp_path / "a", notes=3)
    write(tmp_path / "b", notes=4)
    assert verify(tmp_path / "b").ok
    problems = verify(tmp_path / "b", expect_head=honest.head, expect_length=honest.length).problems
    assert [problem.kind for problem in problems] == ["anchor", "anchor"]


def test_one_edit_is_one_problem_with_its_line(tmp_path: Path) -> None:
    """The report names the line that was edited, and not every line after it."""
    path = tmp_path / "r"
    write(path)
    path.write_bytes(path.read_bytes().replace(b"note 2", b"note 9"))
    record = read(path)
    assert [(problem.line, problem.kind) for problem in record.problems] == [(4, "chain")]
    assert not record.intact
    assert "line 4: its hash does not fit its content" in str(record.problems[0])


def test_a_crash_leaves_a_record_that_reads_up_to_it(tmp_path: Path) -> None:
    """Cut anywhere, every whole line is read, and that the end is missing is said."""
    path = tmp_path / "r"
    write(path)
    raw = path.read_bytes()
    for size in range(len(raw)):
        path.write_bytes(raw[:size])
        record = read(path)
        assert record.length == raw[:size].count(b"\n")
        assert record.intact
        assert record.crashed
        assert record.cut == bool(size and raw[size - 1 : size] != b"\n")
    path.write_bytes(raw)
    assert not read(path).crashed


def test_a_record_is_continued_where_it_ended(tmp_path: Path) -> None:
    """A second writer goes on with the chain; a damaged file is refused with the remedy."""
    path = tmp_path / "r"
    write(path)
    write(path)
    assert verify(path).ok
    assert read(path).length == 14
    with path.open("ab") as file:
        file.write(b'{"da')
    with pytest.raises(UsageError, match=r"cannot be continued: line 15: cut short.*write to a new file"):
        Record(path)


def test_threads_write_one_chain(tmp_path: Path) -> None:
    """Eight threads at once: no line is lost, torn or out of order."""
    with Record(tmp_path / "r") as record:

        def work() -> None:
            for n in range(25):
                record.append("note", {"text": "x" * n})

        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
    assert verify(tmp_path / "r", record.head, 200).ok


def test_other_files_are_refused(tmp_path: Path) -> None:
    """A file that is no record, or is not there, is a usage error with the path; an empty one is a crash."""
    (tmp_path / "x").write_text("hello\nworld\n")
    for name in ("x", "missing"):
        with pytest.raises(UsageError, match=name):
            read(tmp_path / name)
    (tmp_path / "empty").touch()
    assert read(tmp_path / "empty").crashed


@pytest.mark.parametrize(
    "line", [b"[]", b"{}", b"\xff", b'{"seq":true}', b"1" * 5000, b"[" * 100_000], ids=lambda line: str(line[:5])
)
def test_a_foreign_line_inside_is_named(tmp_path: Path, line: bytes) -> None:
    """Lines that are no lines of a record are reported and skipped."""
    path = tmp_path / "r"
    write(path, notes=1)
    lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([lines[0], line, *lines[1:], b""]))
    record = read(path)
    assert [(problem.line, problem.kind) for problem in record.problems] == [(2, "format")]
    assert record.length == 3


def test_misuse_is_refused(tmp_path: Path) -> None:
    """An unknown kind names the right ones; a closed record says so; a folder that cannot be is no traceback."""
    record = Record(tmp_path / "r")
    with pytest.raises(UsageError, match="did you mean 'result'"):
        record.append("results")
    record.close()
    record.close()
    with pytest.raises(EnvironmentFailure, match="closed"):
        record.append("note", {})
    with pytest.raises(EnvironmentFailure, match="cannot be opened"):
        Record(tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_said(tmp_path: Path) -> None:
    """A write that the disk refuses raises with the reason instead of being lost."""
    record = Record(Path("/dev/full"))
    with pytest.raises(EnvironmentFailure, match="No space left"):
        record.append("note", {"text": "x"})
    record.close()
