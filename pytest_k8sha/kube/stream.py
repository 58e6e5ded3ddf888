"""The client library's WebSocket to a connecting subresource, such as ``exec``, that leaves no socket open.

Imported where one is opened: it loads the client library.
"""

from __future__ import annotations

from kubernetes.stream.ws_client import WSClient


class Stream(WSClient):
    """A connection whose `close` closes it, also when the server, or the network, closed it first."""

    def close(self, **options: object) -> None:
        try:
            super().close(**options)  # type: ignore[no-untyped-call]
        finally:
            self.sock.shutdown()
