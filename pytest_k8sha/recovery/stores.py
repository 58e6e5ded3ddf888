"""Stores that the ledger writes to: Kubernetes objects, a file in a pod, an HTTP service, a table of a database.

What a store says becomes an outcome by one rule: *fail* only where the write is known not to have happened. Whatever
leaves it open, such as a time-out or a 5xx after the request was sent, is *info*.
"""

from __future__ import annotations

import base64
import binascii
import http.client
import json
import re
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import urlsplit

from pytest_k8sha.errors import ApiError, Inconclusive, K8shaError, TransportError, UsageError
from pytest_k8sha.kube.execute import execute
from pytest_k8sha.model import nonce
from pytest_k8sha.recovery.ledger import Outcome
from pytest_k8sha.recovery.writer import Record

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_k8sha.kube.client import Client

TIMEOUT = 5.0
"""Seconds for one write."""

READ_TIMEOUT = 60.0

_UNDECIDED = frozenset({408, 409})
"""Answers below 500 that leave open whether an earlier send of the same write was taken."""

_ABSENT = 44
"""The exit code by which the shell says that the file is not there."""


class ConfigMapStore:
    """One ConfigMap a write, in a namespace of the run's own: what the API server acknowledges, etcd has."""

    def __init__(self, client: Client, namespace: str, *, name: str = "", timeout: float = TIMEOUT) -> None:
        self.name = name or nonce("ledger")
        self._maps = client.resource("v1", "ConfigMap")
        self._namespace, self._timeout = namespace, timeout

    def write(self, seq: int, payload: bytes) -> Outcome:
        body = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": f"{self.name}-{seq}"},
            "binaryData": {"payload": _encoded(payload)},
        }
        path = self._maps.kind.path(self._namespace)
        try:
            self._maps.client.request("POST", path, body=body, timeout=self._timeout)
        except ApiError as error:
            return outcome_of_status(error.status)
        except TransportError as error:
            return Outcome.FAIL if error.kind == "refused" else Outcome.INFO
        return Outcome.OK

    def read(self) -> list[Record]:
        found = []
        for item in self._maps.list(self._namespace):
            name, _, number = item["metadata"]["name"].rpartition("-")
            if name == self.name:
                found.append(_record(number, (item.get("binaryData") or {}).get("payload", "")))
        return found


class FileStore:
    """One line a write, appended to a file of a running pod and synced to its disk. Needs ``sh`` and ``sync`` there."""

    def __init__(
        self, client: Client, pod: str, namespace: str, path: str, *, container: str = "", timeout: float = TIMEOUT
    ) -> None:
        self._client, self._pod, self._namespace = client, pod, namespace
        self._path, self._container, self._timeout = path, container, timeout

    def write(self, seq: int, payload: bytes) -> Outcome:
        script = 'printf "%s\\n" "$2" >> "$1" && sync'
        words = ["sh", "-c", script, "ledger", self._path, f"{seq} {_encoded(payload)}"]
        try:
            done = execute(
                self._client, self._pod, self._namespace, words, container=self._container, timeout=self._timeout
            )
        except (ApiError, TransportError):
            return Outcome.INFO
        # What is in the file and not synced may be lost or not.
        return Outcome.OK if done.code == 0 else Outcome.INFO

    def read(self) -> list[Record]:
        script = f'[ -e "$1" ] || exit {_ABSENT}; cat "$1"'
        words = ["sh", "-c", script, "ledger", self._path]
        done = execute(self._client, self._pod, self._namespace, words, container=self._container, timeout=READ_TIMEOUT)
        if done.code == _ABSENT:
            return []
        if done.code:
            raise Inconclusive(f"{self._path} in pod {self._namespace}/{self._pod} cannot be read: {done.stderr[:500]}")
        return [_record(*line.partition(" ")[::2]) for line in done.stdout.splitlines()]


