"""TLS sockets that are closed when the peer has gone before the handshake.

``ssl.SSLSocket._create`` of CPython 3.11 asks ``getpeername`` first. Where the peer has reset the connection by then,
as a balancer does whose API server was killed, it raises what a read gives and leaves the new socket open until the
garbage collector finds it, with a `ResourceWarning`. A client socket that has no peer will have none again: it is
closed there.
"""

from __future__ import annotations

import errno
import ssl
from typing import Any


class _Socket(ssl.SSLSocket):
    def getpeername(self) -> Any:
        try:
            return super().getpeername()
        except OSError as error:
            self.close()
            if error.errno != errno.ENOTCONN:
                raise
            # Under this number the caller would go on with a socket that is closed now.
            raise ConnectionResetError(
                errno.ECONNRESET, "the peer reset the connection before the handshake"
            ) from error


def closing(context: ssl.SSLContext) -> ssl.SSLContext:
    """The context, whose sockets are closed when the handshake cannot begin. For sockets that are connected already."""
    context.sslsocket_class = _Socket
    return context


def pooled(options: dict[str, Any]) -> None:
    """Gives the connections of a ``urllib3.PoolManager`` such a context; otherwise as urllib3 makes its own."""
    from urllib3.util.ssl_ import create_urllib3_context

    context = closing(create_urllib3_context(cert_reqs=options.get("cert_reqs")))
    if not (options.get("ca_certs") or options.get("ca_cert_data")):
        context.load_default_certs()  # urllib3 does so only for the contexts that it made
    options["ssl_context"] = context
