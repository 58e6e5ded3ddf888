"""The client against a socket that does what no healthy server does: silence, resets, cuts, storms of 429."""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_k8sha import _process
from pytest_k8sha._clock import Deadline
from pytest_k8sha._wait import eventually
from pytest_k8sha.errors import ApiError, ImpactRefused, TransportError
from pytest_k8sha.kube.client import Client
from pytest_k8sha.kube.kubeconfig import Context
from pytest_k8sha.model import Impact, Run
from pytest_k8sha.safety.guard import Guard

Answer = Callable[[socket.socket, bytes], None]


@contextmanager
def server(answer: Answer) -> Iterator[tuple[str, list[bytes]]]:
    """A TCP server that reads one request head a connection and lets ``answer`` do what it wants."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(5)
    heads: list[bytes] = []
    kept: list[socket.socket] = []

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            kept.append(connection)
            connection.settimeout(5)
            try:
                head = connection.recv(65536)
            except OSError:
                continue
            if head:
                heads.append(head)
                answer(connection, head)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}", heads
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(2)
        for connection in kept:
            connection.close()


def respond(status: str, body: object, *, extra: str = "", cut: int = 0) -> Answer:
    """A proper HTTP answer, short of its last ``cut`` bytes."""

    def answer(connection: socket.socket, _: bytes) -> None:
        data = json.dumps(body).encode()
        head = f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {len(data)}\r\n{extra}"
        connection.sendall(f"{head}Connection: close\r\n\r\n".encode() + data[: len(data) - cut])
        connection.shutdown(socket.SHUT_RDWR)

    return answer


def silence(_connection: socket.socket, _head: bytes) -> None:
    """A half-open connection: it stays, and nothing comes."""


def reset(connection: socket.socket, _: bytes) -> None:
    """An RST instead of an answer."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def client(url: str, tmp_path: Path, ceiling: Impact = Impact.DISRUPT) -> Client:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "t",
        "contexts": [{"name": "t", "context": {"cluster": "t", "user": "t"}}],
        "clusters": [{"name": "t", "cluster": {"server": url}}],
        "users": [{"name": "t", "user": {"token": "secret-token"}}],
    }
    guard = Guard("t", ceiling, Run("run-1", "me", 0), look=lambda _: None)
    return Client(Context("t", config).connector(tmp_path), guard=guard, private=tmp_path)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(silence, "timeout"), (reset, "reset"), (respond("200 OK", {"a": "b" * 100}, cut=20), "truncated")],
    ids=["half-open", "reset", "truncated"],
)
def test_a_broken_transport_is_no_answer(answer: Answer, kind: str, tmp_path: Path) -> None:
    """Silence, resets and cut bodies are `TransportError` of their own kind, within the deadline, and retryable."""
    with server(answer) as (url, _):
        deadline = Deadline(5)
        with pytest.raises(TransportError) as caught:
            client(url, tmp_path).request("GET", "/version", timeout=0.3)
        assert caught.value.kind == kind
        assert caught.value.retryable
        assert not deadline.passed


