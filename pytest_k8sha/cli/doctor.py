"""``k8sha doctor``: what can run on this machine, what cannot, and the remedy."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pytest_k8sha.cli import options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_k8sha.providers.base import Progress
    from pytest_k8sha.providers.local.programs import Finder
    from pytest_k8sha.providers.registry import Registry
    from pytest_k8sha.settings import Settings

GOOD, WARNING, BAD = "good", "warning", "bad"

DISK_MIB = 300
"""What a cluster of one member wants on the disk."""
BUILD_MIB = 6000
"""What building the programs from source wants."""
MEMORY_MIB = 2200
"""What the two clusters of the demo fleet want: four control-plane members."""


@dataclass(frozen=True)
class Item:
    """One thing that was looked at. Only a *bad* one stands in the way of the embedded default."""

    topic: str
    name: str
    state: str
    seen: str
    remedy: str = ""


@click.command("doctor")
@click.option(
    "--cluster",
    multiple=True,
    metavar="NAME=PROVIDER[:ARGUMENT][,key=value…]",
    help="Ask this cluster, by reads alone, what it can do. Repeatable.",
)
@click.option("--prepare", is_flag=True, help="First get the programs that are missing: download or build them.")
@options.as_json
@options.debug
def doctor(cluster: tuple[str, ...], *, prepare: bool, as_json: bool) -> None:
    """Say what can run on this machine, what cannot, and the remedy.

    No request is sent to any cluster that --cluster does not name. The exit code is 0 when the local provider can run
    here (and each cluster that is named answers), else 3.
    """
    from pytest_k8sha.cli import console
    from pytest_k8sha.fleet.spec import from_options
    from pytest_k8sha.providers.registry import Registry
    from pytest_k8sha.settings import Settings
    from pytest_k8sha.tenancy.models.registry import Models

    settings, registry = Settings.from_environment(), Registry()
    order = from_options(cluster, registry, Models()) if cluster else None
    with console.working("looking") as progress:
        if prepare:
            _finder(settings, progress).all()
        items = list(look(settings, registry))
        probed: dict[str, dict[str, Any]] = {}
        if order:
            for name in order.clusters:
                progress(f"asking cluster {name} what it can do")
            probed = probe(settings, registry, order)
    items += [Item("cluster", name, BAD, found["problem"]) for name, found in probed.items() if "problem" in found]
    good = all(item.state != BAD for item in items)
    if as_json:
        console.dump({"good": good, "items": [asdict(item) for item in items], "clusters": probed})
    else:
        _show(items, probed, good=good)
    if not good:
        click.get_current_context().exit(3)


def look(settings: Settings, registry: Registry) -> Iterator[Item]:
    """Everything that can be seen without a request to a cluster."""
    yield from _python()
    yield from _programs(settings)
    yield from _machine(settings)
    yield from _leftovers(settings)
    yield from _kept(settings, registry)
    yield from _contexts()
    yield from _kind()
    yield from _extras()


def _python() -> Iterator[Item]:
    version = ".".join(map(str, sys.version_info[:3]))
    system = sys.platform
    yield Item("python", "Python", GOOD, f"{version} ({sys.executable})")
    if system.startswith("linux"):
        yield Item("python", "system", GOOD, system)
    elif system == "darwin":
        yield Item(
            "python", "system", WARNING, "macOS: programs of a killed run end by `k8sha recover`, not by the kernel"
        )
    else:
        yield Item("python", "system", BAD, f"{system}: the local provider needs Linux or macOS", "use Linux or WSL")


def _programs(settings: Settings) -> Iterator[Item]:
    from pytest_k8sha.errors import K8shaError
    from pytest_k8sha.providers.local.commands import PROGRAMS

    go = _go()
    finder = _finder(settings, lambda _: None)
    missing = False
    for name in PROGRAMS:
        try:
            found = finder.look(name)
        except K8shaError as error:
            yield Item("programs", name, BAD, error.problem, error.remedy or "")
            continue
        if found:
            yield Item("programs", name, GOOD, f"{found.version} from {found.source}: {found.path}")
            continue
        missing = True
        why = "; ".join(finder.notes.get(name, []))
        where = f" ({why})" if why else ""
        how = "downloaded, or built with go where that fails" if go else "downloaded"
        yield Item("programs", name, WARNING, f"not here{where}; {finder.wanted(name)} would be {how}")
    if go:
        yield Item("programs", "go", GOOD, go)
    else:
        remedy = "install go, or name a folder with the programs in K8SHA_BIN_DIR" if missing else ""
        yield Item("programs", "go", WARNING if missing else GOOD, "not here; needed only to build programs", remedy)
    free = _free(settings.cache)
    if missing and free is not None and free < BUILD_MIB:
        yield Item(
            "programs",
            "room to build",
            WARNING,
            f"{free} MiB free for {settings.cache}",
            f"a build wants {BUILD_MIB} MiB",
        )


def _finder(settings: Settings, progress: Progress) -> Finder:
    from pytest_k8sha.providers.local.programs import Finder
    from pytest_k8sha.settings import DEFAULT_KUBERNETES

    return Finder(settings, DEFAULT_KUBERNETES, progress=progress)


def _go() -> str:
    from pytest_k8sha import _process
    from pytest_k8sha.errors import K8shaError

    path = shutil.which("go")
    if not path:
        return ""
    try:
        return f"{_process.run([path, 'version'], timeout=20).stdout.strip()} ({path})"
    except K8shaError:
        return ""


def _machine(settings: Settings) -> Iterator[Item]:
    import psutil

    for name, folder, variable in (
        ("state", settings.state, "K8SHA_STATE"),
        ("cache", settings.cache, "K8SHA_CACHE"),
    ):
        base = _existing(folder)
        if not (base.is_dir() and os.access(base, os.W_OK | os.X_OK)):
            yield Item("machine", name, BAD, f"{folder} cannot be written", f"set {variable} to a folder of yours")
            continue
        free = _free(folder)
        enough = free is None or free >= DISK_MIB
        remedy = "" if enough else f"make room, or set {variable}; a cluster wants {DISK_MIB} MiB"
        yield Item("machine", name, GOOD if enough else BAD, f"{folder}, {free} MiB free", remedy)
    memory = psutil.virtual_memory().available // 2**20
    enough = memory >= MEMORY_MIB
    remedy = "" if enough else f"end other programs: the clusters of `k8sha run` want about {MEMORY_MIB} MiB"
    yield Item("machine", "memory", GOOD if enough else WARNING, f"{memory} MiB available", remedy)
    yield Item("machine", "cores", GOOD, f"{os.cpu_count()}")
    yield _ports()


def _ports() -> Item:
    import tempfile

    from pytest_k8sha.errors import K8shaError
    from pytest_k8sha.providers.local import layout, ports

    wanted = 2 * layout.ports_needed(1)
    with tempfile.TemporaryDirectory(prefix="k8sha-") as folder:
        try:
            ports.reserve(Path(folder), wanted).release()
        except (K8shaError, OSError) as error:
            return Item("machine", "ports", BAD, str(error))
    return Item("machine", "ports", GOOD, f"{wanted} are free on 127.0.0.1 from {ports.FIRST} to {ports.LAST}")


def _leftovers(settings: Settings) -> Iterator[Item]:
    from pytest_k8sha.recover import pending

    runs = pending(settings)
    killed = [run for run, running in runs.items() if not running]
    going = [run for run, running in runs.items() if running]
    if killed:
        yield Item("runs", "killed runs", WARNING, ", ".join(killed), "k8sha recover")
    else:
        yield Item("runs", "killed runs", GOOD, "none")
    if going:
        yield Item("runs", "running", GOOD, ", ".join(going))


def _kept(settings: Settings, registry: Registry) -> Iterator[Item]:
    from pytest_k8sha.fleet.keeper import Keeper

    keeper = Keeper(settings, registry, lambda _: None)
    for name, state in keeper.kept().items():
        if keeper.alive(state):
            yield Item("kept clusters", name, GOOD, f"alive, {state.provider}")
        else:
            yield Item("kept clusters", name, WARNING, "dead", f"k8sha down {name}")


def _contexts() -> Iterator[Item]:
    from pytest_k8sha.errors import K8shaError
    from pytest_k8sha.kube import kubeconfig

    files = ", ".join(map(str, kubeconfig.paths()))
    try:
        names = kubeconfig.names()
    except K8shaError as error:
        yield Item("kubeconfig", files, WARNING, str(error), "correct the file, or KUBECONFIG")
        return
    seen = ", ".join(names) if names else "no context (none is needed for local clusters)"
    yield Item("kubeconfig", files, GOOD, seen)


def _kind() -> Iterator[Item]:
    """What clusters of node containers want; the embedded default needs none of it."""
    from pytest_k8sha.providers.kind.preflight import preflight

    for need in preflight():
        yield Item("kind", need.what, GOOD if need.ok else WARNING, need.detail, "" if need.ok else need.remedy)


def _extras() -> Iterator[Item]:
    from importlib.util import find_spec

    for module, extra, use in (
        ("xdist", "xdist", "pytest -n, tests in parallel"),
        ("pytest_html", "html", "pytest --html, verdicts in the page of pytest-html"),
    ):
        there = find_spec(module) is not None
        seen = f"installed: {use}" if there else f"not installed: {use}"
        yield Item("extras", extra, GOOD, seen, "" if there else f"pip install 'pytest-k8sha[{extra}]'")


def probe(settings: Settings, registry: Registry, order: Any) -> dict[str, dict[str, Any]]:
    """What each ordered cluster can do. A cluster that would have to be made first is only said to be."""
    import tempfile

    from pytest_k8sha.cli.existing import opened
    from pytest_k8sha.errors import K8shaError

    found: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory(prefix="k8sha-") as folder:
        for name, wanted in order.clusters.items():
            try:
                cluster = opened(settings, registry, name, wanted, Path(folder))
                if cluster is None:
                    found[name] = {"made": "by the run"}
                    continue
                able = cluster.capabilities
            except K8shaError as error:
                found[name] = {"problem": str(error)}
            else:
                found[name] = {
                    "version": able.version,
                    "uid": able.uid,
                    "capabilities": able.as_dict(),
                    "problems": able.problems,
                }
    return found


def _existing(folder: Path) -> Path:
    """The folder, or the nearest parent that exists."""
    return next(path for path in (folder, *folder.parents) if path.exists())


def _free(folder: Path) -> int | None:
    """Free MiB on the disk that holds the folder."""
    try:
        return shutil.disk_usage(_existing(folder)).free // 2**20
    except OSError:
        return None


def _show(items: list[Item], probed: dict[str, dict[str, Any]], *, good: bool) -> None:
    from pytest_k8sha.cli import console

    topic = ""
    for item in items:
        if item.topic != topic:
            topic = item.topic
            console.say(f"\n{topic}" if item is not items[0] else topic)
        mark = {GOOD: "ok  ", WARNING: "warn", BAD: "BAD "}[item.state]
        console.say(f"  {mark}  {item.name}: {item.seen}" + (f"\n        remedy: {item.remedy}" if item.remedy else ""))
    for name, found in probed.items():
        if "problem" in found:
            continue
        if "made" in found:
            console.say(f"\ncluster {name} does not exist yet; a run would make it")
            continue
        console.say(f"\ncluster {name}: {found['version']}, uid {found['uid']}")
        able = {k: v for k, v in found["capabilities"].items() if not k.startswith(("kind:", "api:"))}
        groups = [k.removeprefix("api:") for k in found["capabilities"] if k.startswith("api:")]
        for word, how in able.items():
            console.say(f"  {word}: {how}")
        console.say(f"  API groups: {', '.join(groups)}")
        for problem in found["problems"]:
            console.say(f"  could not be found out: {problem}")
    console.say("\nthe local provider can run here" if good else "\nsomething is in the way; see BAD above")
