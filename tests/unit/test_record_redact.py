"""Redaction: known secrets never appear, and neither does what looks like one."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_k8sha import _clock
from pytest_k8sha.record.chain import Record, read
from pytest_k8sha.record.redact import MASK, MIN_SECRET, Redactor
from tests.thorough import examples

SECRET = st.text(st.characters(exclude_categories=["Cs"]), min_size=MIN_SECRET, max_size=40).filter(
    lambda text: len(text.strip()) >= MIN_SECRET and text.strip() not in MASK
)


def texts(value: Any) -> list[str]:
    """Every text, key and number of JSON data."""
    if isinstance(value, dict):
        return [*value, *(text for item in value.values() for text in texts(item))]
    if isinstance(value, list):
        return [text for item in value for text in texts(item)]
    return [str(value)]


@examples(40, 500)
@given(st.data())
def test_no_registered_secret_ever_appears(data: st.DataObject) -> None:
    """Secrets planted anywhere, next to one another, in keys, in base64 or JSON: none is in the file afterwards."""
    secrets = data.draw(st.lists(SECRET, min_size=1, max_size=4))
    forms = [
        form
        for secret in secrets
        for form in (secret, base64.b64encode(secret.encode()).decode(), json.dumps({"x": secret}), f"u:{secret}@h")
    ]
    around = st.lists(st.sampled_from(forms) | st.text(max_size=8), max_size=5).map("".join)
    value = data.draw(
        st.recursive(
            around, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(around, inner, max_size=3), max_leaves=8
        )
    )
    with TemporaryDirectory() as folder:
        with Record(Path(folder, "r"), redactor=Redactor(secrets)) as record:
            record.append("note", {"value": value})
        written = read(Path(folder, "r")).lines[0]["data"]["value"]
    for text in texts(written):
        for secret in secrets:
            assert secret.strip() not in text
            assert base64.b64encode(secret.encode()).decode().rstrip("=") not in text


@given(st.binary(min_size=6, max_size=40), st.binary(max_size=7), st.binary(max_size=7))
def test_a_secret_inside_something_base64_is_found(secret: bytes, before: bytes, after: bytes) -> None:
    """``user:password`` in base64 shares no text with the password alone; it is masked all the same."""
    redactor = Redactor()
    if not redactor.add(secret):
        return
    assert MASK in redactor.text(base64.b64encode(before + secret + after).decode())


@given(st.text())
def test_text_without_secrets_stays(text: str) -> None:
    """A redactor that knows nothing changes only what looks like a credential."""
    plain = "".join(char for char in text if char not in ":/=")
    if "BEGIN" not in plain and "earer" not in plain.lower():
        assert Redactor().text(plain) == plain


JWT = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQifQ.c2lnbmF0dXJl-_x"
PEM = "-----BEGIN RSA PRIVATE KEY-----\nMIIEowIBAAKCAQEAxyz\n-----END RSA PRIVATE KEY-----"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (f"got {JWT} back", f"got {MASK} back"),
        (f"Authorization: Bearer {JWT}", f"Authorization: Bearer {MASK}"),
        ("authorization: Basic dXNlcjpwYXNz", f"authorization: Basic {MASK}"),
        ("bearer abcdef.0123456789abcdef", f"bearer {MASK}"),
        (f"x\n{PEM}\ny", f"x\n{MASK}\ny"),
        (PEM[:50] + " cut", MASK),
        ("https://admin:hunter2@host:6443/api", f"https://{MASK}@host:6443/api"),
        ("client-key-data: LS0tLS1CRUdJTiBSU0EgUFJJVkFURSBLRVktLS0t", f"client-key-data: {MASK}"),
        ("LS0tLS1CRUdJTiBFQyBQUklWQVRFIEtFWS0tLS0t rest", f"{MASK} rest"),
        ('{"token":"0123456789abcdef0123"}', f'{{"token":"{MASK}"}}'),
        ('{\\"token\\":\\"0123456789abcdef0123\\"}', f'{{\\"token\\":\\"{MASK}\\"}}'),
        ("--token=0123456789abcdef0123 --x", f"--token={MASK} --x"),
        ("password: hunter2, user: x", f"password: {MASK}, user: x"),
        ('{"kind":"Secret","data":{"a":"Yg=="},"x":1}', f'{{"kind":"Secret","data":{{{MASK}}},"x":1}}'),
        ('"kind": "Secret", "data": {"a": "Yg', f'"kind": "Secret", "data": {{{MASK}}}'),
        (
            "kind: Secret\ndata:\n  a: Yg==\n  b: |\n    c\nmetadata:\n  name: n",
            f"kind: Secret\ndata:\n  a: {MASK}\n  b: {MASK}\n    {MASK}\nmetadata:\n  name: n",
        ),
    ],
)  # fmt: skip
def test_what_looks_like_a_credential_is_masked(text: str, left: str) -> None:
    """Each pattern with the text around it kept."""
    assert Redactor().text(text) == left


@pytest.mark.parametrize(
    "text",
    [
        "Secret shop/db: verb get on secrets was allowed for developer",
        "serviceaccounts/token: create allowed",
        "certificate LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUM",
        "image registry.example.com/shop/web:1.27",
        "https://host:6443/api/v1/namespaces/a/secrets",
        "system:serviceaccount:kube-system:token-cleaner",
    ],
)
def test_findings_about_secrets_stay_readable(text: str) -> None:
    """Words such as secret and token are the subject of many findings; only values are masked."""
    assert Redactor().text(text) == text


def test_secret_objects_keep_their_keys_only() -> None:
    """A Secret, the items of a SecretList, and the copy that kubectl leaves in an annotation."""
    applied = json.dumps({"kind": "Secret", "stringData": {"pw": "hunter2"}, "metadata": {"name": "s"}})
    secret = {
        "kind": "Secret",
        "metadata": {"name": "s", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied}},
        "data": {"pw": "aHVudGVyMg=="},
    }
    item = {"metadata": {"name": "t"}, "data": {"k": "dg=="}}
    clean = Redactor().redact({"a": secret, "b": {"kind": "SecretList", "items": [item]}, "c": {"data": {"k": "v"}}})
    assert clean["a"]["data"] == {"pw": MASK}
    assert clean["b"]["items"] == [{"metadata": {"name": "t"}, "data": {"k": MASK}}]
    assert clean["c"] == {"data": {"k": "v"}}
    assert "hunter2" not in json.dumps(clean)
    assert '"name": "s"' in clean["a"]["metadata"]["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]


def test_fields_named_like_credentials_are_masked() -> None:
    """kubeconfig, TokenRequest and log-in fields, whatever they hold."""
    clean = Redactor().redact({"status": {"token": "abc"}, "user": {"client-key-data": "x", "Password": "y"}, "n": 1})
    assert clean == {"status": {"token": MASK}, "user": {"client-key-data": MASK, "Password": MASK}, "n": 1}


def test_many_lines_short_values_and_numbers() -> None:
    """Lines of a long secret are found apart; too short a value is not taken; a number can be a secret too."""
    redactor = Redactor()
    assert redactor.add("first line of the secret\nsecond line of the secret\n")
    assert not redactor.add("admin")
    assert redactor.add("12345678")
    assert redactor.redact(["    second line of the secret", "admin", 12345678, 5]) == [f"    {MASK}", "admin", MASK, 5]


def test_keys_that_become_the_same_both_stay() -> None:
    """Masking keys loses no value."""
    assert list(Redactor(["secret-1", "secret-2"]).redact({"secret-1": 1, "secret-2": 2}).values()) == [1, 2]


@pytest.mark.parametrize(
    "text",
    [
        'kind: Secret "data": ' + "\\" * 200_000,
        "token" + " " * 200_000,
        "-----BEGIN PRIVATE KEY-----" * 8_000,
        "eyJaaaa." * 25_000,
        "a://" * 50_000,
        "a." * 100_000 + "://",
        "kind: Secret\n" + "data:\n" * 30_000,
        '"data":{' * 25_000 + "kind: Secret",
        "password=" * 20_000,
    ],
    ids=lambda text: text[:12].strip(),
)
def test_no_text_takes_long(text: str) -> None:
    """Texts come from clusters: none of 200,000 characters costs more than a moment."""
    started = _clock.now()
    Redactor(["secret-1"]).text(text)
    assert _clock.now() - started < 5
