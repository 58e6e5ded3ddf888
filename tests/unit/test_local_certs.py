"""The certificates of a cluster say who is who, and only this user can read the keys."""

from __future__ import annotations

import ssl
import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha import _clock
from pytest_k8sha.providers.local import certs
from pytest_k8sha.providers.local.kubeconfigs import CLIENTS, write

SERVER, CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cluster") / "pki"
    certs.create(folder, ("192.0.2.10", "192.0.2.11"))
    return folder


def load(pki: Path, name: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate((pki / f"{name}.crt").read_bytes())


def test_keys_are_private(pki: Path) -> None:
    """No key is readable by anybody else."""
    keys = list(pki.glob("*.key"))
    assert len(keys) > 10
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}


def test_each_certificate_is_signed_by_its_authority(pki: Path) -> None:
    """etcd, the API servers and the front proxy trust different authorities."""
    for authority, names in {
        "ca": ["apiserver-0", "apiserver-1", "component", *CLIENTS],
        "etcd-ca": ["etcd-0", "etcd-1", "etcd-client"],
        "front-proxy-ca": ["front-proxy-client"],
    }.items():
        for name in names:
            load(pki, name).verify_directly_issued_by(load(pki, authority))


def test_clients_are_no_servers(pki: Path) -> None:
    """A client's certificate cannot be used to serve, and carries the name and groups that RBAC will see."""
    for name, (user, groups) in CLIENTS.items():
        cert = load(pki, name)
        assert list(cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value) == [CLIENT]
        assert [a.value for a in cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [user]
        assert [a.value for a in cert.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == list(groups)


def test_the_server_answers_to_every_name(pki: Path) -> None:
    """Clients may come by loopback, by the advertised addresses and by the service's names."""
    names = load(pki, "apiserver-1").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert {"localhost", "kubernetes", "kubernetes.default.svc"} <= set(names.get_values_for_type(x509.DNSName))
    addresses = {str(address) for address in names.get_values_for_type(x509.IPAddress)}
    assert {"127.0.0.1", certs.SERVICE_IP, "192.0.2.10", "192.0.2.11"} <= addresses


@given(st.text("abcdefgh:-", min_size=1, max_size=40), st.lists(st.text("xyz:", min_size=1), max_size=3, unique=True))
def test_issued_users(pki: Path, user: str, groups: list[str]) -> None:
    """Any user in any groups gets a certificate that the cluster's authority signed, valid for a day."""
    text, key = certs.LocalIssuer(pki).issue(user, tuple(groups))
    cert = x509.load_pem_x509_certificate(text.encode())
    cert.verify_directly_issued_by(load(pki, "ca"))
    assert cert.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value == user
    assert [a.value for a in cert.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)] == groups
    assert (cert.not_valid_after_utc - cert.not_valid_before_utc).days == 1
    assert "PRIVATE KEY" in key


def test_a_kubeconfig_is_private_and_complete(pki: Path, tmp_path: Path) -> None:
    """The project's own reader understands it, and TLS can load what it embeds."""
    from pytest_k8sha.kube.kubeconfig import load as read

    path = tmp_path / "kubeconfig"
    write(path, name="east", server="https://127.0.0.1:1", pki=pki, client="admin")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    context = read(path)
    assert (context.name, context.server) == ("east", "https://127.0.0.1:1")
    ssl.create_default_context(cafile=str(pki / "ca.crt")).load_cert_chain(pki / "admin.crt", pki / "admin.key")


def test_a_certificate_of_another_life(tmp_path: Path) -> None:
    """One member's certificate can be short or over; that is seen, and one of the usual life is not taken for it."""
    certs.create(tmp_path, ("192.0.2.10", "192.0.2.11"))
    assert not certs.is_short(tmp_path, "etcd", 1)
    for life in (timedelta(days=10), timedelta(hours=-1)):
        certs.certify(tmp_path, "etcd", 1, ("192.0.2.10", "192.0.2.11"), life)
        assert certs.is_short(tmp_path, "etcd", 1)
        assert not certs.is_short(tmp_path, "etcd", 0)
        left = load(tmp_path, "etcd-1").not_valid_after_utc - _clock.wall()
        assert abs(left - life) < timedelta(minutes=2)
