"""What must not be told of a namespace: the values of its Secrets, and those of ConfigMap keys, environment variables
and annotations whose name says that they hold a credential."""

from __future__ import annotations

import base64
import binascii
import re
from typing import TYPE_CHECKING, Any

from pytest_k8sha.record.redact import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

LONGEST = 8192
"""Characters of a value that is looked for; a longer one, such as a package of a deployment tool, is no credential."""

_NAME = re.compile(r"pass|secret|token|credential|auth|key|private|dsn|connection", re.IGNORECASE)

Obj = dict[str, Any]


class Masks:
    """Values that are masked in every line of a diagnosis, besides what `Redactor` knows by its form."""

    def __init__(self) -> None:
        self._redactor = Redactor()

    def learn(self, secrets: Iterable[Obj], maps: Iterable[Obj], pods: Iterable[Obj]) -> None:
        """Takes in what the objects of a namespace hold."""
        for value in (*_of_secrets(secrets), *_of_others(maps, pods)):
            if len(value) <= LONGEST:
                self._redactor.add(value)

    def text(self, value: str) -> str:
        return self._redactor.text(value)


def _of_secrets(secrets: Iterable[Obj]) -> Iterator[str]:
    for secret in secrets:
        for value in (secret.get("data") or {}).values():
            try:
                yield base64.b64decode(value, validate=True).decode("utf-8", "replace")
            except (binascii.Error, ValueError):
                yield str(value)


def _of_others(maps: Iterable[Obj], pods: Iterable[Obj]) -> Iterator[str]:
    for obj in (*maps, *pods):
        pairs = [*(obj.get("data") or {}).items(), *(obj["metadata"].get("annotations") or {}).items()]
        spec = obj.get("spec") or {}
        for group in ("initContainers", "containers", "ephemeralContainers"):
            for container in spec.get(group) or []:
                pairs += [(env["name"], env.get("value") or "") for env in container.get("env") or []]
        yield from (str(value) for name, value in pairs if _NAME.search(name))
