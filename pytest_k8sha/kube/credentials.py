"""How long the credentials of a kubeconfig context are good for, read from the file alone."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytest_k8sha.kube.kubeconfig import Context


@dataclass(frozen=True)
class Credentials:
    """``sort`` is certificate, token, command, password or none. ``ends`` is in seconds since 1970; None where the
    file does not say: a token that is no JWT, or one that a command gets anew each time."""

    sort: str
    ends: float | None = None
    said: str = ""


def of(context: Context) -> Credentials:
    """The credentials that a request of this context would be sent with. Of several the first to end counts."""
    user: dict[str, Any] = context.config["users"][0].get("user") or {}
    if user.get("exec"):
        return Credentials("command", said=f"got anew by {user['exec'].get('command', 'a command')}")
    found = [one for one in (_certificate(user), _token(user)) if one is not None]
    if found:
        return min(found, key=lambda one: float("inf") if one.ends is None else one.ends)
    if user.get("username"):
        return Credentials("password", said="a password does not end by itself")
    return Credentials("none", said="the context has no credentials")


def _certificate(user: dict[str, Any]) -> Credentials | None:
    raw = _content(user, "client-certificate")
    if raw is None:
        return None
    from cryptography import x509

    try:
        ends = x509.load_pem_x509_certificate(raw).not_valid_after_utc
    except ValueError as error:
        return Credentials("certificate", said=f"the client certificate cannot be read ({error})")
    return Credentials("certificate", ends.timestamp(), "client certificate")


def _token(user: dict[str, Any]) -> Credentials | None:
    token = user.get("token")
    if not token and user.get("tokenFile"):
        try:
            token = Path(user["tokenFile"]).read_text().strip()
        except OSError as error:
            return Credentials("token", said=f"the token's file cannot be read ({error.strerror})")
    if not token:
        return None
    ends = jwt_end(str(token))
    return Credentials("token", ends, "token" if ends is not None else "a token that does not say when it ends")


def _content(user: dict[str, Any], key: str) -> bytes | None:
    inline, path = user.get(f"{key}-data"), user.get(key)
    try:
        return base64.b64decode(inline) if inline else Path(path).read_bytes() if path else None
    except (OSError, binascii.Error):
        return b""


def jwt_end(token: str) -> float | None:
    """The ``exp`` of a JWT (RFC 7519, section 4.1.4) in seconds since 1970; None where it is no JWT, or has none. The
    signature is the server's matter."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        claims = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        return float(claims["exp"])
    except (ValueError, KeyError, TypeError):
        return None
