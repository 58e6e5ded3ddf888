"""Every rule of the linter, for its documentation and for SARIF."""

from __future__ import annotations

from pytest_k8sha.chaos.lint import (
    faults,
    legacy,
    network,
    objects,
    orchestration,
    pods,
    selectors,
    structure,
    timing,
)
from pytest_k8sha.chaos.lint.finding import Rule

MODULES = (objects, structure, legacy, selectors, timing, network, pods, faults, orchestration)

GROUPS = {
    "0": "Files, objects and structure",
    "1": "Manifests of 1.x",
    "2": "Selectors",
    "3": "Durations",
    "4": "NetworkChaos, and blocks of actions",
    "5": "The other kinds",
    "6": "Schedule, Workflow, StatusCheck",
    "7": "Annotations and status",
}

PREFACE = """\
# Rules of `k8sha chaos lint`

`k8sha chaos lint FILE…` reads Chaos Mesh manifests without a cluster and says what the API server would refuse, what
Chaos Mesh would drop in silence, and what would be reported as injected and change nothing. The ids never change.
This page is made from the code by `k8sha chaos rules --markdown`.

- Exit code: 2 when a file cannot be read, 1 with errors, else 0. `--strict` makes warnings errors.
- `--json` and `--sarif` (SARIF 2.1.0) print the findings for programs.
- `--fix` writes the remedies that need no decision. It keeps comments and does nothing to anchors, flow style or JSON
  that it would have to move. Rules that it knows are marked.
- A comment `# k8sha: allow CHL-406` on the line of a finding, or alone on the line above, allows that rule there. The
  sum and `--json` say how many findings were allowed.
- `--schemas DIR` takes the structure from CRDs, such as those of
  `kubectl get crd -l app.kubernetes.io/part-of=chaos-mesh -o yaml`, instead of the bundled fields.
"""


def rules() -> list[Rule]:
    """All rules by id. Raises ValueError where two have one id."""
    found: dict[str, Rule] = {}
    for module in MODULES:
        for value in vars(module).values():
            if isinstance(value, Rule) and found.setdefault(value.id, value) is not value:
                raise ValueError(f"two rules are {value.id}")
    return [found[id_] for id_ in sorted(found)]


def markdown() -> str:
    """The documentation of all rules."""
    parts = [PREFACE]
    group = ""
    for rule in rules():
        if rule.id[4] != group:
            group = rule.id[4]
            parts.append(f"## {GROUPS[group]}\n")
        fix = f"`--fix`: {rule.fix}.\n\n" if rule.fix else ""
        said = f"**{rule.title}** ({rule.severity}). {rule.why}\n\nRemedy: {rule.remedy}.\n\n{fix}"
        parts.append(f"### {rule.id}\n\n{said.rstrip()}\n")
    return "\n".join(parts)
