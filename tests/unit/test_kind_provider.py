"""What the kind provider does when commands are missing, fail, or leave something behind (with commands that are not
the real ones; tests/kind has those)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pytest_k8sha.errors import EnvironmentFailure, StartFailed, UsageError
from pytest_k8sha.providers.base import ClusterState
from pytest_k8sha.providers.kind import freezer, preflight
from pytest_k8sha.providers.kind.engine import Engine
from pytest_k8sha.providers.kind.provider import MARK_FILE, KindProvider
from tests.unit import kind_fakes
from tests.unit.kind_fakes import Fakes


@pytest.fixture
def fakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Fakes:
    return kind_fakes.install(tmp_path / "bin", monkeypatch)


def half_made(tmp_path: Path, cluster: str = "k8sha-east-1") -> ClusterState:
    """What `k8sha recover` knows of a cluster whose maker was killed."""
    place = tmp_path / "place"
    place.mkdir()
    (place / MARK_FILE).write_text(json.dumps({"cluster": cluster, "engine": "docker"}))
    (place / "kubeconfig").write_text("{}")
    return ClusterState("east", "kind", str(place), "", made=True)


def test_everything_missing_is_said_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither kind nor an engine: one error names both, each with its remedy, and nothing is begun."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("KIND_EXPERIMENTAL_PROVIDER", raising=False)
    request = kind_fakes.order(tmp_path)
    with pytest.raises(EnvironmentFailure) as error:
        KindProvider().create(request)
    for text in ("kind: not on PATH", "container engine", "docker: no such command", "install kind", "install Docker"):
        assert text in str(error.value)
    assert not list(request.place.iterdir())


def test_an_engine_that_does_not_answer(fakes: Fakes) -> None:
    """An engine whose command is there and whose daemon is not: its own words are shown."""
    fakes.switch("down")
    need = next(need for need in preflight.preflight("docker") if need.what == "container engine")
    assert not need.ok
    assert "Cannot connect to the Docker daemon" in need.detail


def test_a_machine_that_has_all(fakes: Fakes) -> None:
    """Command, engine, disk and cgroup version are looked at, and say what was seen."""
    found = {need.what: need for need in preflight.preflight()}
    assert found["kind"].ok
    assert "kind v0.0.1" in found["kind"].detail
    assert found["container engine"].detail == "docker answers"
    assert found["cgroup version"].ok
    assert "MiB free" in found["disk"].detail


def test_low_limits_are_told_and_do_not_stop(tmp_path: Path) -> None:
    """The first cluster starts below kind's inotify limits, so they are a remark with its remedy, no refusal."""
    (tmp_path / "max_user_watches").write_text("8192\n")
    (tmp_path / "max_user_instances").write_text("512\n")
    watches, instances = preflight._inotify(tmp_path)
    assert (watches.ok, watches.needed, instances.ok) == (False, False, True)
    assert watches.remedy == "sysctl -w fs.inotify.max_user_watches=524288"


def test_cgroup_v1_is_told(fakes: Fakes) -> None:
    """Kubelets since 1.35 refuse cgroup v1 unless told otherwise: a remark names the setting."""
    (fakes.folder / "info").write_text('{"CgroupVersion": "1"}')
    need = next(need for need in preflight.preflight() if need.what == "cgroup version")
    assert (need.ok, need.needed) == (False, False)
    assert "failCgroupV1" in need.remedy


@pytest.mark.parametrize(
    ("info", "cgroup", "ok"),
    [
        ({"SecurityOptions": ["name=seccomp", "name=rootless"]}, "2", True),
        ({"SecurityOptions": ["name=rootless"]}, "1", False),
        ({"host": {"security": {"rootless": True}}}, "1", False),
        ({"host": {"security": {"rootless": False}}}, "1", None),
        ({"SecurityOptions": None}, "1", None),
    ],
)
def test_an_engine_without_root_wants_cgroup_v2(info: dict[str, object], cgroup: str, ok: bool | None) -> None:
    """Docker and Podman tell it in their own ways; with cgroup v1 no cluster can be made, and that is said before."""
    found = preflight._rootless(info, cgroup)
    assert [need.ok for need in found] == ([] if ok is None else [ok])
    assert all(need.needed for need in found)


def test_the_engine_is_the_one_that_kind_was_told(fakes: Fakes, monkeypatch: pytest.MonkeyPatch) -> None:
    """An engine named by kind's own variable is used or reported, never replaced by another."""
    assert Engine.find().name == "docker"
    monkeypatch.setenv("KIND_EXPERIMENTAL_PROVIDER", "podman")
    with pytest.raises(EnvironmentFailure, match="podman: no such command"):
        Engine.find()
    assert Engine.find("docker").environment["KIND_EXPERIMENTAL_PROVIDER"] == "docker"


