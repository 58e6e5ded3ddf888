"""Manifest backups: what is read, what is refused, and what counts as equal."""

from __future__ import annotations

import copy
import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha.errors import FileProblems
from pytest_k8sha.recovery.manifests import archive, backup, completeness, rules
from pytest_k8sha.recovery.manifests.backup import Key
from pytest_k8sha.recovery.manifests.completeness import Class

CONFIG = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "n"}, "data": {"k": "v"}}


def tar_with(path: Path, member: tarfile.TarInfo, content: bytes = b"") -> Path:
    with tarfile.open(path, "w:gz") as tar:
        good = tarfile.TarInfo("good.yaml")
        good.size = len(json.dumps(CONFIG))
        tar.addfile(good, io.BytesIO(json.dumps(CONFIG).encode()))
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return path


def named(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("member", "says"),
    [
        (named("../evil.yaml"), "leads out of the archive"),
        (named("a/../../evil.yaml"), "leads out of the archive"),
        (named("/etc/evil.yaml"), "leads out of the archive"),
        (named("..\\evil.yaml"), "leads out of the archive"),
        (named("link.yaml", tarfile.SYMTYPE, "/etc/passwd"), "is a link or a device"),
        (named("hard.yaml", tarfile.LNKTYPE, "good.yaml"), "is a link or a device"),
        (named("pipe.yaml", tarfile.FIFOTYPE), "is a link or a device"),
    ],
)
def test_a_tar_that_leads_elsewhere_is_refused(tmp_path: Path, member: tarfile.TarInfo, says: str) -> None:
    """Names that lead out, links and devices: the whole backup is refused, and nothing is unpacked."""
    path = tar_with(tmp_path / "backup.tar.gz", member)
    with pytest.raises(FileProblems, match=says):
        archive.files(path)
    assert sorted(tmp_path.iterdir()) == [path]


def test_a_zip_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    """The same of a zip, whose links are files with another mode."""
    path = tmp_path / "backup.zip"
    link = zipfile.ZipInfo("link.yaml")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("../evil.yaml", "a: b")
        made.writestr(link, "/etc/passwd")
    with pytest.raises(FileProblems) as refused:
        archive.files(path)
    assert [p.message.split(";")[0] for p in refused.value.problems] == [
        "leads out of the archive",
        "is a link or a device",
    ]


