"""Rules over faults inside a pod's own containers: PodChaos, StressChaos, TimeChaos, KernelChaos."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_k8sha.chaos.lint import timing, values
from pytest_k8sha.chaos.lint.finding import Rule
from pytest_k8sha.chaos.lint.structure import short

if TYPE_CHECKING:
    from pytest_k8sha.chaos.lint.subject import Subject

CONTAINERS = Rule(
    "CHL-501",
    "error",
    "container-kill without containerNames",
    "The webhook refuses it; the other actions would take the first container.",
    "write containerNames",
)
GRACE = Rule(
    "CHL-502",
    "warning",
    "A field that the action does not use",
    "gracePeriod is for pod-kill, containerNames for container-kill. On another action the field reads as if it had an "
    "effect.",
    "remove the field",
)
NO_STRESSOR = Rule(
    "CHL-520",
    "error",
    "A StressChaos without stressors",
    "There is nothing to inject; the webhook refuses it.",
    "write stressors.cpu or stressors.memory",
)
NO_WORKERS = Rule(
    "CHL-521",
    "error",
    "workers: 0",
    "It is admitted, reported as injected, and stresses nothing.",
    "write at least one worker",
)
NO_LOAD = Rule(
    "CHL-522",
    "error",
    "A load or size of zero",
    "It is admitted, reported as injected, and stresses nothing.",
    "write a load or size above zero",
)
SIZE = Rule(
    "CHL-523",
    "error",
    "A size that does not parse",
    'The size of memory is a number with KB, MB, GB, … ("256MB") or a percentage of the memory ("50%").',
    'write a size such as "256MB" or "50%"',
)
TWO_STRESSORS = Rule(
    "CHL-524",
    "warning",
    "stressors beside stressngStressors",
    "stressngStressors wins; stressors has no effect.",
    "keep one of the two",
)
OFFSET = Rule(
    "CHL-530",
    "error",
    "A timeOffset that does not parse",
    "timeOffset is a Go duration with a sign, such as -10m.",
    "write a Go duration, such as -10m",
)
NO_OFFSET = Rule(
    "CHL-531",
    "error",
    "A timeOffset of zero",
    "It is admitted, reported as injected, and changes no clock.",
    "write an offset other than zero",
)
CLOCK = Rule(
    "CHL-532",
    "error",
    "A clock that Linux does not have",
    "clockIds are names of clock_gettime(2), such as CLOCK_REALTIME; an unknown one fails when it is injected, over "
    "and over.",
    "write CLOCK_REALTIME, CLOCK_MONOTONIC or another clock of Linux",
)
CHANCE = Rule(
    "CHL-560",
    "error",
    "A KernelChaos that never fails a call",
    "A probability of zero is admitted, reported as injected, and fails nothing.",
    "write a probability from 1 to 100",
)
CALLCHAIN = Rule(
    "CHL-561",
    "warning",
    "A KernelChaos without callchain",
    "Every allocation or I/O of the kernel that the pod causes may fail, not those of one call.",
    "write callchain with the function that is meant",
)

CLOCKS = frozenset(
    [
        "CLOCK_REALTIME",
        "CLOCK_MONOTONIC",
        "CLOCK_PROCESS_CPUTIME_ID",
        "CLOCK_THREAD_CPUTIME_ID",
        "CLOCK_MONOTONIC_RAW",
        "CLOCK_REALTIME_COARSE",
        "CLOCK_MONOTONIC_COARSE",
        "CLOCK_BOOTTIME",
        "CLOCK_REALTIME_ALARM",
        "CLOCK_BOOTTIME_ALARM",
    ]
)


def pod(subject: Subject) -> None:
    """What is special to PodChaos."""
    report, spec, action = subject.report, subject.spec, subject.action
    names = spec.entries.get("containerNames")
    missing = (names is None or not names.value) and (id(spec), "containerNames") not in report.excused
    if action == "container-kill" and missing:
        report.add(CONTAINERS, names or spec.get("action"), "it needs containerNames")
    if action == "pod-kill" and names is not None:
        report.add(GRACE, names, "pod-kill takes the whole pod", key=True)
    grace = spec.get("gracePeriod")
    if grace is not None and action in {"pod-failure", "container-kill"}:
        report.add(GRACE, grace, f"{action} does not use it", key=True)


def stress(subject: Subject) -> None:
    """What is special to StressChaos."""
    report, spec = subject.report, subject.spec
    stressors, raw = spec.get("stressors"), spec.get("stressngStressors")
    both = [n for n in ("cpu", "memory", "vm") if stressors is not None and stressors.get(n) is not None]
    if not both and (raw is None or raw.value == "") and (stressors is None or isinstance(stressors.value, dict)):
        report.add(NO_STRESSOR, stressors or spec, "there is no stressor", key=True)
    if both and raw is not None and raw.value:
        report.add(TWO_STRESSORS, stressors, "stressngStressors is used instead", key=True)
    for name in ("cpu", "memory"):
        workers = spec.get("stressors", name, "workers")
        if workers is not None and isinstance(workers.value, int) and workers.value <= 0:
            report.add(NO_WORKERS, workers, f"{workers.raw} workers stress nothing")
    load = spec.get("stressors", "cpu", "load")
    if load is not None and load.value == 0 and load.value is not False:
        report.add(NO_LOAD, load, "a load of zero")
    size = spec.get("stressors", "memory", "size")
    if size is not None and isinstance(size.value, str) and size.value:
        percent = values.percent_of_memory(size.value)
        if percent is not None and 0 < percent <= 100:
            return
        if percent == 0 or (values.is_size(size.value) and not size.value.strip("0. kKmMgGtTpPiIbB")):
            report.add(NO_LOAD, size, f"{size.value!r} is no memory")
        elif percent is not None or not values.is_size(size.value):
            report.add(SIZE, size, f"{short(size.value)!r} is no size and no percentage from 1% to 100%")


def time(subject: Subject) -> None:
    """What is special to TimeChaos."""
    report, spec = subject.report, subject.spec
    if timing.parsed(report, spec.get("timeOffset"), OFFSET) == 0:
        report.add(NO_OFFSET, spec.get("timeOffset"), "an offset of zero changes no clock")
    clocks = spec.get("clockIds")
    for node in clocks.members if clocks is not None else []:
        if isinstance(node.value, str) and node.value not in CLOCKS:
            report.add(CLOCK, node, f"{short(node.value)!r} is no clock of Linux")


def kernel(subject: Subject) -> None:
    """What is special to KernelChaos."""
    report, request = subject.report, subject.spec.get("failKernRequest")
    if request is None or not isinstance(request.value, dict):
        return
    if request.number("probability") == 0:
        report.add(CHANCE, request.get("probability"), "a probability of zero fails nothing")
    chain = request.get("callchain")
    if chain is None or not chain.value:
        report.add(CALLCHAIN, chain or request, "every call of the pod may fail", key=True)
