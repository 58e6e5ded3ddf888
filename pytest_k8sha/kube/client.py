"""The only module that sends requests to Kubernetes: raw JSON over the connection pool of ``kubernetes.client``.

The typed models are never used: they cost seconds on large lists and refuse what real servers send. Hidden retries are
off, since a retry would turn an outage into a success. Works with the client's releases 36 and 37.
"""

from __future__ import annotations

import json
import ssl
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import urllib3

from pytest_k8sha import __version__, _clock
from pytest_k8sha.errors import ApiError, Inconclusive, TransportError
from pytest_k8sha.kube import tls
from pytest_k8sha.kube.discovery import Discovery
from pytest_k8sha.kube.resources import Resource
from pytest_k8sha.model import nonce

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from kubernetes.client import ApiClient

    from pytest_k8sha.safety.guard import Guard

TIMEOUT = 30.0
"""Seconds for one request, unless told otherwise."""

CONNECT_TIMEOUT = 5.0

LONGEST_MESSAGE = 20_000
"""Characters of an answer that is no Status, such as the list of ``/readyz?verbose``, that an error carries."""

_CONTENT_TYPES = {"PATCH": "application/merge-patch+json"}


@dataclass(frozen=True)
class Answer:
    """What the server answered. The names of ``headers`` are in lower case; the ``body`` of a refusal has its reason
    and message."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Client:
    """Requests to one cluster as one identity. Usable from several threads; each has connections of its own.

    ``make`` builds an ``ApiClient``; ``private`` is a folder (0700) for keys that must be files; ``headers`` are added
    to each request.
    """

    def __init__(
        self,
        make: Callable[[], ApiClient],
        *,
        guard: Guard,
        private: Path,
        headers: Mapping[str, str] | None = None,
        who: str = "",
        discovery: Discovery | None = None,
    ) -> None:
        self._make = make
        self._local = threading.local()
        self.guard = guard
        self._private = private
        # Not a plain mapping: a header such as Impersonate-Group may be given several times.
        self._headers = urllib3.HTTPHeaderDict(headers or {})
        self._headers.setdefault("User-Agent", f"pytest-k8sha/{__version__} (run {guard.run.id})")
        self.who = who
        self._discovery = discovery
        if guard.look is None:
            guard.look = self.look

    @property
    def discovery(self) -> Discovery:
        """What the server offers; read once, shared by every identity."""
        if self._discovery is None:
            self._discovery = Discovery(self)
        return self._discovery

    @property
    def api_client(self) -> ApiClient:
        """This thread's ``ApiClient``."""
        if not hasattr(self._local, "client"):
            made = self._make()
            tls.pooled(made.rest_client.pool_manager.connection_pool_kw)
            self._local.client = made
        client: ApiClient = self._local.client
        return client

    @property
    def server(self) -> str:
        """The URL of the API server."""
        return str(self.api_client.configuration.host)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        body: Any = None,
        content_type: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = TIMEOUT,
    ) -> Any:
        """Sends one request, once, and returns the parsed JSON (text where the answer is not JSON).

        Raises `ApiError` for a status of 400 or more, `TransportError` when no usable answer came, and `ImpactRefused`
        when the request is above the cluster's ceiling.
        """
        ticket = self.guard.admit(method, path, query, body)
        try:
            response = self._send(method, path, query, ticket.body, content_type, headers, timeout, stream=False)
            answer = self._decode(method, path, response)
        except ApiError as error:
            # A 5xx may come after the object was stored; only a refusal says that nothing was made.
            self.guard.settle(ticket, method, path, None, refused=400 <= error.status < 500)
            raise
        self.guard.settle(ticket, method, path, answer, refused=False)
        return answer

    def get(self, path: str, **query: Any) -> Any:
        """GET as parsed JSON or text."""
        return self.request("GET", path, query=query or None)

    def answer(self, path: str, *, query: Mapping[str, Any] | None = None, timeout: float = TIMEOUT) -> Answer:
        """One GET whose answer is wanted whatever its status, with its headers.

        Raises `TransportError` when no usable answer came, and `ImpactRefused`.
        """
        self.guard.admit("GET", path, query, None)
        response = self._send("GET", path, query, None, None, None, timeout, stream=False)
        try:
            body = self._decode("GET", path, response)
        except ApiError as error:
            body = {"reason": error.reason, "message": error.message}
        return Answer(response.status, {name.lower(): text for name, text in response.headers.items()}, body)

    def stream(self, path: str, *, query: Mapping[str, Any], timeout: float) -> Iterator[bytes]:
        """The lines of a GET that does not end by itself, such as a watch. ``timeout`` is the longest silence."""
        self.guard.admit("GET", path, query, None)
        response = self._send("GET", path, query, None, None, None, timeout, stream=True)
        if response.status >= 400:
            self._decode("GET", path, response)
        rest = b""
        try:
            for chunk in response.stream(amt=None):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from filter(None, lines)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _transport(error, "GET", path) from error
        finally:
            response.close()
        if rest.strip():
            raise TransportError("truncated", method="GET", path=path, cause="the last event was cut short")

    def socket(self, path: str, *, query: Mapping[str, Any], timeout: float) -> Any:
        """A WebSocket to a connecting subresource such as ``exec``, on an ``ApiClient`` of its own: the library's
        stream would otherwise change the shared one under the feet of other threads.

        Raises `ApiError` when the server refuses the upgrade, `TransportError` when there is no answer.
        """
        from kubernetes.stream.ws_client import get_websocket_url
        from websocket import WebSocketBadStatusException, WebSocketException

        from pytest_k8sha.kube.stream import Stream

        if any(name.lower().startswith("impersonate-") for name in self._headers):
            raise Inconclusive(
                f"{path} cannot be opened as {self.who}: a WebSocket carries no impersonation",
                remedy="use the identity's own certificate or token",
            )
        self.guard.admit("GET", path, query, None)
        configuration = self._make().configuration
        headers = {s["key"]: s["value"] for s in configuration.auth_settings().values() if s.get("value")}
        pairs = [(k, v) for k, values in query.items() for v in (values if isinstance(values, list) else [values])]
        url = get_websocket_url(configuration.host.rstrip("/") + path, pairs)  # type: ignore[no-untyped-call]
        try:
            opened = Stream(configuration, url, headers, capture_all=False, binary=True)  # type: ignore[no-untyped-call]
        except WebSocketBadStatusException as error:
            status = _status_object(error.resp_body)
            raise ApiError(
                error.status_code,
                method="GET",
                path=path,
                reason=status.get("reason", ""),
                message=status.get("message", ""),
            ) from error
        except (WebSocketException, OSError) as error:
            raise _transport(error, "GET", path) from error
        opened.sock.settimeout(timeout)
        return opened

    def resource(self, api_version: str, kind: str) -> Resource:
        """The operations on one kind, as the server's discovery describes it."""
        return Resource(self, self.discovery.find(api_version, kind))

    def impersonate(
        self,
        user: str,
        groups: tuple[str, ...] = (),
        uid: str = "",
        extra: Mapping[str, str] | None = None,
    ) -> Client:
        """The same connection, acting as somebody else; the server must allow this identity to impersonate."""
        headers = urllib3.HTTPHeaderDict(self._headers)
        if user:
            headers["Impersonate-User"] = user
        for group in groups:
            headers.add("Impersonate-Group", group)
        if uid:
            headers["Impersonate-Uid"] = uid
        for key, value in (extra or {}).items():
            headers.add(f"Impersonate-Extra-{key}", value)
        return self._derive(self._make, headers, who=user)

    def with_token(self, token: str, *, who: str) -> Client:
        """The same server with a bearer token instead of this identity's credentials."""
        self.guard.run.secrets.add(token)
        return self._derive(
            lambda: self._anonymous(api_key={"authorization": f"Bearer {token}", "BearerToken": f"Bearer {token}"}),
            None,
            who=who,
        )

    def with_certificate(self, certificate: str, key: str, *, who: str) -> Client:
        """The same server with a client certificate (both PEM). They are kept in the run's private folder."""
        self.guard.run.secrets.add(key)
        base = self._private / nonce("identity")
        paths = {}
        for suffix, text in (("crt", certificate), ("key", key)):
            path = base.with_suffix(f".{suffix}")
            path.touch(mode=0o600)
            path.write_text(text)
            paths[suffix] = str(path)
        return self._derive(lambda: self._anonymous(cert_file=paths["crt"], key_file=paths["key"]), None, who=who)

    def anonymous(self) -> Client:
        """The same server without any credentials."""
        return self._derive(self._anonymous, None, who="system:anonymous")

    def at(self, url: str, *, server_name: str = "") -> Client:
        """The same identity, speaking to one API server directly and not through the stable address.

        ``url`` is its scheme, host and port. ``server_name`` is the name that its certificate is checked for, where
        that is not the host of ``url``.
        """

        def make() -> ApiClient:
            configuration = self._make().configuration  # of this call alone, so it may be changed
            # Not before the first client, which loads the library in one thread.
            from kubernetes.client import ApiClient

            configuration.host = url
            configuration.tls_server_name = server_name or None
            return ApiClient(configuration=configuration)

        return self._derive(make, self._headers, who=self.who)

    def _derive(self, make: Callable[[], ApiClient], headers: Mapping[str, str] | None, *, who: str) -> Client:
        return Client(make, guard=self.guard, private=self._private, headers=headers, who=who, discovery=self.discovery)

    def _anonymous(self, **credentials: Any) -> ApiClient:
        old = self.api_client.configuration
        from kubernetes.client import ApiClient, Configuration  # not before the first client, as in `at`

        new = Configuration(host=old.host)
        for name in ("ssl_ca_cert", "ca_cert_data", "verify_ssl", "tls_server_name", "assert_hostname", "proxy"):
            if hasattr(old, name):
                setattr(new, name, getattr(old, name))
        new.retries = False
        new.connection_pool_maxsize = old.connection_pool_maxsize
        for name, value in credentials.items():
            setattr(new, name, value)
        return ApiClient(configuration=new)

    def look(self, namespace: str) -> Mapping[str, Any] | None:
        """A namespace as it is; None where it is not there, or not shown.

        Any other error says nothing of whose it is, and is raised: `ApiError`, `TransportError`.
        """
        try:
            found: Mapping[str, Any] = self.get(f"/api/v1/namespaces/{namespace}")
        except ApiError as error:
            if error.status in {401, 403, 404}:
                return None
            raise
        return found

    def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None,
        body: Any,
        content_type: str | None,
        headers: Mapping[str, str] | None,
        timeout: float,
        *,
        stream: bool,
    ) -> urllib3.BaseHTTPResponse:
        client = self.api_client
        sent: Any = urllib3.HTTPHeaderDict(self._headers)
        sent["Accept"] = "application/json"
        for setting in client.configuration.auth_settings().values():
            if setting.get("in") == "header" and setting.get("value"):
                sent[setting["key"]] = setting["value"]
        for key, value in (headers or {}).items():
            sent[key] = value
        data = None
        if body is not None:
            sent["Content-Type"] = content_type or _CONTENT_TYPES.get(method, "application/json")
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
        pairs = [(k, str(v).lower() if isinstance(v, bool) else v) for k, v in (query or {}).items() if v is not None]
        url = f"{client.configuration.host.rstrip('/')}{path}" + (f"?{urlencode(pairs, doseq=True)}" if pairs else "")
        deadline = _clock.Deadline(timeout)
        try:
            response: urllib3.BaseHTTPResponse = client.rest_client.pool_manager.request(
                method,
                url,
                body=data,
                headers=sent,
                timeout=urllib3.Timeout(connect=min(CONNECT_TIMEOUT, deadline.seconds), read=timeout),
                retries=False,
                redirect=False,
                preload_content=not stream,
            )
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise _transport(error, method, path) from error
        return response

    @staticmethod
    def _decode(method: str, path: str, response: urllib3.BaseHTTPResponse) -> Any:
        raw = response.data
        parsed: Any = raw.decode("utf-8", "replace")
        if "json" in response.headers.get("Content-Type", ""):
            try:
                parsed = json.loads(raw)
            except ValueError as error:
                raise TransportError("truncated", method=method, path=path, cause=str(error)) from error
        if response.status < 400:
            return parsed
        status: dict[str, Any] = parsed if isinstance(parsed, dict) else {"message": str(parsed)[:LONGEST_MESSAGE]}
        after = response.headers.get("Retry-After", "")
        raise ApiError(
            response.status,
            method=method,
            path=path,
            reason=status.get("reason") or response.reason or "",
            message=status.get("message", ""),
            details=status.get("details"),
            retry_after=float(after) if after.isdigit() else None,
        )


