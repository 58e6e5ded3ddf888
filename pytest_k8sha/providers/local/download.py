"""Downloads of the official releases: checksummed, resumed when they were cut, moved into place in one step.

``K8SHA_MIRROR`` names a base URL for sites without internet access. Below it lie the same paths as on the original
hosts, after the host's name: ``MIRROR/dl.k8s.io/release/v1.36.3/bin/linux/amd64/kube-apiserver``. Beside each file lies
one with its SHA-256, called as the publisher does: ``….sha256``, for etcd ``SHA256SUMS``. kwok publishes none, so its
checksum comes from GitHub's description of the release, and on a mirror from a file ``….sha256``.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import platform
import re
import shutil
import sys
import tarfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

from pytest_k8sha import _wait
from pytest_k8sha.errors import ChecksumMismatch, EnvironmentFailure

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_k8sha.providers.base import Progress

_TIMEOUT = 15.0
_RETRY_FOR = 60.0
_BLOCK = 1 << 20
_SHA256 = re.compile(r"\b[0-9a-f]{64}\b")
_DESCRIPTIONS = "https://api.github.com/repos"
_SPARE = 64 * 1024 * 1024


class Unreachable(EnvironmentFailure):
    """There is no such file there, or nobody answers: the next way of getting the program is tried."""


class _Cut(EnvironmentFailure):
    """The connection broke; the rest can still be had."""

    retryable = True


@dataclass(frozen=True)
class Release:
    """One published file. ``sums`` has its checksum: alone, in a list, or in GitHub's description of a release.
    ``member``: the program's name inside it, when it is an archive."""

    url: str
    sums: str
    member: str = ""

    def at(self, mirror: str | None) -> Release:
        """The same file on a mirror."""
        if not mirror:
            return self
        base = mirror.rstrip("/")
        sums = f"{self.url}.sha256" if self.sums.startswith(_DESCRIPTIONS) else self.sums
        return Release(self.url.replace("https:/", base), sums.replace("https:/", base), self.member)


def release_of(name: str, version: str) -> Release | None:
    """Where a program is published for this platform; None where it is not."""
    system, machine = _platform()
    if name.startswith("kube-"):
        if system != "linux":
            return None  # the servers are published for Linux alone
        url = f"https://dl.k8s.io/release/v{version}/bin/{system}/{machine}/{name}"
        return Release(url, f"{url}.sha256")
    base = "https://github.com"
    if name in {"etcd", "etcdctl", "etcdutl"} and system == "linux":
        folder = f"{base}/etcd-io/etcd/releases/download/v{version}"
        stem = f"etcd-v{version}-{system}-{machine}"
        return Release(f"{folder}/{stem}.tar.gz", f"{folder}/SHA256SUMS", f"{stem}/{name}")
    if name == "kwok":
        url = f"{base}/kubernetes-sigs/kwok/releases/download/v{version}/kwok-{system}-{machine}"
        return Release(url, f"{_DESCRIPTIONS}/kubernetes-sigs/kwok/releases/tags/v{version}")
    return None


