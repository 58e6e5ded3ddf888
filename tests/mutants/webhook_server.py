"""A validating webhook: HTTPS, a certificate that the API server is told to trust, a list of what it judged."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from pytest_k8sha.providers.local.certs import Authority, write

FORBIDDEN = "example.com/forbidden"
"""A label that the webhook refuses."""


class Handler(BaseHTTPRequestHandler):
    """Answers an AdmissionReview (admission.k8s.io/v1)."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request = review["request"]
        labels = ((request.get("object") or {}).get("metadata") or {}).get("labels") or {}
        answer: dict[str, Any] = {"uid": request["uid"], "allowed": FORBIDDEN not in labels}
        if not answer["allowed"]:
            answer["status"] = {"code": 403, "message": f"the label {FORBIDDEN} is forbidden"}
        body = json.dumps({"apiVersion": review["apiVersion"], "kind": review["kind"], "response": answer}).encode()
        server: Any = self.server
        server.judged.append(request["operation"])
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Says nothing."""


class WebhookServer:
    """Serves from its making until `close`. ``judged`` are the operations that it was asked about."""

    def __init__(self, folder: Path) -> None:
        authority = Authority.create("webhook-ca")
        write(folder, "webhook", authority.issue("webhook", hosts=("127.0.0.1",)))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "webhook.crt", folder / "webhook.key")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self.judged: list[str] = []
        self._server.judged = self.judged  # type: ignore[attr-defined]
        self.url = f"https://127.0.0.1:{self._server.server_port}/"
        self.ca = base64.b64encode(authority.pair.cert.encode()).decode()
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
