"""A `kind` and a `docker` that keep their clusters as empty files, for the tests of what happens around them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from pytest_k8sha.providers.base import Request
from pytest_k8sha.providers.kind.options import KindOptions
from pytest_k8sha.safety.journal import Journal

DOCKER = r"""#!/bin/sh
# Containers are files CLUSTER.NODE; what a file `stuck` lists is never removed.
cd "$(dirname "$0")/state" || exit 1
echo "docker $*" >> ../calls
[ -e down ] && { echo "Cannot connect to the Docker daemon" >&2; exit 1; }
case "$1 $2" in
  "version "*) echo 1 ;;
  "info "*) cat ../info ;;
  "ps -a")
    case "$4" in
      label=*=*) ls | grep "^${4##*=}\." ;;
      *) ls | grep '\.' | sed 's/\..*//' | sort -u ;;
    esac ;;
  "container inspect")
    shift 2; sep='['
    for name in "$@"; do
      printf '%s{"Name": "/%s", "State": {"Status": "running"}, "Config": {"Labels": {}}}' "$sep" "$name"; sep=','
    done
    echo ']' ;;
  "rm -f") shift 3; for name in "$@"; do grep -qs "$name" stuck || rm -f "$name"; done ;;
  "volume ls") ;;
  *) echo "unexpected: $*" >&2; exit 64 ;;
esac
exit 0
"""

KIND = r"""#!/bin/sh
# `fails` holds what a creation says when it fails; `flaky` makes every deletion fail.
here=$(dirname "$0"); cd "$here/state" || exit 1
echo "kind $*" >> ../calls
case "$1 $2" in
  "version "*) echo "kind v0.0.1" ;;
  "create cluster") touch "$4.$4-control-plane"; [ -e fails ] && { cat fails >&2; exit 1; } ;;
  "delete cluster") [ -e flaky ] && { echo "the engine is busy" >&2; exit 1; }; rm -f "$4".* ;;
  "export logs") mkdir -p "$3/$5-control-plane"; echo "kubelet has stopped" > "$3/$5-control-plane/kubelet.log" ;;
  *) exit 64 ;;
esac
exit 0
"""


@dataclass
class Fakes:
    """The folder of both commands; ``state`` holds their clusters and switches."""

    folder: Path

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def switch(self, name: str, text: str = "") -> None:
        (self.state / name).write_text(text)

    def calls(self, start: str) -> list[str]:
        """The calls that begin with these words."""
        file = self.folder / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        return [line for line in lines if line.startswith(start)]

    @property
    def containers(self) -> list[str]:
        return sorted(path.name for path in self.state.glob("*.*"))


def install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Fakes:
    """Puts both commands on PATH, before the real ones."""
    folder.mkdir()
    (folder / "state").mkdir()
    (folder / "info").write_text(f'{{"DockerRootDir": "{folder}", "CgroupVersion": "2"}}')
    for name, text in {"docker": DOCKER, "kind": KIND}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.delenv("KIND_EXPERIMENTAL_PROVIDER", raising=False)
    return Fakes(folder)


def order(base: Path, *, argument: str | None = None, **options: object) -> Request:
    """An order for a cluster `east` in a folder of its own."""
    place = base / "place"
    place.mkdir(mode=0o700)
    journal = Journal(base / "journal.jsonl", run="test", label="test")
    said: list[str] = []
    return Request("east", argument, KindOptions.model_validate(options), place, journal, said.append, None)