def test_a_creation_that_fails_leaves_nothing(fakes: Fakes, tmp_path: Path) -> None:
    """The error has kind's words and the nodes' logs; containers, kubeconfig and mark are gone."""
    fakes.switch("fails", "ERROR: failed to init node with kubeadm")
    request = kind_fakes.order(tmp_path)
    with pytest.raises(StartFailed) as error:
        KindProvider().create(request)
    assert "failed to init node" in str(error.value)
    assert "kubelet has stopped" in str(error.value)
    assert fakes.containers == []
    assert not (request.place / MARK_FILE).exists()
    assert len(fakes.calls("kind create")) == 1


def test_a_creation_that_lost_a_race_is_tried_again(fakes: Fakes, tmp_path: Path) -> None:
    """Where kind is known to race, it is run a second time, and not a third."""
    fakes.switch("fails", "ERROR: failed to lock config file: open kubeconfig.lock: file exists")
    with pytest.raises(StartFailed, match="failed to lock"):
        KindProvider().create(kind_fakes.order(tmp_path))
    assert len(fakes.calls("kind create")) == 2
    assert fakes.containers == []


def test_the_name_is_unique_and_fits_a_host_name(fakes: Fakes, tmp_path: Path) -> None:
    """Kind's clusters share one engine: each gets a name of its own, written down before kind is called."""
    fakes.switch("fails", "no")
    names = set()
    for index in range(2):
        (tmp_path / str(index)).mkdir()
        with pytest.raises(StartFailed):
            KindProvider().create(kind_fakes.order(tmp_path / str(index)))
    for call in fakes.calls("kind create"):
        names.add(call.split()[4])
        assert call.split()[4].startswith("k8sha-east-")
        assert len(f"{call.split()[4]}-control-plane") <= 63
        assert "--kubeconfig" in call
    assert len(names) == 2


def test_a_flaky_delete_falls_back_to_the_engine(fakes: Fakes, tmp_path: Path) -> None:
    """`kind delete` fails twice; the containers are removed by their label, with their volumes, and no error is
    raised. A second deletion finds nothing to do."""
    fakes.switch("flaky")
    fakes.switch("k8sha-east-1.worker")
    fakes.switch("k8sha-east-10.worker")
    state = half_made(tmp_path)
    KindProvider().delete(state)
    assert fakes.containers == ["k8sha-east-10.worker"], "a cluster whose name only begins alike is not touched"
    assert len(fakes.calls("kind delete")) == 2
    assert fakes.calls("docker rm -f -v")
    assert not list(Path(state.place).iterdir())
    KindProvider().delete(state)
    assert len(fakes.calls("kind delete")) == 2


def test_what_cannot_be_removed_is_told(fakes: Fakes, tmp_path: Path) -> None:
    """Containers that stay are an error with their names and the command; the mark stays for the next try."""
    fakes.switch("flaky")
    fakes.switch("k8sha-east-1.worker")
    fakes.switch("stuck", "k8sha-east-1.worker")
    state = half_made(tmp_path)
    with pytest.raises(EnvironmentFailure, match=r"docker rm -f -v k8sha-east-1\.worker"):
        KindProvider().delete(state)
    assert (Path(state.place) / MARK_FILE).exists()


def test_without_a_mark_nothing_is_deleted(fakes: Fakes, tmp_path: Path) -> None:
    """A journal says that a cluster was being made, but its folder has no mark, as when an existing cluster was
    being adopted: no command is run."""
    fakes.switch("dev.worker")
    KindProvider().delete(ClusterState("dev", "kind", str(tmp_path), "", made=True))
    assert fakes.calls("") == []
    assert fakes.containers == ["dev.worker"]


def test_an_adopted_cluster_is_never_deleted(fakes: Fakes, tmp_path: Path) -> None:
    """A state that was not made is not deleted, whatever else its folder holds."""
    fakes.switch("dev.worker")
    state = half_made(tmp_path, "dev")
    KindProvider().delete(ClusterState("dev", "kind", state.place, "", made=False, details={"cluster": "dev"}))
    assert fakes.calls("") == []


def test_adoption_of_what_is_not_there(fakes: Fakes, tmp_path: Path) -> None:
    """``kind:NAME`` without such a cluster is a usage error with the names that there are."""
    fakes.switch("dev.dev-control-plane")
    with pytest.raises(UsageError, match="did you mean 'dev'"):
        KindProvider().create(kind_fakes.order(tmp_path, argument="dve"))


def test_frozen_groups_of_a_container_are_thawed(tmp_path: Path) -> None:
    """What a killed runtime left frozen is thawed; the groups above it, and those of others, are not touched."""
    name = "f" * 64
    states = {"docker": "FROZEN", f"docker/{name}": "THAWED", f"docker/{name}/a": "FROZEN", "docker/e": "FROZEN"}
    for path, state in states.items():
        (tmp_path / path).mkdir(parents=True, exist_ok=True)
        (tmp_path / path / freezer.STATE).write_text(state)
    assert freezer.thaw(name, tmp_path) == [tmp_path / "docker" / name / "a" / freezer.STATE]
    now = {path: (tmp_path / path / freezer.STATE).read_text() for path in states}
    assert now == {**states, f"docker/{name}/a": "THAWED"}
    assert freezer.thaw(name, tmp_path / "none") == []
