"""The detection matrix: verdicts by check and set-up, filled by tests in several folders, drawn as one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

OUTPUT = "K8SHA_MATRIX"
"""Environment variable: a folder that each folder of tests writes its share to, as ``matrix.json``,
``matrix-kind.json`` …; `ci/docs` makes docs/matrix.md from all of them."""


@dataclass
class Matrix:
    """Verdicts by check and set-up. A set-up is SUITE/NAME; SUITE/good is the one that every check must pass on."""

    rows: dict[str, dict[str, str]] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def put(self, check: str, setup: str, verdict: str) -> None:
        self.rows.setdefault(check, {})[setup] = verdict

    @classmethod
    def read(cls, files: Iterable[Path]) -> Matrix:
        """The shares together."""
        whole = cls()
        for file in files:
            data = json.loads(file.read_text())
            whole.titles |= data["checks"]
            whole.seconds |= data["seconds"]
            for check, cells in data["matrix"].items():
                whole.rows.setdefault(check, {}).update(cells)
        return whole

    def good(self, check: str) -> str:
        """The verdicts on good set-ups. What one folder's cluster could not evaluate, another's may have."""
        verdicts = {v for s, v in self.rows[check].items() if s.endswith("/good")}
        return ", ".join(sorted(verdicts - {"not evaluated"} or verdicts)) or "-"

    def killers(self, check: str) -> list[str]:
        """The mutants that failed the check."""
        return sorted(
            s.partition("/")[2] for s, v in self.rows[check].items() if v == "failed" and not s.endswith("/good")
        )

    def as_markdown(self) -> str:
        lines = ["| check | promise | good set-up | failed by |", "|---|---|---|---|"]
        for check in sorted(self.rows):
            killers = ", ".join(self.killers(check)) or "-"
            lines.append(f"| {check} | {self.titles.get(check, '')} | {self.good(check)} | {killers} |")
        return "\n".join(lines) + "\n"

    def lines(self) -> Iterable[str]:
        """For a terminal."""
        for check in sorted(self.rows):
            yield f"{check}  good: {self.good(check):<14} failed by: {', '.join(self.killers(check)) or '-'}"
        slow = sorted(self.seconds.items(), key=lambda item: -item[1])[:5]
        yield "slowest: " + ", ".join(f"{name} {seconds:.1f} s" for name, seconds in slow)

    def write(self, name: str = "matrix") -> None:
        """Into the folder that the environment names, if it names one."""
        if not os.environ.get(OUTPUT):
            return
        folder = Path(os.environ[OUTPUT])
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.md").write_text(self.as_markdown())
        data = {"checks": self.titles, "matrix": self.rows, "seconds": self.seconds}
        (folder / f"{name}.json").write_text(json.dumps(data, indent=1, sort_keys=True))
