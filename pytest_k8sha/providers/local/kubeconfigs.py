"""Kubeconfig files for a cluster's own programs and its administrator. They are JSON, which is YAML as well."""

from __future__ import annotations

import base64
import json
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

CLIENTS: dict[str, tuple[str, tuple[str, ...]]] = {
    "admin": ("kubernetes-admin", ("system:masters",)),
    "controller-manager": ("system:kube-controller-manager", ()),
    "scheduler": ("system:kube-scheduler", ()),
    "kwok": ("k8sha:kwok", ("system:masters",)),
    "monitor": ("k8sha:monitor", ("system:monitoring",)),
}
"""Who the programs of a cluster are to its API servers: name of the files → CN, O."""


def write(path: Path, *, name: str, server: str, pki: Path, client: str) -> None:
    """Writes a kubeconfig with one context, called ``name``, that shows the certificate ``PKI/CLIENT.crt``.

    The certificates are embedded, so the file can be copied; it is readable by this user only.
    """
    user = f"{name}-{client}"
    content = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "clusters": [
            {"name": name, "cluster": {"server": server, "certificate-authority-data": _data(pki / "ca.crt")}}
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": _data(pki / f"{client}.crt"),
                    "client-key-data": _data(pki / f"{client}.key"),
                },
            }
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": user}}],
    }
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        json.dump(content, file, indent=1)


def _data(path: Path) -> str:
    return base64.b64encode(path.read_bytes()).decode()
