"""TLS sockets whose peer resets the connection before the handshake are closed at once."""

from __future__ import annotations

import gc
import select
import socket
import ssl
import struct
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from pytest_k8sha.errors import TransportError
from pytest_k8sha.kube import tls
from pytest_k8sha.kube.client import Client
from pytest_k8sha.kube.etcd import Etcd, EtcdAccess
from pytest_k8sha.kube.kubeconfig import Context
from pytest_k8sha.model import Impact, Run
from pytest_k8sha.probes import listening
from pytest_k8sha.providers.base import Listener
from pytest_k8sha.providers.local.certs import Authority, write
from pytest_k8sha.recovery.etcd.gateway import Gateway, MemberGone
from pytest_k8sha.safety.guard import Guard


@pytest.fixture
def resetting(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The port of a server that resets each connection, and clients that see it before they shake hands."""
    listener = socket.create_server(("127.0.0.1", 0))
    connected = threading.Event()

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            connected.wait(10)  # or the reset would be the answer to `connect`
            connected.clear()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()

    connect = socket.socket.connect

    def late(self: socket.socket, address: Any) -> None:
        connect(self, address)
        connected.set()
        select.select([self], [], [], 10)

    monkeypatch.setattr(socket.socket, "connect", late)
    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(5)


def _client(port: int, folder: Path) -> None:
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": f"https://127.0.0.1:{port}"}}],
        "users": [{"name": "u", "user": {}}],
    }
    guard = Guard(cluster="c", ceiling=Impact.OBSERVE, run=Run("r-test", "test", 9_999_999_999))
    with pytest.raises(TransportError, match="before the handshake"):
        Client(Context("c", config).connector(folder), guard=guard, private=folder).get("/readyz")


def _access(port: int, folder: Path) -> EtcdAccess:
    authority = Authority.create("test-ca")
    write(folder, "ca", authority.pair)
    write(folder, "client", authority.issue("client"))
    url = f"https://127.0.0.1:{port}"
    return EtcdAccess((url,), folder / "ca.crt", folder / "client.crt", folder / "client.key")


def _etcd(port: int, folder: Path) -> None:
    with pytest.raises(TransportError, match="before the handshake"):
        Etcd(_access(port, folder), Impact.OBSERVE).status(0)


def _gateway(port: int, folder: Path) -> None:
    with pytest.raises(MemberGone, match="before the handshake"):
        Gateway.all_of(_access(port, folder))[0].revision()


def _listener(port: int, _: Path) -> None:
    assert "before the handshake" in listening.ask(Listener("kube-apiserver", 0, "127.0.0.1", port)).problem


@pytest.mark.parametrize("use", [_client, _etcd, _gateway, _listener])
def test_no_socket_is_left_open(resetting: int, tmp_path: Path, use: Callable[[int, Path], None]) -> None:
    """What the balancer of a killed API server does leaves nothing to the garbage collector, and is told as a reset."""
    gc.collect()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        use(resetting, tmp_path)
        gc.collect()
    assert [str(one.message) for one in caught if "socket" in str(one.message).lower()] == []


def test_certificates_are_loaded_once_for_all_threads(tmp_path: Path) -> None:
    """The threads of a client share one context, which nobody changes while another one shakes hands: that ended whole
    processes. urllib3 is left nothing to load into it."""
    access = _access(1, tmp_path)
    options: dict[str, Any] = {"maxsize": 4, "cert_reqs": ssl.CERT_REQUIRED, "ca_certs": str(access.ca)}
    options |= {"cert_file": str(access.cert), "key_file": str(access.key)}
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda _: tls.pooled(options), range(32)))
    context = options.pop("ssl_context")
    assert options == {"maxsize": 4, "cert_reqs": ssl.CERT_REQUIRED}
    assert [dict(sum(one["subject"], ())) for one in context.get_ca_certs()] == [{"commonName": "test-ca"}]


def test_certificates_that_cannot_be_loaded_are_told_with_the_request(tmp_path: Path) -> None:
    """They stay as they were given, for urllib3 to fail on."""
    options: dict[str, Any] = {"cert_reqs": ssl.CERT_REQUIRED, "ca_certs": str(tmp_path / "none.crt")}
    before = dict(options)
    tls.pooled(options)
    assert options == before
