"""Keeps secrets out of the record: values known at run time, and what looks like a credential.

Kinds of places: Secret objects of Kubernetes (``data``, ``stringData``), fields whose name says that they hold a
credential, JSON web tokens, private keys, ``Bearer …``, passwords in URLs. Names and keys stay, so that a finding still
says which secret it is about.
"""

from __future__ import annotations

import base64
import json
import re
import threading
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable

MASK = "[redacted]"
MIN_SECRET = 6
"""Shorter values are not looked for as they are: they would blank half the record, and hide nothing that way."""
MIN_LINE = 16
"""Lines of a many-line secret are looked for one by one from this length on, for they are shown indented or wrapped."""

_FIELDS = frozenset({
    *("token", "accesstoken", "refreshtoken", "idtoken", "bearertoken", "authtoken", "sessiontoken"),
    *("password", "passwd", "passphrase", "authorization", "apikey"),
    *("clientkeydata", "clientkey", "clientsecret", "privatekey", "sshprivatekey", "tls.key"),
    *("secretkey", "secretaccesskey", "awssecretaccesskey", ".dockerconfigjson", ".dockercfg"),
})  # fmt: skip
_LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

# A quote as it is, or escaped, as in a JSON text inside a JSON text.
_Q = r"""\\{0,8}["']"""
_IS = rf"(?:{_Q})?\s*[:=]\s*(?:{_Q})?"
_LONG_FIELDS = (
    r"token|client[-_]?secret|api[-_]?key|secret[-_]?key|secret[-_]?access[-_]?key|private[-_]?key|client[-_]?key"
)
_PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.DOTALL), replacement)
    for pattern, replacement in (
        (r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|\Z)", MASK),
        # The same in base64, as kubeconfigs and Secrets carry it; a certificate begins alike and is no secret.
        (r"LS0tLS1CRUdJTi(?!BDRVJUSUZJQ0FUR)[A-Za-z0-9+/_=-]+", MASK),
        (r"eyJ[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]{4,}(?:\.[A-Za-z0-9_-]*)?", MASK),
        (r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{8,}", rf"\1{MASK}"),
        (rf"(?i)\b(authorization{_IS}(?:basic|negotiate)\s+)[^\s\"',]+", rf"\1{MASK}"),
        (r"(\b[a-zA-Z][a-zA-Z0-9+.-]{0,20}://)[^\s/@\"']+@", rf"\1{MASK}@"),
        (rf"(?i)(\b(?:client-key-data|password|passwd|passphrase){_IS})[^\s\"',;&\\]{{3,}}", rf"\1{MASK}"),
        # A word after a colon may be plain English here ("token: refused"); a credential is longer.
        (rf"(?i)((?:{_LONG_FIELDS}){_IS})[A-Za-z0-9._~+/=-]{{16,}}", rf"\1{MASK}"),
    )
)
_HINT = re.compile(r"(?i)PRIVATE KEY|LS0tLS1|eyJ|bearer|authoriz|://|passw|passphrase|token|secret|key")
_IS_SECRET = re.compile(r"\bkind" + _Q + r"?\s*:\s*" + _Q + r"?Secret(?:List)?\b")
_SECRET_JSON = re.compile(r"(" + _Q + r"(?:data|stringData)" + _Q + r"\s*:\s*)\{[^{}]*(?:\}|\Z)")
_SECRET_YAML = re.compile(r"^(\s*)(?:-\s+)?(?:data|stringData):\s*$")