def test_nobody_listens(tmp_path: Path) -> None:
    """A closed port is `refused`, at once."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    with pytest.raises(TransportError) as caught:
        client(url, tmp_path).get("/version")
    assert caught.value.kind == "refused"


def test_there_are_no_hidden_retries(tmp_path: Path) -> None:
    """One call is one request, whatever goes wrong: a retry would turn an outage into a success."""
    with server(reset) as (url, heads):
        with pytest.raises(TransportError):
            client(url, tmp_path).get("/version")
        assert len(heads) == 1
    with server(respond("503 Service Unavailable", {}, extra="Retry-After: 0\r\n")) as (url, heads):
        with pytest.raises(ApiError):
            client(url, tmp_path).get("/version")
        assert len(heads) == 1


def test_an_answer_that_is_no_json_is_no_answer(tmp_path: Path) -> None:
    """A body that claims to be JSON and is not counts as truncated, never as an empty success."""

    def answer(connection: socket.socket, _: bytes) -> None:
        connection.sendall(b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 3\r\n\r\n{"a')

    with server(answer) as (url, _), pytest.raises(TransportError, match="truncated"):
        client(url, tmp_path).get("/version")


def test_the_status_object_is_kept(tmp_path: Path) -> None:
    """Status, reason, message and Retry-After of a refusal are on the error."""
    body = {"kind": "Status", "reason": "TooManyRequests", "message": "slow down", "details": {"x": 1}}
    with server(respond("429 Too Many Requests", body, extra="Retry-After: 3\r\n")) as (url, _):
        with pytest.raises(ApiError) as caught:
            client(url, tmp_path).get("/api/v1/pods")
    error = caught.value
    assert (error.status, error.reason, error.message, error.retry_after) == (429, "TooManyRequests", "slow down", 3.0)
    assert error.retryable


def test_a_storm_of_429_ends_with_the_deadline_and_tells(tmp_path: Path) -> None:
    """A wait through a storm stays within its deadline and names the last answer."""
    from pytest_k8sha.errors import WaitTimeout

    body = {"kind": "Status", "reason": "TooManyRequests", "message": "slow down"}
    with server(respond("429 Too Many Requests", body)) as (url, heads):
        user = client(url, tmp_path)
        with pytest.raises(ApiError, match="slow down"):
            user.get("/version")  # the client's library is loaded by then
        deadline = Deadline(5)
        with pytest.raises(WaitTimeout, match="slow down"):
            eventually(lambda: user.get("/version"), timeout=0.4, interval=0.05)
        assert not deadline.passed
        assert len(heads) > 2


def test_nothing_is_sent_above_the_ceiling(tmp_path: Path) -> None:
    """Above the ceiling not a byte leaves: the server sees no connection."""
    with server(respond("200 OK", {})) as (url, heads):
        user = client(url, tmp_path, Impact.OBSERVE)
        for method, path in [
            ("POST", "/api/v1/namespaces"),
            ("DELETE", "/api/v1/namespaces/x"),
            ("PATCH", "/apis/apps/v1/namespaces/x/deployments/y"),
            ("PUT", "/api/v1/nodes/n/status"),
            ("GET", "/api/v1/namespaces/x/pods/p/exec"),
            ("GET", "/api/v1/nodes/n/proxy/metrics"),
        ]:
            with pytest.raises(ImpactRefused):
                user.request(method, path, body={"metadata": {}} if method != "GET" else None)
        assert heads == []
        user.get("/api/v1/pods")
        assert len(heads) == 1


def test_the_token_is_sent_and_never_shown(tmp_path: Path) -> None:
    """The credentials go into the header and into no error message."""
    with server(respond("403 Forbidden", {"kind": "Status", "reason": "Forbidden", "message": "no"})) as (url, heads):
        with pytest.raises(ApiError) as caught:
            client(url, tmp_path).get("/api/v1/pods")
    assert b"Bearer secret-token" in heads[0]
    assert "secret-token" not in str(caught.value)


def test_impersonation_sends_user_and_every_group(tmp_path: Path) -> None:
    """Each group is a header of its own; uid and extra are sent as well."""
    with server(respond("200 OK", {"kind": "APIGroupDiscoveryList", "items": []})) as (url, heads):
        user = client(url, tmp_path).impersonate("bob", ("a", "b"), uid="7", extra={"scopes": "x"})
        user.get("/version")
    text = heads[-1].decode().lower()
    assert "impersonate-user: bob" in text
    assert "impersonate-group: a" in text
    assert "b" in text.split("impersonate-group:", 1)[1].split("user-agent")[0]
    assert "impersonate-uid: 7" in text
    assert "impersonate-extra-scopes: x" in text


def test_new_objects_are_stamped(tmp_path: Path) -> None:
    """What is created carries run id, owner and expiry; what exists and is patched is not claimed."""
    guard = Guard("t", Impact.DISRUPT, Run("run-1", "me", 42), look=lambda _: None)
    made = guard.admit(
        "POST", "/api/v1/namespaces/x/configmaps", None, {"metadata": {"name": "c", "labels": {"a": "b"}}}
    )
    assert made.body["metadata"]["labels"] == {
        "a": "b",
        "k8sha.dev/run": "run-1",
        "k8sha.dev/owner": "me",
        "k8sha.dev/expires": "42",
    }
    patched = guard.admit("PATCH", "/api/v1/namespaces/x/configmaps/c", None, {"metadata": {"labels": {"a": "c"}}})
    assert patched.body == {"metadata": {"labels": {"a": "c"}}}


def test_many_threads_make_the_first_client() -> None:
    """The modules of the client library import each other in circles, and threads that enter one at once deadlock or
    see them half made. Without its lock this fails in about half of all runs."""
    program = Path(__file__).parent / "data" / "first_clients.py"
    assert _process.run([sys.executable, str(program)], timeout=60).stdout == ""
