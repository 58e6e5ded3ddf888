"""Programs are looked up in the documented order, and a damaged or wrong one is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_k8sha.errors import ProgramUnavailable
from pytest_k8sha.providers.local import build, download
from pytest_k8sha.providers.local.programs import ETCD_VERSION, Finder
from pytest_k8sha.settings import Settings


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A machine with nothing on it: no programs, no network, no Go."""
    (tmp_path / "path").mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "path"))
    monkeypatch.setattr(build, "go", lambda: None)
    monkeypatch.setattr(download, "release_of", lambda *_: None)
    return Settings(cache=tmp_path / "cache", state=tmp_path / "state")


def program(folder: Path, name: str, version: str, *, code: int = 0, mode: int = 0o755) -> Path:
    """A program that tells a version, as the real ones do."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho {name} v{version}\nexit {code}\n")
    path.chmod(mode)
    return path


def finder(settings: Settings, said: list[str], *, exact: bool = False) -> Finder:
    return Finder(settings, "1.36.3", exact=exact, progress=said.append)


def test_the_order(settings: Settings, tmp_path: Path, said: list[str]) -> None:
    """Each place wins over all that come after it."""
    import dataclasses

    places = {
        "K8SHA_BIN_DIR": tmp_path / "named",
        "KUBEBUILDER_ASSETS": tmp_path / "assets",
        "PATH": tmp_path / "path",
        "cache": finder(settings, said).cached("kube-apiserver").parent,
    }
    for folder in places.values():
        program(folder, "kube-apiserver", "1.36.3")
    both = dataclasses.replace(
        settings, bin_dir=places["K8SHA_BIN_DIR"], kubebuilder_assets=places["KUBEBUILDER_ASSETS"]
    )
    for source, folder in places.items():
        found = finder(both, said).get("kube-apiserver")
        assert (found.source, found.path, found.version) == (source, folder / "kube-apiserver", "1.36.3")
        found.path.unlink()
    with pytest.raises(ProgramUnavailable, match="found nowhere"):
        finder(both, said).get("kube-apiserver")


def test_another_version_is_passed_over(settings: Settings, tmp_path: Path, said: list[str]) -> None:
    """On PATH only the version asked for counts, and the reason is kept for `k8sha doctor`."""
    program(tmp_path / "path", "kube-scheduler", "1.30.0")
    cached = program(finder(settings, said).cached("kube-scheduler").parent, "kube-scheduler", "1.36.3")
    found = finder(settings, said).get("kube-scheduler")
    assert found.path == cached
    assert "is 1.30.0, not 1.36.3" in found.notes[0]


def test_a_named_folder_counts_as_it_is(settings: Settings, tmp_path: Path, said: list[str]) -> None:
    """A folder that the user names may hold another version, unless just one version was asked for."""
    import dataclasses

    program(tmp_path / "named", "kube-apiserver", "1.35.1")
    named = dataclasses.replace(settings, bin_dir=tmp_path / "named")
    assert finder(named, said).get("kube-apiserver").version == "1.35.1"
    with pytest.raises(ProgramUnavailable, match=r"1\.35\.1, not 1\.36\.3"):
        finder(named, said, exact=True).get("kube-apiserver")


def test_etcd_of_the_same_minor_version(settings: Settings, tmp_path: Path, said: list[str]) -> None:
    """Another patch of etcd on PATH will do."""
    minor = ETCD_VERSION.rpartition(".")[0]
    program(tmp_path / "path", "etcd", f"{minor}.1")
    assert finder(settings, said).get("etcd").source == "PATH"


@pytest.mark.parametrize(
    ("damage", "why"),
    [({"mode": 0o644}, "is not executable"), ({"code": 3}, "does not run"), ({"version": "x"}, "does not tell")],
)
def test_a_damaged_program(
    settings: Settings, tmp_path: Path, said: list[str], damage: dict[str, object], why: str
) -> None:
    """In a folder that the user named it is an error that names the file; on PATH it is passed over."""
    import dataclasses

    arguments = {"version": "1.36.3", **damage}
    path = program(tmp_path / "named", "kube-apiserver", **arguments)  # type: ignore[arg-type]
    named = dataclasses.replace(settings, bin_dir=tmp_path / "named")
    with pytest.raises(ProgramUnavailable, match=why) as caught:
        finder(named, said).get("kube-apiserver")
    assert str(path) in str(caught.value)
    path.rename(tmp_path / "path" / "kube-apiserver")
    with pytest.raises(ProgramUnavailable, match="found nowhere"):
        finder(settings, said).get("kube-apiserver")


def test_a_folder_that_is_not_there(settings: Settings, tmp_path: Path, said: list[str]) -> None:
    """A wrong K8SHA_BIN_DIR is said to be wrong, instead of being passed over."""
    import dataclasses

    with pytest.raises(ProgramUnavailable, match="K8SHA_BIN_DIR"):
        finder(dataclasses.replace(settings, bin_dir=tmp_path / "nothing"), said).get("etcd")


def test_the_version_is_asked_once(settings: Settings, tmp_path: Path, said: list[str]) -> None:
    """A program that did not change is not started again just to tell its version; one that did is."""
    path = program(tmp_path / "path", "etcd", ETCD_VERSION)
    path.write_text(f"#!/bin/sh\necho x >> {tmp_path}/asked\necho etcd {ETCD_VERSION}\n")
    for _ in range(3):
        assert finder(settings, said).get("etcd").version == ETCD_VERSION
    assert (tmp_path / "asked").read_text() == "x\n"
    path.write_text(path.read_text() + "\n")
    finder(settings, said).get("etcd")
    assert (tmp_path / "asked").read_text() == "x\nx\n"


def test_nothing_to_be_had(settings: Settings, said: list[str]) -> None:
    """The error says what was tried and what would help."""
    with pytest.raises(ProgramUnavailable) as caught:
        finder(settings, said).get("kwok")
    assert "no go to build it with" in str(caught.value)
    assert "K8SHA_MIRROR" in str(caught.value)