@dataclass(frozen=True)
class _Known:
    """The forms to look for; replaced as a whole, so that readers need no lock."""

    forms: frozenset[str] = frozenset()
    starts: frozenset[str] = frozenset()

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Built on the first hit only; the longest first, so that no rest of a longer form stays."""
        return re.compile("|".join(map(re.escape, sorted(self.forms, key=lambda form: (-len(form), form)))))

    def within(self, text: str) -> bool:
        # One look-up a character, however many secrets are known; the pattern alone would try each of them.
        if not self.starts or self.starts.isdisjoint(text[i : i + MIN_SECRET] for i in range(len(text))):
            return False
        return self.pattern.search(text) is not None


class Redactor:
    """Replaces secrets by ``[redacted]``. Known values may be added at any time, from any thread."""

    def __init__(self, secrets: Iterable[str | bytes] = ()) -> None:
        self._lock = threading.Lock()
        self._known = _Known()
        for secret in secrets:
            self.add(secret)

    def add(self, secret: str | bytes) -> bool:
        """Registers a value that must never be recorded, with its base64, URL, JSON and hexadecimal forms.

        Returns false when the value is shorter than `MIN_SECRET` characters and is therefore not looked for.
        """
        raw = secret.encode("utf-8", "replace") if isinstance(secret, str) else bytes(secret)
        text = raw.decode("utf-8", "replace").strip()
        if len(text) < MIN_SECRET:
            return False
        found = {text, raw.hex(), *_written(text), *_base64(raw), *_base64(text.encode())}
        found |= {part.strip() for part in text.splitlines() if len(part.strip()) >= MIN_LINE}
        # What is a part of the mask itself tells nobody anything, and could never be taken out.
        found = {form for form in found if len(form) >= MIN_SECRET and form not in MASK}
        with self._lock:
            forms = self._known.forms | found
            self._known = _Known(forms, frozenset(form[:MIN_SECRET] for form in forms))
        return True

    def redact(self, value: Any) -> Any:
        """A copy of JSON data in which every text, key or number that is or holds a secret is masked."""
        return self._value(value, in_secret=False)

    def text(self, value: str) -> str:
        """``value`` without secrets."""
        value = self._known_out(value)
        if _HINT.search(value):
            before = value
            if "Secret" in value and _IS_SECRET.search(value):
                value = _mask_yaml(_SECRET_JSON.sub(rf"\1{{{MASK}}}", value))
            for pattern, replacement in _PATTERNS:
                value = pattern.sub(replacement, value)
            if value != before:
                value = self._known_out(value)  # what was beside a masked text may now stand beside something else
        return value

    def _known_out(self, value: str) -> str:
        known = self._known
        for _ in range(3):
            if not known.within(value):
                return value
            value = known.pattern.sub(MASK, value)
        return MASK if known.within(value) else value  # the rest and the mask form a secret together, again and again

    def _value(self, value: Any, *, in_secret: bool) -> Any:
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return self._object(value, in_secret=in_secret)
        if isinstance(value, list):
            return [self._value(item, in_secret=in_secret) for item in value]
        if value is None or isinstance(value, bool):
            return value
        return MASK if self._known.within(str(value)) else value

    def _object(self, value: dict[str, Any], *, in_secret: bool) -> dict[str, Any]:
        # The items of a SecretList carry no kind of their own.
        kind = value.get("kind")
        listed = kind == "SecretList"
        secret = kind == "Secret" or (in_secret and "metadata" in value)
        clean: dict[str, Any] = {}
        for key, item in value.items():
            if secret and key in {"data", "stringData"}:
                item = dict.fromkeys(item, MASK) if isinstance(item, dict) else MASK
            elif key == _LAST_APPLIED or (isinstance(item, str) and item and _field(key) in _FIELDS):
                item = self._last_applied(item) if key == _LAST_APPLIED else MASK
            name = self.text(key)
            while name in clean:
                name += "'"  # two keys that became the same by masking both stay
            clean[name] = self._value(item, in_secret=listed and key == "items")
        return clean

    def _last_applied(self, item: Any) -> Any:
        """The object that kubectl keeps in an annotation, as JSON text, redacted as an object."""
        try:
            return json.dumps(self.redact(json.loads(item)))
        except (ValueError, TypeError, RecursionError):
            return MASK


def _field(key: str) -> str:
    return key.lower().replace("-", "").replace("_", "")


def _mask_yaml(text: str) -> str:
    """Masks the lines below ``data:`` and ``stringData:`` of a Secret that is shown as YAML."""
    out: list[str] = []
    block: int | None = None
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip())
        if block is not None and line.strip() and indent > block:
            name, colon, _ = line.partition(":")
            out.append(f"{name}: {MASK}" if colon else " " * indent + MASK)
            continue
        start = _SECRET_YAML.match(line)
        block = indent if start else block if not line.strip() else None
        out.append(line)
    return "\n".join(out)


def _written(text: str) -> set[str]:
    """The forms in which programs print a text: inside JSON, inside a Python literal, inside a URL."""
    return {
        json.dumps(text)[1:-1],
        json.dumps(text, ensure_ascii=False)[1:-1],
        json.dumps(json.dumps(text))[3:-3],
        repr(text)[1:-1],
        quote(text, safe=""),
        quote(text),
        quote_plus(text),
    }


def _base64(raw: bytes) -> set[str]:
    """The base64 of ``raw``, alone and where it begins one or two bytes into something longer (``user:password``)."""
    found: set[str] = set()
    for shift in range(3):
        shifted = bytes(shift) + raw
        # Only the characters that depend on nothing but ``raw``: those at the seams hold bits of what is beside it.
        first, last = -(-shift * 8 // 6), len(shifted) * 8 // 6
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            found.add(encode(shifted).decode()[first:last])
    return found
