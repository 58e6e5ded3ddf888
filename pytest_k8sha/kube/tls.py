"""TLS sockets that are closed when the peer has gone before the handshake.

``ssl.SSLSocket._create`` of CPython 3.11 asks ``getpeername`` first. Where the peer has reset the connection by then,
as a balancer does whose API server was killed, it raises what a read gives and leaves the new socket open until the
garbage collector finds it, with a `ResourceWarning`. A client socket that has no peer will have none again: it is
closed there.
"""

from __future__ import annotations

import errno
import ssl
import threading
from typing import Any

_TRUSTED = ("ca_certs", "ca_cert_dir", "ca_cert_data")
"""Options of urllib3, in the order in which ``load_verify_locations`` takes them."""
_OWN = ("cert_file", "key_file", "key_password")
_making = threading.Lock()


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
    """Gives the connections of a ``urllib3.PoolManager`` such a context; otherwise as urllib3 makes its own.

    The context has the certificates, and the options have them no longer: urllib3 would load them again for each
    connection, into the one context that all threads share, and OpenSSL frees what another thread is reading then.
    Certificates that cannot be loaded stay with urllib3, which tells so with the request.
    """
    from urllib3.util.ssl_ import create_urllib3_context

    with _making:
        if "ssl_context" in options:
            return
        context = closing(create_urllib3_context(cert_reqs=options.get("cert_reqs")))
        trusted, own = [options.get(name) for name in _TRUSTED], options.get("cert_file")
        try:
            if any(trusted):
                context.load_verify_locations(*trusted)
            else:
                context.load_default_certs()  # urllib3 does so only for the contexts that it made
            if own:
                context.load_cert_chain(own, options.get("key_file"), options.get("key_password"))
        except OSError:
            return
        for name in (*_TRUSTED, *_OWN):
            options.pop(name, None)
        options["ssl_context"] = context
