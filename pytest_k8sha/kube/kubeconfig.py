"""Reading kubeconfig files: one context at a time, exec plugins included. A user's file is never written."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import EnvironmentFailure, FileProblem, FileProblems, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubernetes.client import ApiClient

POOL = 32
"""Connections kept per thread and cluster."""

_LOADING = threading.Lock()

_FILES = ("certificate-authority", "client-certificate", "client-key", "tokenFile")


@dataclass(frozen=True)
class Context:
    """One context with all relative paths resolved: a kubeconfig of its own, as a dictionary."""

    name: str
    config: dict[str, Any]

    @property
    def server(self) -> str:
        return str(self.config["clusters"][0]["cluster"].get("server", ""))

    def connector(self, private: Path) -> Callable[[], ApiClient]:
        """A function that makes an ``ApiClient``; inline keys are put into files below ``private`` (0700).

        The function raises `EnvironmentFailure` when the credentials cannot be used, such as an exec plugin that fails.
        """

        def connect() -> ApiClient:
            warm()
            from kubernetes.client import ApiClient, Configuration
            from kubernetes.config import load_kube_config_from_dict
            from kubernetes.config.config_exception import ConfigException

            configuration = Configuration()
            configuration.retries = False
            configuration.connection_pool_maxsize = POOL
            try:
                load_kube_config_from_dict(  # type: ignore[no-untyped-call]
                    self.config,
                    context=self.name,
                    client_configuration=configuration,
                    persist_config=False,
                    temp_file_path=str(private),
                )
            except ConfigException as error:
                raise EnvironmentFailure(
                    f"the credentials of context {self.name} cannot be used: {error}",
                    remedy="log in again, or check the exec plugin and the files that the kubeconfig names",
                ) from error
            return ApiClient(configuration=configuration)

        return connect


def warm() -> None:
    """Loads the client library, in one thread at a time: its modules import each other in circles, and of threads that
    enter such a circle at once some see it half made."""
    with _LOADING:
        from kubernetes.client import ApiClient  # noqa: F401 - newer releases load a name when it is first asked for
        from kubernetes.config import load_kube_config_from_dict  # noqa: F401


def paths(explicit: str | Path | None = None) -> list[Path]:
    """The files that count: the one given, else those of ``KUBECONFIG``, else ``~/.kube/config``."""
    if explicit:
        return [Path(explicit).expanduser()]
    listed = [Path(p).expanduser() for p in os.environ.get("KUBECONFIG", "").split(os.pathsep) if p]
    return listed or [Path.home() / ".kube" / "config"]


def names(explicit: str | Path | None = None) -> list[str]:
    """The contexts of the kubeconfig; none where no file exists. Raises `FileProblems` for one that cannot be read."""
    found = [entry.get("name") for path in paths(explicit) if path.is_file() for entry in _entries(_read(path))]
    return list(dict.fromkeys(str(name) for name in found if name))


def _entries(data: dict[str, Any]) -> list[dict[str, Any]]:
    return [entry for entry in data.get("contexts") or [] if isinstance(entry, dict)]


def load(explicit: str | Path | None = None, context: str | None = None) -> Context:
    """One context of the kubeconfig; the current one when ``context`` is None.

    Raises `FileProblems` for a file that cannot be read, `UsageError` for a context that is not in it.
    """
    merged: dict[str, list[dict[str, Any]]] = {"clusters": [], "users": [], "contexts": []}
    current = ""
    wanted = paths(explicit)
    readable = [path for path in wanted if path.is_file()] or wanted[:1]
    for path in readable:
        data = _read(path)
        current = current or data.get("current-context") or ""
        for section, entries in merged.items():
            known = {entry["name"] for entry in entries}
            for entry in data.get(section) or []:
                if entry.get("name") not in known:  # as kubectl: the first file to say something wins
                    entries.append(_resolved(entry, path.parent))
    name = context or current
    chosen = _named(merged["contexts"], name)
    if chosen is None:
        raise UsageError(
            "unknown kubeconfig context" if name else "the kubeconfig has no current context",
            value=name or str(readable[0]),
            allowed=[c["name"] for c in merged["contexts"]],
        )
    inner = chosen.get("context") or {}
    cluster, user = _named(merged["clusters"], inner.get("cluster")), _named(merged["users"], inner.get("user"))
    if cluster is None:
        raise UsageError(f"context {name} names a cluster that the kubeconfig lacks", value=inner.get("cluster"))
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [chosen],
        "clusters": [cluster],
        "users": [user] if user else [{"name": inner.get("user", ""), "user": {}}],
    }
    return Context(name, config)


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        data = yaml.safe_load(path.read_text())
    except OSError as error:
        raise FileProblems([FileProblem(str(path), 0, "", f"cannot be read ({error.strerror})")]) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line + 1 if mark else 0
        raise FileProblems([FileProblem(str(path), line, "", f"is not YAML ({error})")]) from error
    if not isinstance(data, dict):
        raise FileProblems([FileProblem(str(path), 1, "", "is not a kubeconfig")])
    return data


def _resolved(entry: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The entry with file names made absolute, as relative ones count from the file that holds them."""
    result = {**entry}
    for part in ("cluster", "user"):
        if isinstance(entry.get(part), dict):
            inner = dict(entry[part])
            for key in _FILES:
                if inner.get(key):
                    inner[key] = str((folder / inner[key]).resolve())
            command = (inner.get("exec") or {}).get("command", "")
            if "/" in command:
                inner["exec"] = {**inner["exec"], "command": str((folder / command).resolve())}
            result[part] = inner
    return result


def _named(entries: list[dict[str, Any]], name: str | None) -> dict[str, Any] | None:
    return next((entry for entry in entries if entry.get("name") == name), None)
