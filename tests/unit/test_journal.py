"""The write-ahead journal: what it announces survives a crash at any byte."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha._process import ProcessId
from pytest_k8sha.errors import EnvironmentFailure
from pytest_k8sha.safety.journal import Journal, read

OWNER = ProcessId(1, 2.0)

texts = st.text(max_size=12)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("intent"), st.sampled_from(["object", "cluster", "process", "fault"]), texts),
        st.tuples(st.just("made"), st.integers(1, 8), texts),
        st.tuples(st.just("gone"), st.integers(1, 8)),
    ),
    max_size=12,
)


def write(path: Path, todo: list[Any]) -> list[int]:
    """Takes the steps; returns the size of the file after each of them."""
    made = Journal(path, run="r", label="me", owner=OWNER)
    sizes = [path.stat().st_size]
    for step in todo:
        match step:
            case ("intent", what, text):
                made.intent(what, path=text)
            case ("made", number, text):
                made.made(number, uid=text)
            case ("gone", number):
                made.gone([number])
        sizes.append(path.stat().st_size)
    made.close(clean=False)
    return sizes


@given(steps, st.data())
def test_a_cut_anywhere_loses_only_what_was_not_written(
    tmp_path_factory: pytest.TempPathFactory, todo: list[Any], data: st.DataObject
) -> None:
    """Cut at any byte, the journal says what it said after the last whole line, and can be written on."""
    path = tmp_path_factory.mktemp("journal") / "journal.jsonl"
    sizes = write(path, todo)
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, len(whole)))
    path.write_bytes(whole[:cut])
    # A line is whole without its newline, too.
    steps_done = sum(size <= cut + 1 for size in sizes) - 1
    expected = path.with_name("expected.jsonl")
    if steps_done >= 0:
        write(expected, todo[:steps_done])
    cut_short, right = read(path), read(expected)
    assert [vars(e) for e in cut_short.entries] == [vars(e) for e in right.entries]
    assert (cut_short.owner, cut_short.run) == (right.owner, right.run)

    more = Journal(path, run="r", label="me", owner=OWNER)
    number = more.intent("object", path="later")
    more.close(clean=True)
    after = read(path)
    assert after.closed
    assert after.entries[-1].n == number
    assert after.entries[-1].data == {"path": "later"}
    assert len(after.entries) == len(right.entries) + 1
    assert len({entry.n for entry in after.entries}) == len(after.entries)


def test_what_is_open_comes_newest_first(tmp_path: Path) -> None:
    """A replay goes backwards, leaves out what is gone, and knows what became known later."""
    made = Journal(tmp_path / "j", run="r", label="me")
    first, second, third = made.intents("object", [{"path": "a"}, {"path": "b"}, {"path": "c"}])
    made.made(first, uid="u")
    made.gone([second])
    assert [(e.n, e.data) for e in read(tmp_path / "j").open] == [
        (third, {"path": "c"}),
        (first, {"path": "a", "uid": "u"}),
    ]


def test_the_first_line_names_the_owner(tmp_path: Path) -> None:
    """The process that made the journal can be recognised, which is how a run that goes on is told from a dead one."""
    Journal(tmp_path / "j", run="r", label="me").close(clean=False)
    found = read(tmp_path / "j")
    assert found.owner is not None
    assert found.owner.alive
    assert (found.run, found.label, found.closed) == ("r", "me", False)
    assert (tmp_path / "j").stat().st_mode & 0o777 == 0o600


def test_damage_is_no_entry(tmp_path: Path) -> None:
    """Lines that are no JSON, no mapping or name unknown numbers are passed over."""
    lines = [b"\0\0\0", b"12", b'"x"', b"{", json.dumps({"op": "made", "n": 7}).encode(), b'{"op":"nobody knows"}']
    (tmp_path / "j").write_bytes(b"\n".join(lines))
    assert read(tmp_path / "j").entries == []


def test_a_missing_journal_is_empty(tmp_path: Path) -> None:
    """A run that was killed before its first line left nothing."""
    found = read(tmp_path / "nothing")
    assert (found.entries, found.owner, found.closed) == ([], None, False)


def test_threads_get_numbers_of_their_own(tmp_path: Path) -> None:
    """Intents from several threads are all there, each with its own number."""
    made = Journal(tmp_path / "j", run="r", label="me")
    threads = [threading.Thread(target=lambda: [made.intent("object", path="x") for _ in range(20)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(entry.n for entry in read(tmp_path / "j").entries) == list(range(1, 81))


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_stops_what_would_be_made(tmp_path: Path) -> None:
    """When the intent cannot be written, nothing may be made: the caller gets an error with the remedy."""
    made = Journal(tmp_path / "j", run="r", label="me")
    made.close(clean=False)
    made._fd = os.open("/dev/full", os.O_WRONLY)
    with pytest.raises(EnvironmentFailure, match=r"cannot be written.*nothing may be made.*remedy"):
        made.intent("object", path="x")
    os.close(made._fd)
