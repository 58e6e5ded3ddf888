"""Downloads are what was published, or an error; a cut one is resumed. Against a real server on this machine."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pytest_k8sha.errors import ChecksumMismatch, EnvironmentFailure, WaitTimeout
from pytest_k8sha.providers.local import build, download
from pytest_k8sha.providers.local.download import Release, Unreachable, fetch, release_of
from pytest_k8sha.providers.local.programs import Finder
from pytest_k8sha.settings import Settings

BODY = b"#!/bin/sh\necho Kubernetes v1.36.3\n" + b"#" * 300_000


class Files(ThreadingHTTPServer):
    """Serves ``files``; each of the next ``cuts`` answers is broken off in the middle."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.cuts = 0
        self.ranges = True
        self.asked: list[tuple[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Files

    def do_GET(self) -> None:
        wanted = self.headers.get("Range", "")
        self.server.asked.append((self.path, wanted))
        body = self.server.files.get(self.path)
        if body is None:
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-") or 0) if self.server.ranges else 0
        if start and start >= len(body):
            self.send_error(416)
            return
        rest = body[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(rest)))
        self.end_headers()
        if self.server.cuts and not self.path.endswith(("sha256", "SHA256SUMS")):
            self.server.cuts -= 1
            rest = rest[: len(rest) // 2]
        self.wfile.write(rest)

    def log_message(self, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def server() -> Iterator[Files]:
    files = Files()
    thread = threading.Thread(target=files.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield files
    files.shutdown()
    thread.join()
    files.server_close()


def publish(server: Files, name: str, body: bytes, digest: str = "") -> Release:
    server.files[f"/{name}"] = body
    server.files[f"/{name}.sha256"] = (digest or hashlib.sha256(body).hexdigest()).encode()
    return Release(f"{server.url}/{name}", f"{server.url}/{name}.sha256")


def test_a_download(server: Files, tmp_path: Path) -> None:
    """The file arrives whole and executable, nothing else is left, and it was announced."""
    said: list[str] = []
    fetch(publish(server, "tool", BODY), tmp_path / "bin" / "tool", said.append)
    assert (tmp_path / "bin" / "tool").read_bytes() == BODY
    assert (tmp_path / "bin" / "tool").stat().st_mode & 0o111
    assert [path.name for path in (tmp_path / "bin").iterdir()] == ["tool"]
    assert said[0].startswith("downloading http://")


def test_a_wrong_checksum(server: Files, tmp_path: Path) -> None:
    """What is not what was published is removed, and both checksums are told."""
    release = publish(server, "tool", BODY, digest="0" * 64)
    with pytest.raises(ChecksumMismatch, match="0" * 64) as caught:
        fetch(release, tmp_path / "tool", print)
    assert hashlib.sha256(BODY).hexdigest() in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_cut_download_is_resumed(server: Files, tmp_path: Path) -> None:
    """After a break only the rest is asked for."""
    server.cuts = 2
    said: list[str] = []
    fetch(publish(server, "tool", BODY), tmp_path / "tool", said.append)
    assert (tmp_path / "tool").read_bytes() == BODY
    ranges = [wanted for path, wanted in server.asked if path == "/tool"]
    assert ranges == ["", f"bytes={len(BODY) // 2}-", f"bytes={len(BODY) // 2 + (len(BODY) - len(BODY) // 2) // 2}-"]
    assert any("resumed" in text for text in said)


def test_a_server_without_ranges(server: Files, tmp_path: Path) -> None:
    """Where the server cannot resume, the download starts again and is right all the same."""
    server.cuts, server.ranges = 1, False
    fetch(publish(server, "tool", BODY), tmp_path / "tool", print)
    assert (tmp_path / "tool").read_bytes() == BODY


def test_a_download_that_never_ends(server: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A body that is always cut short is an error that says so, and never a program."""
    monkeypatch.setattr(download, "_RETRY_FOR", 1.0)
    server.cuts, server.ranges = 1000, False
    with pytest.raises(WaitTimeout, match="broke off"):
        fetch(publish(server, "tool", BODY), tmp_path / "tool", print)
    assert not (tmp_path / "tool").exists()


def test_the_rest_of_an_earlier_run(server: Files, tmp_path: Path) -> None:
    """What an interrupted run left is used, but only for the very same file."""
    release = publish(server, "tool", BODY)
    digest = hashlib.sha256(BODY).hexdigest()[:12]
    (tmp_path / f"tool.{digest}.part").write_bytes(BODY[:1000])
    fetch(release, tmp_path / "tool", print)
    assert (tmp_path / "tool").read_bytes() == BODY
    assert ("/tool", "bytes=1000-") in server.asked


def test_an_archive(server: Files, tmp_path: Path) -> None:
    """Of etcd's archive only the program is kept; its checksum is found in a list of several."""
    inner = io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as tar:
        info = tarfile.TarInfo("etcd-v1/etcd")
        info.size = len(BODY)
        tar.addfile(info, io.BytesIO(BODY))
    body = inner.getvalue()
    server.files["/etcd.tar.gz"] = body
    lines = f"{'1' * 64}  other.tar.gz\n{hashlib.sha256(body).hexdigest()}  etcd.tar.gz\n"
    server.files["/SHA256SUMS"] = lines.encode()
    release = Release(f"{server.url}/etcd.tar.gz", f"{server.url}/SHA256SUMS", "etcd-v1/etcd")
    fetch(release, tmp_path / "etcd", print)
    assert (tmp_path / "etcd").read_bytes() == BODY
    assert [path.name for path in tmp_path.iterdir()] == ["etcd"]


def test_a_checksum_from_the_description_of_a_release(server: Files, tmp_path: Path) -> None:
    """Where the publisher has no file of checksums, GitHub's own digest of the asset counts."""
    server.files["/kwok-linux-amd64"] = BODY
    assets = [
        {"name": "kwok-linux-arm64", "digest": f"sha256:{'2' * 64}"},
        {"name": "kwok-linux-amd64", "digest": f"sha256:{hashlib.sha256(BODY).hexdigest()}"},
    ]
    server.files["/tags/v1"] = json.dumps({"assets": assets}).encode()
    fetch(Release(f"{server.url}/kwok-linux-amd64", f"{server.url}/tags/v1"), tmp_path / "kwok", print)
    assert (tmp_path / "kwok").read_bytes() == BODY
    server.files["/tags/v1"] = json.dumps({"assets": [{"name": "kwok-linux-amd64", "digest": None}]}).encode()
    with pytest.raises(Unreachable, match="no SHA-256"):
        fetch(Release(f"{server.url}/kwok-linux-amd64", f"{server.url}/tags/v1"), tmp_path / "kwok", print)


def test_every_checksum_on_a_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    """A mirror holds plain files, so every checksum there is a file beside the program."""
    monkeypatch.setattr(download, "_platform", lambda: ("linux", "amd64"))
    for name in ("kube-apiserver", "etcd", "kwok"):
        release = release_of(name, "1.2.3")
        assert release is not None
        mirrored = release.at("https://mirror.example/k8s/")
        assert mirrored.url.startswith("https://mirror.example/k8s/")
        assert mirrored.sums.rpartition("/")[0] == mirrored.url.rpartition("/")[0]


def test_what_is_not_there(server: Files, tmp_path: Path) -> None:
    """A missing file and a missing server are the same kind of error: try the next way."""
    with pytest.raises(Unreachable, match="404"):
        fetch(Release(f"{server.url}/x", f"{server.url}/x.sha256"), tmp_path / "x", print)
    with pytest.raises(Unreachable, match="cannot be read"):
        fetch(Release("http://127.0.0.1:9/x", "http://127.0.0.1:9/x.sha256"), tmp_path / "x", print)


def test_a_mirror_that_is_no_address(tmp_path: Path) -> None:
    """A wrong K8SHA_MIRROR is named with how to write it."""
    release = Release("https://dl.k8s.io/x", "https://dl.k8s.io/x.sha256").at("mirror.example")
    with pytest.raises(EnvironmentFailure, match="K8SHA_MIRROR"):
        fetch(release, tmp_path / "x", print)


def test_no_room(server: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is noticed before it is filled."""
    monkeypatch.setattr(download, "_SPARE", 1 << 60)
    with pytest.raises(EnvironmentFailure, match="MiB free"):
        fetch(publish(server, "tool", BODY), tmp_path / "tool", print)


def test_a_mirror_feeds_the_cache(server: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With K8SHA_MIRROR a program comes from there once, and from the cache afterwards."""
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    monkeypatch.setattr(build, "go", lambda: None)
    monkeypatch.setattr(download, "_platform", lambda: ("linux", "amd64"))
    release = release_of("kube-scheduler", "1.36.3")
    assert release is not None
    publish(server, release.url.removeprefix("https://"), BODY)
    settings = Settings(cache=tmp_path / "cache", state=tmp_path / "state", mirror=f"{server.url}/")
    first = Finder(settings, "1.36.3", progress=print).get("kube-scheduler")
    second = Finder(settings, "1.36.3", progress=print).get("kube-scheduler")
    assert (first.source, second.source) == ("mirror", "cache")
    assert first.path == second.path
    assert first.version == "1.36.3"


def test_two_at_once(server: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Several runs that need the same program get it once, and all get the right one."""
    monkeypatch.setenv("PATH", str(tmp_path / "none"))
    monkeypatch.setattr(download, "_platform", lambda: ("linux", "amd64"))
    release = release_of("kube-scheduler", "1.36.3")
    assert release is not None
    publish(server, release.url.removeprefix("https://"), BODY)
    settings = Settings(cache=tmp_path / "cache", state=tmp_path / "state", mirror=server.url)
    found: list[str] = []

    def get() -> None:
        found.append(Finder(settings, "1.36.3", progress=print).get("kube-scheduler").source)

    threads = [threading.Thread(target=get) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == ["cache", "cache", "cache", "mirror"]
    assert sum(path.endswith("kube-scheduler") for path, _ in server.asked) == 1


@pytest.mark.parametrize("name", ["kube-apiserver", "etcd", "kwok"])
def test_official_addresses(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """On Linux each program has an address of its publisher, with its version in it."""
    monkeypatch.setattr(download, "_platform", lambda: ("linux", "arm64"))
    release = release_of(name, "1.2.3")
    assert release is not None
    assert "1.2.3" in release.url
    assert "arm64" in release.url


def test_no_servers_for_macos(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is published there is no address, and the next way is tried."""
    monkeypatch.setattr(download, "_platform", lambda: ("darwin", "arm64"))
    assert release_of("kube-apiserver", "1.36.3") is None
