"""What serves TLS, asked by a handshake alone: whether it answers, and until when its certificate is valid.

No certificate is shown and none is verified, since one that has expired is just what is looked for; nothing is sent
after the handshake.
"""

from __future__ import annotations

import socket
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_k8sha.kube.tls import closing

if TYPE_CHECKING:
    from datetime import datetime

    from pytest_k8sha.providers.base import Listener

TIMEOUT = 2.0
"""Seconds for a handshake. A program that is stopped accepts the connection (its kernel does) and says nothing."""


@dataclass(frozen=True)
class Certificate:
    """What a server showed: its validity, its subject, and whether it is its own issuer."""

    subject: str
    begins: datetime
    ends: datetime
    serial: int


@dataclass(frozen=True)
class Answer:
    """The certificate, or why there is none: ``refused``, ``no answer``, and what else the network says."""

    listener: Listener
    certificate: Certificate | None = None
    problem: str = ""


def ask(listener: Listener, timeout: float = TIMEOUT) -> Answer:
    """One handshake. ``timeout`` is in seconds."""
    from cryptography import x509

    context = closing(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with (
            socket.create_connection((listener.host, listener.port), timeout=timeout) as plain,
            context.wrap_socket(plain) as link,
        ):
            raw = link.getpeercert(binary_form=True)
    except TimeoutError:
        return Answer(listener, problem=f"no answer within {timeout:g} s")
    except ConnectionRefusedError:
        return Answer(listener, problem="refused")
    except OSError as error:
        return Answer(listener, problem=str(error))
    if not raw:
        return Answer(listener, problem="it showed no certificate")
    found = x509.load_der_x509_certificate(raw)
    return Answer(
        listener,
        Certificate(
            found.subject.rfc4514_string(), found.not_valid_before_utc, found.not_valid_after_utc, found.serial_number
        ),
    )