class HttpStore:
    """``PUT URL/NUMBER`` takes a payload (2xx), ``GET URL`` answers a JSON object of payloads (base64) by number."""

    def __init__(self, url: str, *, timeout: float = TIMEOUT) -> None:
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise UsageError("this is no URL of an HTTP service", value=url, allowed=["http://…", "https://…"])
        self._secure, self._host, self._port = parts.scheme == "https", parts.hostname, parts.port
        self._path, self._timeout = parts.path.rstrip("/"), timeout

    def write(self, seq: int, payload: bytes) -> Outcome:
        try:
            status, _ = self._ask("PUT", f"/{seq}", _encoded(payload).encode(), self._timeout)
        except ConnectionRefusedError:
            return Outcome.FAIL
        except (OSError, http.client.HTTPException):
            return Outcome.INFO
        return Outcome.OK if 200 <= status < 300 else outcome_of_status(status)

    def read(self) -> list[Record]:
        try:
            status, body = self._ask("GET", "", None, READ_TIMEOUT)
            content = json.loads(body) if status == 200 else None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Inconclusive(f"{self._host}{self._path} cannot be read: {error}") from error
        if not isinstance(content, dict):
            raise Inconclusive(f"{self._host}{self._path} was answered with {status}, not with an object of payloads")
        return [_record(str(number), str(text)) for number, text in content.items()]

    def _ask(self, method: str, path: str, body: bytes | None, timeout: float) -> tuple[int, bytes]:
        kind = http.client.HTTPSConnection if self._secure else http.client.HTTPConnection
        connection = kind(self._host, self._port, timeout=timeout)
        try:
            connection.request(method, self._path + path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()


class SqlRefused(K8shaError):
    """The database said that it did not do what the statement says."""


class Sql(Protocol):
    """The plug for a database: anything that runs one statement."""

    def __call__(self, statement: str) -> list[tuple[Any, ...]]:
        """Runs one statement in a transaction of its own and returns its rows.

        Raises `SqlRefused` when it is known to have changed nothing, and another `K8shaError` when that is not known.
        """


class SqlStore:
    """One row a write. The table has no key: what was written twice is there twice, and shows."""

    def __init__(self, sql: Sql, table: str) -> None:
        if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", table):
            raise UsageError("a table's name has lower-case letters, digits and underscores", value=table)
        self._sql, self._table = sql, table

    def prepare(self) -> None:
        """Makes the table."""
        self._sql(f"CREATE TABLE IF NOT EXISTS {self._table} (seq BIGINT NOT NULL, payload TEXT NOT NULL)")

    def write(self, seq: int, payload: bytes) -> Outcome:
        try:
            # A checked name, a number and base64: nothing here can become structure.
            self._sql(f"INSERT INTO {self._table} (seq, payload) VALUES ({seq:d}, '{_encoded(payload)}')")  # noqa: S608
        except SqlRefused:
            return Outcome.FAIL
        except K8shaError:
            return Outcome.INFO
        return Outcome.OK

    def read(self) -> list[Record]:
        rows = self._sql(f"SELECT seq, payload FROM {self._table}")  # noqa: S608 - a checked name
        return [_record(str(seq), str(payload)) for seq, payload in rows]


class DbApi:
    """The plug for a driver of Python's DB-API 2.0 (PEP 249), with a connection for each statement.

    ``refused`` are the driver's errors that come with a rollback, such as ``IntegrityError``; ``error`` is their base.
    """

    def __init__(
        self, connect: Callable[[], Any], *, error: type[Exception], refused: Sequence[type[Exception]] = ()
    ) -> None:
        self._connect, self._error, self._refused = connect, error, tuple(refused)

    def __call__(self, statement: str) -> list[tuple[Any, ...]]:
        try:
            connection = self._connect()
            try:
                cursor = connection.cursor()
                cursor.execute(statement)
                rows = [tuple(row) for row in cursor.fetchall()] if cursor.description else []
                connection.commit()
            finally:
                connection.close()
        except self._refused as error:
            raise SqlRefused(str(error)) from error
        except self._error as error:
            raise Inconclusive(f"the database gave no clear answer: {error}") from error
        return rows


def outcome_of_status(status: int) -> Outcome:
    """What an HTTP status of 300 or more says of a write."""
    return Outcome.FAIL if status < 500 and status not in _UNDECIDED else Outcome.INFO


def _encoded(payload: bytes) -> str:
    return base64.b64encode(payload).decode()


def _record(number: str, text: str) -> Record:
    """A record as a store keeps it; one whose number or content cannot be read is a stranger, or corrupt."""
    try:
        payload = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        payload = text.encode()
    return Record(int(number) if number.isascii() and number.isdigit() else None, payload)
