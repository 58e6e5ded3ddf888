"""Samples: what one request of a probe came to, and the file that the probe's process streams them to.

The file is JSON Lines. The first line is an object that tells of the probe; each further one is a list, a sample, in
the order in which they were done; the last is an object with ``end``, the reason for which the probe stopped. A file
without it was cut short: the probe's process died, and what it would have seen is not known.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


class Outcome(StrEnum):
    """What became of one request. Every word but ``ok`` and ``missed`` is a failure of the target."""

    OK = "ok"
    REFUSED = "refused"
    RESET = "reset"
    """The connection was reset, or closed without an answer."""
    TIMEOUT = "timeout"
    WRONG = "wrong answer"
    """An answer, and not the one that was asked for: another nonce, another cluster, cut short, unreadable."""
    ERROR = "error"
    """An answer that says no, such as HTTP 503, or a network that does."""
    MISSED = "missed"
    """Not sent in time, by this machine's fault: it says nothing of the target and counts for neither side."""


_OUTCOMES = {str(outcome): outcome for outcome in Outcome}


class Sample(NamedTuple):
    """One request. Times are seconds on the monotonic clock; ``sent`` and ``done`` are 0 for a missed one."""

    k: int
    scheduled: float
    sent: float
    done: float
    outcome: Outcome
    nonce: str = ""
    instance: str = ""
    """Who answered, as far as it said so."""
    detail: str = ""

    @property
    def ok(self) -> bool:
        return self.outcome is Outcome.OK


@dataclass(frozen=True)
class Answer:
    """What came back for one request, as given to a target's ``parse``. The body is cut at 8,192 characters."""

    status: int
    headers: dict[str, str]
    body: str


@dataclass
class SampleFile:
    """Reads the file of a probe, also while it is written: `more` takes what was added since.

    ``parse`` is the target's own judgement of an answer: it returns the answering instance, and None (or raises
    ``ValueError``, ``KeyError``, ``TypeError``) for a wrong answer.
    """

    path: Path
    parse: Callable[[Answer], str | None] | None = None
    head: dict[str, Any] = field(default_factory=dict)
    samples: list[Sample] = field(default_factory=list)
    end: str = ""
    """Why the probe stopped; empty while it runs, and when its process died."""
    ended: float = 0.0
    """When it stopped, on the monotonic clock."""
    _place: int = 0

    def more(self) -> list[Sample]:
        """Reads what is new and returns the new samples. A last line that is not whole yet waits for the next time."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self._place)
            raw = file.read()
        whole = raw[: raw.rfind(b"\n") + 1]
        self._place += len(whole)
        if not whole:
            return []
        # One call for all lines is several times faster than one for each.
        lines = json.loads(b"[" + whole.rstrip(b"\n").replace(b"\n", b",") + b"]")
        new: list[Sample] = []
        for line in lines:
            if isinstance(line, list):
                k, scheduled, sent, done, outcome, *rest = line
                if len(rest) == 4:  # with the answer itself, for the parser
                    new.append(self._parsed(k, scheduled, sent, done, outcome, *rest))
                else:
                    new.append(Sample(k, scheduled, sent, done, _OUTCOMES[outcome], *rest))
            elif "end" in line:
                self.end, self.ended = line["end"], line["at"]
            else:
                self.head = line
        self.samples += new
        return new

    def digest(self) -> str:
        """SHA-256 of the file, in hexadecimal."""
        return sha256(self.path.read_bytes()).hexdigest()

    def _parsed(  # noqa: PLR0913, RUF100
        self, k: int, scheduled: float, sent: float, done: float, word: str, nonce: str, who: str, text: str, raw: Any
    ) -> Sample:
        outcome = _OUTCOMES[word]
        if self.parse is not None and outcome is Outcome.OK:
            try:
                found = self.parse(Answer(raw["status"], raw["headers"], raw["body"]))
            except (ValueError, KeyError, TypeError) as error:
                found, text = None, f"the parser says {type(error).__name__}: {error}"
            if found is None:
                outcome, text = Outcome.WRONG, text or "the parser does not take the answer"
            else:
                who = found
        return Sample(k, scheduled, sent, done, outcome, nonce, who, text)
