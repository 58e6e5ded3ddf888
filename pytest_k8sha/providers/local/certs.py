"""The certificates of one cluster: its authorities, what its programs serve and show, and those of its users.

Keys are EC P-256. Layout and names follow kubeadm (https://kubernetes.io/docs/setup/best-practices/certificates/).
"""

from __future__ import annotations

import ipaddress
import os
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pytest_k8sha import _clock
from pytest_k8sha.providers.local.kubeconfigs import CLIENTS

if TYPE_CHECKING:
    from pathlib import Path

_LIFE = timedelta(days=365)
_DAY = timedelta(days=1)
_SKEW = timedelta(minutes=5)
_SERVER, _CLIENT = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH
SERVICE_IP = "10.96.0.1"
"""The first address of the service range, which the API servers must be able to call their own."""


_LOCAL = ("localhost", "127.0.0.1", "::1")
_NAMES = (
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
)
SERVING = {"kube-apiserver": ("apiserver", "ca"), "etcd": ("etcd", "etcd-ca")}
"""Whose serving certificate is of one member alone: its files' name, and its authority's."""


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key, both PEM."""

    cert: str
    key: str


class Authority:
    """Signs certificates with one CA key."""

    def __init__(self, cert: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._cert, self._key = cert, key

    @classmethod
    def create(cls, name: str) -> Authority:
        key = ec.generate_private_key(ec.SECP256R1())
        subject = _subject(name, ())
        builder = (
            _builder(subject, subject, key.public_key(), _LIFE)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(_usage(ca=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        )
        return cls(builder.sign(key, hashes.SHA256()), key)

    @classmethod
    def load(cls, folder: Path, name: str = "ca") -> Authority:
        """From ``NAME.crt`` and ``NAME.key`` as `write` left them."""
        cert = x509.load_pem_x509_certificate((folder / f"{name}.crt").read_bytes())
        key = serialization.load_pem_private_key((folder / f"{name}.key").read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)  # noqa: S101 - nothing else is ever written there
        return cls(cert, key)

    def issue(
        self, name: str, groups: tuple[str, ...] = (), *, hosts: tuple[str, ...] = (), life: timedelta = _LIFE
    ) -> Pair:
        """A certificate for CN ``name`` in O ``groups``: for a server where it has ``hosts``, for a client always."""
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [_SERVER, _CLIENT] if hosts else [_CLIENT]
        authority_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            _builder(_subject(name, groups), self._cert.subject, key.public_key(), life)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(ca=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(authority_key, critical=False)
        )
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName([_san(host) for host in hosts]), critical=False)
        return Pair(_pem(builder.sign(self._key, hashes.SHA256())), _key_pem(key))

    @property
    def pair(self) -> Pair:
        return Pair(_pem(self._cert), _key_pem(self._key))


class LocalIssuer:
    """Makes user certificates with the authority of one cluster (see `pytest_k8sha.providers.base.Issuer`)."""

    def __init__(self, pki: Path) -> None:
        self._authority = Authority.load(pki)

    def issue(self, user: str, groups: tuple[str, ...]) -> tuple[str, str]:
        pair = self._authority.issue(user, groups, life=_DAY)
        return pair.cert, pair.key


def create(pki: Path, advertised: tuple[str, ...]) -> None:
    """Writes everything that a cluster needs below ``pki``; ``advertised`` are its members' addresses."""
    pki.mkdir(mode=0o700, parents=True, exist_ok=True)
    ca, etcd, front = Authority.create("k8sha-ca"), Authority.create("k8sha-etcd-ca"), Authority.create("k8sha-front")
    pairs = {
        "ca": ca.pair,
        "etcd-ca": etcd.pair,
        "front-proxy-ca": front.pair,
        "component": ca.issue("k8sha-component", hosts=_LOCAL),
        "etcd-client": etcd.issue("kube-apiserver-etcd-client", ("system:masters",)),
        "front-proxy-client": front.issue("front-proxy-client"),
        **{name: ca.issue(user, groups) for name, (user, groups) in CLIENTS.items()},
    }
    for name, pair in pairs.items():
        write(pki, name, pair)
    for index in range(len(advertised)):
        for component in SERVING:
            certify(pki, component, index, advertised)
    key = ec.generate_private_key(ec.SECP256R1())
    _private(pki / "sa.key", _key_pem(key))
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (pki / "sa.pub").write_bytes(public)


def certify(pki: Path, component: str, member: int, advertised: tuple[str, ...], life: timedelta = _LIFE) -> None:
    """Writes the serving certificate of a member's ``etcd`` or ``kube-apiserver``, which read it anew when it changes.
    ``life`` may be negative: then it has expired."""
    name, authority = SERVING[component]
    hosts = (*_LOCAL, *advertised) if component == "etcd" else (*_LOCAL, *_NAMES, SERVICE_IP, *advertised)
    pair = Authority.load(pki, authority).issue(component, hosts=hosts, life=life)
    write(pki, f"{name}-{member}", pair)


def is_short(pki: Path, component: str, member: int) -> bool:
    """Whether a member's serving certificate is valid for less than it was made for, whether now or any more."""
    cert = x509.load_pem_x509_certificate((pki / f"{SERVING[component][0]}-{member}.crt").read_bytes())
    return cert.not_valid_after_utc - cert.not_valid_before_utc < _LIFE


def write(pki: Path, name: str, pair: Pair) -> None:
    """Writes ``NAME.crt`` and, readable by this user only, ``NAME.key``."""
    (pki / f"{name}.crt").write_text(pair.cert)
    _private(pki / f"{name}.key", pair.key)


def _private(path: Path, text: str) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(fd, "w") as file:
        file.write(text)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey, life: timedelta
) -> x509.CertificateBuilder:
    now = _clock.wall()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(min(now, now + life) - _SKEW)
        .not_valid_after(now + life)
    )


def _subject(name: str, groups: tuple[str, ...]) -> x509.Name:
    parts = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, group) for group in groups]
    return x509.Name([*parts, x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _usage(*, ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not ca,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=ca,
        crl_sign=ca,
        encipher_only=False,
        decipher_only=False,
    )


def _san(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(cert: x509.Certificate) -> str:
    return cert.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    ).decode()
