"""How long a context's credentials are good for, by its file alone."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha.kube import credentials
from pytest_k8sha.kube.kubeconfig import Context

END = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)


def context(**user: Any) -> Context:
    return Context("one", {"users": [{"name": "u", "user": user}], "clusters": [{"cluster": {}}]})


def jwt(**claims: Any) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in ({}, claims)]
    return ".".join([*parts, "signature"])


def pem(end: datetime) -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "somebody")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(1).not_valid_before(end - timedelta(days=365)).not_valid_after(end)
    return made.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_a_certificate_says_when_it_ends(tmp_path: Path) -> None:
    """Inline or as a file, the end of the client certificate is that of the credentials."""
    raw = pem(END)
    file = tmp_path / "client.crt"
    file.write_bytes(raw)
    inline = context(**{"client-certificate-data": base64.b64encode(raw).decode()})
    for found in (credentials.of(inline), credentials.of(context(**{"client-certificate": str(file)}))):
        assert found.sort == "certificate"
        assert found.ends == END.timestamp()


def test_the_first_to_end_counts() -> None:
    """With a certificate and a token, requests fail when the first of them has ended."""
    user = {"client-certificate-data": base64.b64encode(pem(END)).decode(), "token": jwt(exp=1000)}
    assert credentials.of(context(**user)) == credentials.Credentials("token", 1000.0, "token")


@pytest.mark.parametrize(
    ("user", "sort", "words"),
    [
        ({"exec": {"command": "aws"}}, "command", "aws"),
        ({"username": "me", "password": "x"}, "password", "does not end"),
        ({}, "none", "no credentials"),
        ({"token": "opaque"}, "token", "does not say"),
        ({"tokenFile": "/nowhere/token"}, "token", "cannot be read"),
        ({"client-certificate-data": "bm90aGluZw=="}, "certificate", "cannot be read"),
        ({"client-certificate": "/nowhere/crt"}, "certificate", "cannot be read"),
    ],
)
def test_what_cannot_be_known_is_said(user: dict[str, Any], sort: str, words: str) -> None:
    """No end is made up where the file does not say one, and the value of a secret is never part of what is said."""
    found = credentials.of(context(**user))
    assert (found.sort, found.ends) == (sort, None)
    assert words in found.said
    assert "opaque" not in found.said


@given(st.text(max_size=80))
def test_any_text_may_be_a_token(text: str) -> None:
    """What is no JWT has no end, and raises nothing."""
    assert credentials.jwt_end(text) is None or text.count(".") == 2
