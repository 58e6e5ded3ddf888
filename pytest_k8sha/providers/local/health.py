"""Whether an API server is ready, asked from inside the supervisor.

The supervisor speaks HTTP itself here, and nowhere else: it must be up in a blink and stay small, so it imports no
Kubernetes client. It asks for ``/readyz`` and nothing more, as a user of the group ``system:monitoring``.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class Prober:
    """Asks API servers on 127.0.0.1 for ``/readyz``."""

    def __init__(self, pki: Path) -> None:
        self._tls = ssl.create_default_context(cafile=str(pki / "ca.crt"))
        self._tls.load_cert_chain(pki / "monitor.crt", pki / "monitor.key")

    async def listens(self, port: int) -> bool:
        """Whether anything accepts connections."""
        try:
            async with asyncio.timeout(1.0):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return False
        writer.transport.abort()
        return True

    async def ready(self, port: int, timeout: float = 1.0) -> str:
        """Empty when it is ready, otherwise what it said."""
        writer = None
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", port, ssl=self._tls, server_hostname="127.0.0.1"
                )
                writer.write(b"GET /readyz HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
                answer = await reader.read(4096)
        except (OSError, ValueError) as error:
            return f"no answer ({str(error) or type(error).__name__})"
        finally:
            if writer is not None:
                writer.transport.abort()
        if answer.startswith(b"HTTP/1.1 200 "):
            return ""
        return answer.decode("utf-8", "replace").splitlines()[0] if answer else "an empty answer"
