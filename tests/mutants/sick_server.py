"""A proxy that makes a real API server sick: a share of the requests is answered with 500 or 429, reset, or never.

Real sockets and TLS on both sides. The proxy asks for the client's certificate, and tells the API server who that is by
its front-proxy headers; a token is passed on as it is. Half of the faults come after the API server has done what was
asked, so that only the answer is lost.
"""

from __future__ import annotations

import http.client
import json
import random
import socket
import ssl
import struct
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytest_k8sha.providers.local.certs import Authority, write

KINDS = {"500": 0.4, "429": 0.35, "reset": 0.2, "hang": 0.05}
"""The faults by their share; a hang costs its client the whole time-out."""
HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host", "upgrade", "te", "trailer"}
SAID = {"500": ("InternalError", "the proxy says so"), "429": ("TooManyRequests", "the proxy says so")}


class Handler(BaseHTTPRequestHandler):
    """One connection of a client."""

    protocol_version = "HTTP/1.1"
    server: Any

    def handle_one_request(self) -> None:
        try:
            super().handle_one_request()
        except (OSError, http.client.HTTPException):
            self.close_connection = True

    def _serve(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        fault, late = self.server.draw()
        answer = self._forward(body) if not fault or late else None
        match fault:
            case "reset":
                self.close_connection = True
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            case "hang":
                self.close_connection = True
                self.server.hold.wait(self.server.patience)
            case "500" | "429":
                reason, message = SAID[fault]
                status = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason}
                content = json.dumps({**status, "message": message, "code": int(fault)}).encode()
                self._answer(int(fault), [("Content-Type", "application/json")], content)
            case _:
                assert answer is not None
                self._answer(*answer)

    def _forward(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        token = "Authorization" in self.headers
        upstream = self.server.connect(known=not token)
        try:
            upstream.putrequest(self.command, self.path, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in HOP and not name.lower().startswith("x-remote-"):
                    upstream.putheader(name, value)
            for name, value in () if token else self._who():
                upstream.putheader(name, value)
            upstream.putheader("Content-Length", str(len(body)))
            upstream.endheaders(body)
            response = upstream.getresponse()
            headers = [(n, v) for n, v in response.getheaders() if n.lower() not in HOP]
            return response.status, headers, response.read()
        finally:
            upstream.close()

    def _who(self) -> list[tuple[str, str]]:
        subject = dict.fromkeys(["organizationName", "commonName"], ())
        certificate = self.connection.getpeercert()  # type: ignore[attr-defined]
        for part in (certificate or {}).get("subject", ()):
            for key, value in part:
                subject[key] = (*subject.get(key, ()), value)  # type: ignore[assignment]
        if not subject["commonName"]:
            return [("X-Remote-User", "system:anonymous"), ("X-Remote-Group", "system:unauthenticated")]
        groups = [("X-Remote-Group", group) for group in (*subject["organizationName"], "system:authenticated")]
        return [("X-Remote-User", subject["commonName"][0]), *groups]

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        """Says nothing."""


for _method in ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"):
    setattr(Handler, f"do_{_method}", Handler._serve)


class Server(ThreadingHTTPServer):
    """Threads of clients that are gone do not hold it up."""

    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, *_: Any) -> None:
        """A client that went away is no error here."""


class SickServer:
    """Well until ``share`` is set. ``patience`` is how long a hang lasts, in seconds: longer than any client waits."""

    def __init__(self, upstream: str, pki: Path, folder: Path, *, seed: int, patience: float) -> None:
        write(folder, "sick", Authority.load(pki).issue("sick", hosts=("127.0.0.1", "localhost")))
        self.share = 0.0
        self.faults: Counter[str] = Counter()
        self.served = 0
        self._random, self._lock = random.Random(seed), threading.Lock()  # noqa: S311 - faults, no secrets
        self._upstream = urlsplit(upstream)
        self._contexts = {known: ssl.create_default_context(cafile=pki / "ca.crt") for known in (True, False)}
        self._contexts[True].load_cert_chain(pki / "front-proxy-client.crt", pki / "front-proxy-client.key")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "sick.crt", folder / "sick.key")
        context.load_verify_locations(pki / "ca.crt")
        context.verify_mode = ssl.CERT_OPTIONAL
        self._server: Any = Server(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._server.hold, self._server.patience = threading.Event(), patience
        self._server.draw, self._server.connect = self._draw, self._connect
        self.url = f"https://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _draw(self) -> tuple[str, bool]:
        with self._lock:
            self.served += 1
            if self._random.random() >= self.share:
                return "", False
            (kind,) = self._random.choices(list(KINDS), list(KINDS.values()))
            self.faults[kind] += 1
            return kind, self._random.random() < 0.5

    def _connect(self, *, known: bool) -> http.client.HTTPSConnection:
        host, port = str(self._upstream.hostname), self._upstream.port
        return http.client.HTTPSConnection(host, port, timeout=30, context=self._contexts[known])

    def close(self) -> None:
        self._server.hold.set()
        self._server.shutdown()
        self._server.server_close()
