"""What `k8sha recover` does where no cluster is needed to see it."""

from __future__ import annotations

import os
from pathlib import Path

from pytest_k8sha._process import ProcessId
from pytest_k8sha.fleet.run import RunFolder
from pytest_k8sha.providers.registry import Registry
from pytest_k8sha.recover import pending, recover
from pytest_k8sha.safety.journal import Journal
from pytest_k8sha.settings import Settings

DEAD = ProcessId(2**22 + 1, 1.0)


def settings_in(base: Path) -> Settings:
    return Settings(cache=base / "cache", state=base / "state")


def quiet(_: str) -> None:
    """Nobody looks."""


def test_a_run_that_goes_on_is_not_touched(tmp_path: Path) -> None:
    """This very process owns the run: it is told as running, and its folder stays."""
    settings = settings_in(tmp_path)
    folder = RunFolder.create(settings)
    (found,) = recover(settings, Registry(), quiet)
    assert (found.run, found.running, found.removed) == (folder.run.id, True, [])
    assert folder.path.is_dir()
    assert pending(settings) == {folder.run.id: True}
    folder.close(clean=True)
    assert recover(settings, Registry(), quiet) == []


def test_objects_on_a_kept_cluster_that_was_ended_are_gone_with_it(tmp_path: Path) -> None:
    """`k8sha down` while a killed run's objects were on the cluster: nothing remains, and the folder goes."""
    settings = settings_in(tmp_path)
    place = settings.runs / "r1"
    journal = Journal(place / "journal.jsonl", run="r1", label="me", owner=DEAD)
    journal.intent("object", cluster="east", path="/api/v1/namespaces/x")
    journal.intent("fault", cluster="east", on="heartbeat of n", member=0)
    journal.close(clean=False)
    (found,) = recover(settings, Registry(), quiet, dry_run=True)
    assert place.exists()
    (found,) = recover(settings, Registry(), quiet)
    assert found.removed == ["objects on cluster east: the cluster itself is gone"]
    assert found.remains == []
    assert not place.exists()


def test_a_folder_that_is_being_made_is_left_for_a_minute(tmp_path: Path) -> None:
    """A run that begins at this moment has a folder without an owner yet; an old one is rubbish."""
    settings = settings_in(tmp_path)
    part = settings.runs / ".r2.part"
    part.mkdir(parents=True)
    assert [one.running for one in recover(settings, Registry(), quiet)] == [True]
    os.utime(part, (1, 1))
    assert [one.running for one in recover(settings, Registry(), quiet)] == [False]
    assert not part.exists()


def test_a_damaged_journal_does_not_stop_the_clean_up(tmp_path: Path) -> None:
    """A journal that is no journal has no owner: its folder is removed, and the others are looked at."""
    settings = settings_in(tmp_path)
    for name in ("r1", "r2"):
        (settings.runs / name).mkdir(parents=True)
        (settings.runs / name / "journal.jsonl").write_bytes(b"\0\0{{{")
    assert [one.remains for one in recover(settings, Registry(), quiet)] == [[], []]
    assert list(settings.runs.iterdir()) == []


def test_who_recovers_does_not_end_itself(tmp_path: Path) -> None:
    """A process may have joined a run to look at it; when the run is dead and it recovers it, it goes on."""
    settings = settings_in(tmp_path)
    Journal(settings.runs / "r1" / "journal.jsonl", run="r1", label="me", owner=DEAD).close(clean=False)
    Journal(settings.runs / "r1" / "journal-looker.jsonl", run="r1", label="me", owner=ProcessId.own()).close(
        clean=False
    )
    (found,) = recover(settings, Registry(), quiet)
    assert (found.removed, found.remains) == ([], [])
    assert recover(settings, Registry(), quiet) == []