def test_a_folder_with_a_link_is_refused(tmp_path: Path) -> None:
    """A link in a folder may lead to what the backup does not hold."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "link.yaml").symlink_to("/etc/passwd")
    with pytest.raises(FileProblems, match="symbolic link"):
        archive.files(tmp_path / "b")


def test_an_empty_or_broken_backup_is_refused(tmp_path: Path) -> None:
    """Nothing is no backup: an empty folder, an empty file, half an archive."""
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    whole = tar_with(tmp_path / "whole.tgz", named("b.yaml"), b"x" * 100_000).read_bytes()
    (tmp_path / "half.tgz").write_bytes(whole[: len(whole) // 2])
    for name, says in (("folder", "empty backup"), ("file", "cannot be read"), ("half.tgz", "cannot be read")):
        with pytest.raises(FileProblems, match=says):
            archive.files(tmp_path / name)


def test_every_mistake_of_a_backup_is_told(tmp_path: Path) -> None:
    """YAML and JSON, keys and objects that are there twice, objects without a name, files that changed: all at once."""
    (tmp_path / "twice.yaml").write_text("apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ntype: a\ntype: b\n")
    (tmp_path / "twice.json").write_text(
        '{"apiVersion":"v1","kind":"Secret","metadata":{"name":"t"},"type":1,"type":2}'
    )
    (tmp_path / "broken.yaml").write_text("a: [\n")
    (tmp_path / "several.yaml").write_text(f"{json.dumps(CONFIG)}\n---\n{json.dumps(CONFIG)}\n---\nkind: Pod\n")
    (tmp_path / "metadata.json").write_text(json.dumps({"files": {"gone.json": "0", "twice.json": "1"}}))
    with pytest.raises(FileProblems) as told:
        backup.read(tmp_path)
    text = str(told.value)
    for words in (
        "twice.yaml:5: type: this key is given twice",
        "twice.json: type: this key is given twice",
        "broken.yaml",
        "several.yaml: ConfigMap n/a: is there twice",
        "several.yaml: apiVersion: is missing",
        "gone.json: is missing",
        "twice.json: is not what metadata.json says",
    ):
        assert words in text, words


def test_documents_and_lists_are_read(tmp_path: Path) -> None:
    """Several documents of a file, a List, and an empty document."""
    other = {**CONFIG, "metadata": {"name": "b", "namespace": "n"}}
    third = {"apiVersion": "v1", "kind": "ConfigMapList", "items": [{**CONFIG, "metadata": {"name": "c"}}]}
    (tmp_path / "a.yml").write_text(f"---\n{json.dumps(CONFIG)}\n---\n---\n{json.dumps(other)}\n")
    (tmp_path / "b.json").write_text(json.dumps(third))
    assert [str(key) for key in sorted(backup.read(tmp_path).objects)] == [
        "ConfigMap c",
        "ConfigMap n/a",
        "ConfigMap n/b",
    ]


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "s", "namespace": "n"},
    "spec": {"clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 80, "nodePort": 30001}]},
}


def changed(obj: Any, path: str, value: Any) -> Any:
    made = copy.deepcopy(obj)
    *parents, last = path.split(".")
    here = made
    for part in parents:
        here = here[int(part)] if isinstance(here, list) else here.setdefault(part, {})
    here[last] = value
    return made


@pytest.mark.parametrize(
    ("obj", "path", "value"),
    [
        (CONFIG, "metadata.uid", "u"),
        (CONFIG, "metadata.resourceVersion", "7"),
        (CONFIG, "metadata.creationTimestamp", "2026-01-01T00:00:00Z"),
        (CONFIG, "metadata.managedFields", [{}]),
        (CONFIG, "metadata.ownerReferences", [{"name": "o"}]),
        (CONFIG, "metadata.labels", {"velero.io/backup-name": "b"}),
        (CONFIG, "status", {"phase": "x"}),
        (CONFIG, "metadata.annotations", {}),
        (SERVICE, "spec.clusterIP", "10.0.0.9"),
        (SERVICE, "spec.ports.0.nodePort", 31000),
    ],
)
def test_what_a_cluster_sets_does_not_count(obj: Any, path: str, value: Any) -> None:
    """What belongs to one cluster and one moment makes no difference."""
    assert rules.normal(changed(obj, path, value)) == rules.normal(obj)


@pytest.mark.parametrize(
    ("obj", "path", "value", "told"),
    [
        (CONFIG, "metadata.finalizers", ["f"], "metadata.finalizers"),
        (CONFIG, "metadata.labels", {"app": "x"}, "metadata.labels"),
        (CONFIG, "metadata.annotations", {"a": "b"}, "metadata.annotations"),
        (CONFIG, "data.k", "w", "data.k"),
        (SERVICE, "spec.clusterIP", "None", "spec.clusterIP"),
        (SERVICE, "spec.ports.0.port", 81, "spec.ports[0].port"),
    ],
)
def test_what_a_user_sets_counts(obj: Any, path: str, value: Any, told: str) -> None:
    """Finalizers, labels, annotations and data are never left out; the difference is told by its path."""
    found = rules.differences(rules.normal(obj), rules.normal(changed(obj, path, value)))
    assert found[:1] == [told]


def test_a_node_port_that_somebody_named_counts() -> None:
    """Outside balancers know it: what kubectl applied with a node port must come back with it."""
    applied = json.dumps({"spec": {"ports": [{"port": 80, "nodePort": 30001}]}})
    named = changed(SERVICE, "metadata.annotations", {"kubectl.kubernetes.io/last-applied-configuration": applied})
    assert rules.differences(rules.normal(named), rules.normal(changed(named, "spec.ports.0.nodePort", 31000)))


classes = st.sampled_from(["equal", "different", "missing", "owned", "extra", "unlisted"])


@given(st.lists(classes, max_size=20))
def test_every_object_is_classified_rightly(fates: list[str]) -> None:
    """For any mixture of fates each object is in the class of its fate, and only then is it complete when no object is
    missing, different or unknown."""
    wanted: dict[Key, Any] = {}
    seen: dict[Key, Any] = {}
    expected: dict[Key, Class] = {}
    words = {
        "equal": Class.EQUAL,
        "different": Class.DIFFERENT,
        "missing": Class.MISSING,
        "owned": Class.SKIPPED,
        "extra": Class.EXTRA,
        "unlisted": Class.UNKNOWN,
    }
    for number, fate in enumerate(fates):
        obj = changed(CONFIG, "metadata.name", f"o{number}")
        if fate == "unlisted":
            obj["kind"] = "Secret"
        if fate == "owned":
            obj["metadata"]["ownerReferences"] = [{"controller": True}]
        key = Key.of(obj)
        expected[key] = words[fate]
        if fate != "extra":
            wanted[key] = obj
        if fate in {"equal", "different", "extra"}:
            seen[key] = changed(obj, "data.k", "other") if fate == "different" else copy.deepcopy(obj)
    found = completeness.compare(wanted, seen, {"Secret.": "forbidden"})
    assert {key: one for key, (one, _) in found.classes.items()} == expected
    assert found.complete == (not {"different", "missing", "unlisted"} & set(fates))


def test_lost_owners_are_told() -> None:
    """An object that had an owner and has none now will never be collected."""
    owned = changed(CONFIG, "metadata.ownerReferences", [{"name": "o"}])
    found = completeness.compare({Key.of(owned): owned}, {Key.of(CONFIG): CONFIG})
    assert found.complete
    assert found.orphans == [Key.of(owned)]
