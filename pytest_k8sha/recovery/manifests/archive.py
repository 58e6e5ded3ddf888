"""The files of a backup, from a folder or an archive. Names that lead out of it, and links, are refused."""

from __future__ import annotations

import gzip
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from pytest_k8sha.errors import FileProblem, FileProblems

if TYPE_CHECKING:
    from collections.abc import Iterator

SUFFIXES = (".json", ".yaml", ".yml")
MOST = 4 << 30
"""Bytes of an unpacked archive: more is a mistake or an attack."""


def files(path: Path) -> dict[str, bytes]:
    """The YAML and JSON files of a backup by their name in it. Nothing is unpacked to the disk.

    Raises `FileProblems` with every member that is refused: ``..`` in a name, an absolute name, a link, a device; for a
    file that is no archive, and for a backup that holds nothing.
    """
    problems: list[FileProblem] = []
    found: dict[str, bytes] = {}
    total = 0
    try:
        for name, content in _folder(path, problems) if path.is_dir() else _archive(path, problems):
            total += len(content)
            if total > MOST:
                problems.append(FileProblem(str(path), 0, name, f"unpacked it is larger than {MOST >> 30} GiB"))
                break
            found[name] = content
    except (OSError, EOFError, tarfile.TarError, zipfile.BadZipFile, gzip.BadGzipFile, zlib.error) as error:
        problems.append(FileProblem(str(path), 0, "", f"cannot be read as a folder, tar or zip ({error})"))
    if not found and not problems:
        problems.append(FileProblem(str(path), 0, "", "is an empty backup: it holds no *.yaml, *.yml or *.json file"))
    if problems:
        raise FileProblems(problems)
    return found


def _folder(path: Path, problems: list[FileProblem]) -> Iterator[tuple[str, bytes]]:
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if file.is_symlink():
            problems.append(FileProblem(str(path), 0, name, "is a symbolic link; a backup holds what it holds itself"))
        elif file.is_file() and file.suffix in SUFFIXES:
            yield name, file.read_bytes()


def _archive(path: Path, problems: list[FileProblem]) -> Iterator[tuple[str, bytes]]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                linked = (info.external_attr >> 16) & 0o170000 == 0o120000
                if _fine(path, info.filename, problems, linked=linked) and not info.is_dir():
                    yield info.filename, archive.read(info)
        return
    with tarfile.open(path) as tar:
        for member in tar:
            odd = member.issym() or member.islnk() or not (member.isfile() or member.isdir())
            if _fine(path, member.name, problems, linked=odd) and member.isfile():
                file = tar.extractfile(member)
                yield member.name.removeprefix("./"), file.read() if file else b""


def _fine(path: Path, name: str, problems: list[FileProblem], *, linked: bool) -> bool:
    """Whether a member is to be read; one that may not be in a backup is a problem."""
    parts = PurePosixPath(name.replace("\\", "/"))
    if linked:
        problems.append(FileProblem(str(path), 0, name, "is a link or a device; a backup holds what it holds itself"))
    elif parts.is_absolute() or ".." in parts.parts:
        problems.append(FileProblem(str(path), 0, name, "leads out of the archive"))
    else:
        return parts.suffix in SUFFIXES
    return False
