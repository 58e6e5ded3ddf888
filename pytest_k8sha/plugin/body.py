"""What a failed or inconclusive check says in the terminal: subjects, rule, what was seen, the remedy."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_k8sha.model import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from _pytest._io import TerminalWriter

SHOWN = 20
"""So many subjects are shown; the record holds them all."""
WIDTH = 110
_LABEL = 9


@dataclass(frozen=True)
class Crash:
    """Where pytest's short summary and its JUnit file look for the message of a failure."""

    path: str
    lineno: int
    message: str


class Body:
    """A failure that is read by people. pytest prints it by `toterminal`; between processes it is its text."""

    def __init__(self, text: str, reprcrash: Crash) -> None:
        self.text = text
        self.reprcrash = reprcrash

    @classmethod
    def of(cls, data: Mapping[str, Any], text: str) -> Body:
        return cls(text, Crash(data["nodeid"].split("::")[0], 0, cls.message(data)))

    @staticmethod
    def message(data: Mapping[str, Any]) -> str:
        """One line: the check and the reason."""
        return ": ".join(filter(None, [data["check"], " ".join(data["reason"].split())]))

    def __str__(self) -> str:
        return self.text

    def toterminal(self, tw: TerminalWriter) -> None:
        for number, line in enumerate(self.text.splitlines()):
            mark = {"bold": True} if number == 0 else {"red": True} if line.startswith("✕ ") else {}
            tw.line(line, **mark)


def compose(data: Mapping[str, Any], traceback: str = "") -> str:
    """The text for a result, as in its line of the record."""
    lines = [f"{data['check']}  {data['title']}".strip()]
    where = f"cluster {data['cluster']}" if data["cluster"] else "no single cluster"
    severity = f", severity {data['severity']}" if data["severity"] else ""
    lines += [f"{where}{severity}: {data['verdict']}", ""]
    wanted = Verdict(data["verdict"])
    found = [f for f in data["findings"] if f["verdict"] == wanted]
    total = max(len(found), data["subjects"].get(str(wanted), 0))
    for finding in found[:SHOWN]:
        lines += _finding(finding, data)
    if total > SHOWN:
        lines += [f"… and {total - SHOWN} more; the record holds them", ""]
    if not found:
        lines += [*_field("seen", data["reason"]), ""]
    if data["why"] and wanted is Verdict.FAILED:
        lines += _field("why", data["why"])
    if data["remedy"]:
        lines += _field("remedy", data["remedy"])
    if data["controls"]:
        lines += _field("controls", ", ".join(data["controls"]))
    if traceback:
        lines += ["", traceback]
    return "\n".join(lines).rstrip()


def _finding(finding: Mapping[str, str], data: Mapping[str, Any]) -> Iterator[str]:
    yield f"{'✕' if finding['verdict'] == Verdict.FAILED else '?'} {finding['subject']}"
    yield from _field("seen", finding["seen"], "  ")
    if finding["rule"] and finding["rule"] != data["title"]:
        yield from _field("rule", finding["rule"], "  ")
    if finding["remedy"] and finding["remedy"] != data["remedy"]:
        yield from _field("remedy", finding["remedy"], "  ")
    yield ""


def _field(label: str, text: str, indent: str = "") -> list[str]:
    rest = indent + " " * _LABEL
    lines: list[str] = []
    for part in text.splitlines() or [""]:
        lines += textwrap.wrap(part, WIDTH, initial_indent=rest, subsequent_indent=rest, break_on_hyphens=False) or [""]
    lines[0] = f"{indent}{label:<{_LABEL}}{lines[0][len(rest) :]}"
    return lines
