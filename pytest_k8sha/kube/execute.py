"""Running a command in a container through the ``exec`` subresource."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_k8sha import _clock
from pytest_k8sha.errors import ApiError, TransportError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.kube.client import Client


ERROR_CHANNEL = 3
"""Where the server sends the final Status (remotecommand protocol v4 and v5)."""


@dataclass(frozen=True)
class Executed:
    """How a command in a container ended. Empty outputs with a code of 0 are an answer, not a missing one."""

    code: int
    stdout: str
    stderr: str


def execute(
    client: Client,
    pod: str,
    namespace: str,
    command: Sequence[str],
    *,
    container: str = "",
    stdin: bytes = b"",
    timeout: float = 30.0,
) -> Executed:
    """Runs ``command`` (no shell) and returns its outputs and exit code. ``timeout`` is for the whole, in seconds.

    Raises `ApiError` when the server refuses, `TransportError` (timeout) when the command does not end in time, and
    `TransportError` (truncated) when the connection ended without the status that carries the exit code.
    """
    path = f"/api/v1/namespaces/{namespace}/pods/{pod}/exec"
    query: dict[str, object] = {
        "command": list(command),
        "stdout": "true",
        "stderr": "true",
        "stdin": "true" if stdin else "false",
        "tty": "false",
    }
    if container:
        query["container"] = container
    deadline = _clock.Deadline(timeout)
    socket = client.socket(path, query=query, timeout=timeout)
    try:
        if stdin:
            socket.write_stdin(stdin)
            if socket.subprotocol == "v5.channel.k8s.io":  # only v5 can say that the input has ended
                socket.close_channel(0)
        out, err, status = _listen(socket, deadline, command[0], path)
    finally:
        socket.close()
    return Executed(_code(status, path), out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))


def _listen(socket: Any, deadline: _clock.Deadline, command: str, path: str) -> tuple[bytes, bytes, bytes]:
    """Both outputs and the status, which the server sends last. It need not close the connection then: some leave that
    to the client when the command could not be started."""
    from websocket import WebSocketException, WebSocketTimeoutException

    out, err, status = bytearray(), bytearray(), bytearray()
    while not status and socket.is_open():
        try:
            socket.update(timeout=min(1.0, deadline.left))
            # The status first: whatever was sent before it has then arrived as well.
            for channel, kept in ((ERROR_CHANNEL, status), (1, out), (2, err)):
                kept += socket.read_channel(channel) or b""
        except WebSocketTimeoutException:
            pass  # a frame that began and did not end; the deadline below tells
        except (WebSocketException, OSError) as error:
            raise TransportError("reset", method="EXEC", path=path, cause=str(error)) from error
        if deadline.passed and not status:
            cause = f"{command} did not end within {deadline.seconds:g} s"
            raise TransportError("timeout", method="EXEC", path=path, cause=cause)
    return bytes(out), bytes(err), bytes(status)


def _code(raw: bytes, path: str) -> int:
    """The exit code from the Status that ends an exec."""
    try:
        status = json.loads(raw)
    except ValueError as error:
        cause = "the connection ended without the status that carries the exit code"
        raise TransportError("truncated", method="EXEC", path=path, cause=cause) from error
    if status.get("status") == "Success":
        return 0
    for cause in (status.get("details") or {}).get("causes") or []:
        if cause.get("reason") == "ExitCode":
            return int(cause["message"])
    # The command never ran, such as an executable that is not there.
    raise ApiError(500, method="EXEC", path=path, reason=status.get("reason", ""), message=status.get("message", ""))