def _status_object(body: bytes | None) -> dict[str, Any]:
    """The Status that a refused upgrade carries; where the body is none, its text is the message."""
    text = (body or b"").decode("utf-8", "replace")
    try:
        parsed = json.loads(text)
    except ValueError:
        return {"message": text[:2000]}
    return parsed if isinstance(parsed, dict) else {"message": text[:2000]}


def _transport(error: Exception, method: str, path: str) -> TransportError:
    """Sorts what urllib3 and the socket say into the kinds of `TransportError`."""
    from urllib3 import exceptions as known

    text = str(error)
    cause = error.args[-1] if error.args else None
    kind = "other"
    if isinstance(error, (known.SSLError, ssl.SSLError)):
        kind = "tls"
    elif isinstance(error, (known.NewConnectionError, ConnectionRefusedError)):
        kind = "refused"  # before the time-outs: urllib3 derives this error from theirs
    elif isinstance(error, (known.ConnectTimeoutError, known.ReadTimeoutError, TimeoutError)):
        kind = "timeout"
    elif isinstance(error, known.IncompleteRead) or "IncompleteRead" in text:
        kind = "truncated"
    elif isinstance(error, (known.ProtocolError, ConnectionError)) or isinstance(cause, ConnectionError):
        kind = "reset"
    return TransportError(kind, method=method, path=path, cause=text)