def fetch(release: Release, target: Path, progress: Progress) -> None:
    """Puts the program at ``target``, executable.

    Raises `Unreachable` when it is not to be had, `ChecksumMismatch` when it is not what was published, and
    `EnvironmentFailure` when there is no room for it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    wanted = _checksum(release)
    part = target.with_name(f"{target.name}.{wanted[:12]}.part")
    progress(f"downloading {release.url}")
    _wait.eventually(
        lambda: _get(release.url, part, progress),
        what=f"the download of {release.url}",
        timeout=_RETRY_FOR,
        interval=0.5,
    )
    seen = _digest(part)
    if seen != wanted:
        part.unlink()
        raise ChecksumMismatch(
            f"{release.url} has the SHA-256 {seen}, and {wanted} was published; it was removed",
            remedy="try again; if it stays so, ask whoever runs the mirror or proxy",
        )
    if release.member:
        _unpack(part, release.member)
    part.chmod(0o755)
    part.replace(target)


def _checksum(release: Release) -> str:
    text = _text(release.sums)
    name = release.url.rpartition("/")[2]
    lines = [line for line in text.splitlines() if name in line] or text.splitlines()[:1]
    if text.startswith("{"):
        try:
            assets = json.loads(text).get("assets") or []
        except ValueError as error:
            raise Unreachable(f"{release.sums} is not JSON ({error})") from error
        lines = [str(asset.get("digest")) for asset in assets if asset.get("name") == name]
    match = _SHA256.search(lines[0]) if lines else None
    if not match:
        raise Unreachable(f"{release.sums} has no SHA-256 of {name}")
    return match[0]


def _text(url: str) -> str:
    try:
        with urllib.request.urlopen(_request(url), timeout=_TIMEOUT) as answer:  # noqa: S310 - see _request
            raw: bytes = answer.read(1 << 20)
    except (OSError, http.client.HTTPException) as error:
        raise Unreachable(f"{url} cannot be read ({error})") from error
    return raw.decode("utf-8", "replace")


def _get(url: str, part: Path, progress: Progress) -> bool:
    """Fetches what ``part`` lacks. Raises `_Cut` when the connection broke before the end."""
    have = part.stat().st_size if part.exists() else 0
    headers = {"Range": f"bytes={have}-"} if have else {}
    try:
        with urllib.request.urlopen(_request(url, headers), timeout=_TIMEOUT) as answer:  # noqa: S310 - see _request
            resumed = answer.status == http.HTTPStatus.PARTIAL_CONTENT
            length = answer.headers.get("Content-Length")
            expected = int(length) if length else None
            _check_room(part, expected or 0)
            if resumed:
                progress(f"resumed after {have >> 20} MiB")
            with part.open("ab" if resumed else "wb") as file:
                got = _copy(answer, file)
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return True  # all of it is there; the checksum will tell
        if error.code >= http.HTTPStatus.INTERNAL_SERVER_ERROR:
            raise _Cut(f"{url} was answered with {error.code}") from error
        raise Unreachable(f"{url} was answered with {error.code}") from error
    except urllib.error.URLError as error:
        raise Unreachable(f"{url} cannot be reached ({error.reason})") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Cut(f"{url} broke off ({error})") from error
    if expected is not None and got < expected:
        raise _Cut(f"{url} broke off after {got} of {expected} bytes")
    return True


def _copy(source: IO[bytes], file: IO[bytes]) -> int:
    got = 0
    while block := source.read(_BLOCK):
        file.write(block)
        got += len(block)
    return got


def _request(url: str, headers: dict[str, str] | None = None) -> urllib.request.Request:
    if not url.startswith(("https://", "http://")):
        raise EnvironmentFailure(
            "this is no address to download from", value=url, remedy="write K8SHA_MIRROR as https://HOST/PATH"
        )
    return urllib.request.Request(url, headers=headers or {})  # noqa: S310 - only http and https come here


def _check_room(path: Path, size: int) -> None:
    free = shutil.disk_usage(path.parent).free
    if free < size + _SPARE:
        raise EnvironmentFailure(
            f"{path.parent} has {free >> 20} MiB free, and {path.name} needs {(size + _SPARE) >> 20}",
            remedy="make room, or name another place in K8SHA_CACHE",
        )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _unpack(archive: Path, member: str) -> None:
    """Replaces the archive by the one file that is wanted of it."""
    inner = archive.with_suffix(".unpacked")
    with tarfile.open(archive) as tar:
        source = tar.extractfile(member)
        if source is None:
            raise EnvironmentFailure(f"{archive.name} has no {member}")
        with source, inner.open("wb") as file:
            shutil.copyfileobj(source, file, _BLOCK)
    inner.replace(archive)


def _platform() -> tuple[str, str]:
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return sys.platform, machine
