"""The provider itself: from options to a running cluster, and back."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest_k8sha
from pytest_k8sha import _clock, _process, _wait
from pytest_k8sha.errors import EnvironmentFailure, K8shaError, StartFailed, WaitTimeout
from pytest_k8sha.model import Impact
from pytest_k8sha.providers.base import ClusterState, Listener
from pytest_k8sha.providers.local import commands, layout, ports
from pytest_k8sha.providers.local.control import Control, LocalFaults, SupervisorGone
from pytest_k8sha.providers.local.layout import Layout, Member
from pytest_k8sha.providers.local.options import LocalOptions
from pytest_k8sha.providers.local.storage import LocalStorage
from pytest_k8sha.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pydantic import BaseModel

    from pytest_k8sha.kube.etcd import EtcdAccess
    from pytest_k8sha.providers.base import Request
    from pytest_k8sha.providers.local.nodes import Nodes
    from pytest_k8sha.providers.local.programs import Found

_STAGES = Path(__file__).parent / "stages"
_TAIL = 2000
_FREE_BYTES = 300 * 1024 * 1024
"""What one member writes in an hour of tests stays far below."""
_DOWN_TIMEOUT = 30.0
_STRAY_GRACE = 5.0
_SUPERVISOR = "pytest_k8sha.providers.local.supervisor"


class LocalProvider:
    """Real control planes as ordinary processes (see `pytest_k8sha.providers.base.Provider`)."""

    name = "local"
    options: type[BaseModel] = LocalOptions
    takes_argument = False

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings.from_environment()

    def create(self, request: Request) -> ClusterState:
        """Makes the cluster; returns when its API is ready, pods can be made and the nodes are Ready.

        Raises `StartFailed` with the tails of the logs, and other `EnvironmentFailure`; nothing is left running then.
        """
        options = request.options
        assert isinstance(options, LocalOptions)  # noqa: S101 - the registry parses with this class
        clock = _clock.Deadline(options.start_timeout)
        _check_space(request.place)
        programs = self._programs(request, options)
        hold = ports.reserve(
            self._settings.state / "ports",
            layout.ports_needed(options.members, links=options.links),
            wanted=options.port,
        )
        started: _process.Program | None = None
        try:
            plan = self._write(request, options, programs, hold)
            started = self._launch(request, plan, hold)
            timings = self._bring_up(plan, options, programs, clock)
        except BaseException as error:
            logs = _tails(request.place) if isinstance(error, K8shaError) else {}
            if started is not None:
                _end(request.place, started.id)
            hold.release()
            _clean(request.place)
            if isinstance(error, (StartFailed, WaitTimeout, SupervisorGone)):
                raise StartFailed(
                    f"the cluster {request.name} did not start: {error}", logs=logs, remedy=_remedy(logs)
                ) from error
            raise
        numbers = hold.ports
        hold.let_go()
        state = ClusterState(
            name=request.name,
            provider=self.name,
            place=str(request.place),
            kubeconfig=str(plan.kubeconfig),
            context=request.name,
            made=True,
            ceiling=Impact.DISRUPT,
            options=options.model_dump(mode="json"),
            details={
                "supervisor": {"pid": started.id.pid, "created": started.id.created},
                "server": plan.server,
                "ports": numbers,
                "version": programs[commands.APISERVER].version,
                "programs": {name: [str(found.path), found.source] for name, found in programs.items()},
                "timings": timings,
            },
        )
        state.save()
        if request.owner is None:
            Control(request.place).order("keep")
        return state

    def delete(self, state: ClusterState) -> None:
        """Takes the cluster down. Logs and audit logs stay in its folder; everything else is removed."""
        if not state.made:
            return
        place = Path(state.place)
        for supervisor in _supervisors(state):
            _end(place, supervisor)
        for stray in _process.naming(place, words=commands.PROGRAMS):
            stray.end(_STRAY_GRACE)  # its supervisor was killed, and this system does not end it then
        _clean(place)
        ports.sweep(self._settings.state / "ports")
        for file in place.glob("cluster.*"):
            file.unlink(missing_ok=True)

    def alive(self, state: ClusterState) -> bool:
        return "supervisor" in state.details and _supervisor(state).alive

    def capabilities(self, state: ClusterState) -> Mapping[str, str]:
        options = LocalOptions.model_validate(state.options)
        how = f"the local provider, {options.members} member{'s' if options.members > 1 else ''}"
        found = {
            f"members:{options.members}": how,
            "faults:members": "the supervisor stops, kills, freezes and starts programs",
            "issuer": "the cluster's CA key is at hand",
            "storage:etcd": "the data of etcd are below the cluster's folder",
        }
        if options.members > 1:
            found["members:many"] = how
            with contextlib.suppress(SupervisorGone):
                programs = Control(Path(state.place)).order("status")["programs"]
                if all(one["own_hostname"] for one in programs if one["component"] == commands.APISERVER):
                    found["members:identity"] = "the system gives each API server a host name of its own"
        if options.links and options.members > 1:
            found["faults:links"] = "the supervisor forwards what passes between members, and cuts or delays it"
        if options.nodes:
            found["nodes:simulated"] = f"KWOK, {options.nodes} nodes in {min(options.zones, options.nodes)} zones"
            found["faults:heartbeat"] = "kwok lets go of a node whose label says so"
        found["etcd:reachable"] = f"its {options.members} members listen on 127.0.0.1"
        if any(word.startswith("quota-backend-bytes=") for word in options.etcd_args):
            found["etcd:small"] = "a small quota, which can be filled"
        if options.audit != "none":
            found["audit:log"] = f"level {options.audit}, one file a member"
        return found

    def logs(self, state: ClusterState) -> Mapping[str, Path]:
        """Each program's log as ``etcd-0`` …, each member's audit log as ``audit-0`` …, and ``supervisor``."""
        place = Path(state.place)
        found = {path.stem: path for path in sorted((place / "logs").glob("*.log"))}
        audits = sorted((place / "audit").glob("member-*.log"))
        return found | {path.stem.replace("member", "audit"): path for path in audits}

    def faults(self, state: ClusterState) -> LocalFaults:
        return LocalFaults(Control(Path(state.place)), self._nodes(Path(state.place)), self._layout(state))

    def storage(self, state: ClusterState) -> LocalStorage:
        from pytest_k8sha.providers.local.programs import EtcdTools

        tools = EtcdTools(self._settings, state.details["version"])
        return LocalStorage(self._layout(state), Control(Path(state.place)), tools, self.etcd(state))

    def dial(self, state: ClusterState, address: str, port: int) -> tuple[str, int]:
        """The advertised address of a member leads to its port on 127.0.0.1. Any other is what it is.

        The advertised port is not used: the members write the endpoints of ``default/kubernetes`` by turns, and each
        gives its own port to all of them.
        """
        for member in self._layout(state).members:
            if member.advertised == address:
                return "127.0.0.1", member.api
        return address, port

    def issuer(self, state: ClusterState) -> Any:
        from pytest_k8sha.providers.local.certs import LocalIssuer

        return LocalIssuer(Path(state.place) / "pki")

    def etcd(self, state: ClusterState) -> EtcdAccess:
        return self._layout(state).etcd_access

    def listeners(self, state: ClusterState) -> tuple[Listener, ...]:
        return tuple(
            Listener(component, member.index, "127.0.0.1", port)
            for member in self._layout(state).members
            for component, port in (
                (commands.APISERVER, member.api),
                (commands.ETCD, member.etcd_client),
                ("etcd peer", member.etcd_peer),
                (commands.CONTROLLER_MANAGER, member.controller_manager),
                (commands.SCHEDULER, member.scheduler),
            )
        )

    @staticmethod
    def _layout(state: ClusterState) -> Layout:
        members, links = int(state.options["members"]), bool(state.options.get("links"))
        return Layout.of(state.name, Path(state.place), members, state.details["ports"], links=links)

    # --- the steps of create -------------------------------------------------------------------------------------

    def _programs(self, request: Request, options: LocalOptions) -> dict[str, Found]:
        from pytest_k8sha.providers.local.programs import Finder

        finder = Finder(self._settings, options.version, exact=bool(options.kubernetes), progress=request.progress)
        return finder.all()

    def _write(
        self, request: Request, options: LocalOptions, programs: Mapping[str, Found], hold: ports.Hold
    ) -> Layout:
        from pytest_k8sha.providers.local import certs, kubeconfigs

        plan = Layout.of(request.name, request.place, options.members, hold.ports, links=options.links)
        plan.prepare()
        certs.create(plan.pki, tuple(member.advertised for member in plan.members))
        kubeconfigs.write(plan.kubeconfig, name=request.name, server=plan.server, pki=plan.pki, client="admin")
        paths = {name: found.path for name, found in programs.items()}
        owner, maker = request.owner, _process.ProcessId.own()
        content = {
            "name": request.name,
            "owner": {"pid": owner.pid, "created": owner.created} if owner else None,
            "maker": {"pid": maker.pid, "created": maker.created},
            "commands": [command.as_dict() for command in commands.all_of(plan, options, paths, _STAGES)],
            "members": [member.api for member in plan.members],
            "stable": plan.stable,
            "served": options.served or options.members,
            "links": [_ends(member) for member in plan.members] if options.links else [],
            "ports": hold.files,
            "ports_folder": str(hold.folder),
            "start_timeout": options.start_timeout,
            "durable": options.durable,
        }
        layout.plan_file(request.place).write_text(json.dumps(content, indent=1))
        return plan

    def _launch(self, request: Request, plan: Layout, hold: ports.Hold) -> _process.Program:
        count = len(plan.members)
        request.progress(f"starting {count} control-plane member{'s' if count > 1 else ''}")
        entry = request.journal.intent("process", cluster=request.name, place=str(request.place), role="supervisor")
        package = Path(pytest_k8sha.__file__).parent.parent
        path = os.pathsep.join(filter(None, [str(package), os.environ.get("PYTHONPATH")]))
        started = _process.start(
            [sys.executable, "-m", _SUPERVISOR, request.place],
            log=layout.supervisor_log(request.place),
            env={**os.environ, "PYTHONPATH": path},
            cwd=request.place,
            detached=True,
            pass_fds=list(hold.files.values()),
        )
        request.journal.made(entry, pid=started.id.pid, created=started.id.created)
        started.forget()  # it outlives this object, and with `k8sha up` this process
        return started

    def _bring_up(
        self, plan: Layout, options: LocalOptions, programs: Mapping[str, Found], clock: _clock.Deadline
    ) -> dict[str, float]:
        control = Control(plan.place)
        _wait.eventually(lambda: control.order("status"), what="the supervisor answers", timeout=10, interval=0.02)
        nodes = self._nodes(plan.place)  # the import of the client takes a while: let it be this while
        status = control.order("ready", timeout=clock.left + 5)
        if status["failure"]:
            raise StartFailed(status["failure"])
        timings = {"api": round(clock.spent, 3)}
        nodes.create(options, programs[commands.APISERVER].version)
        self._until(clock, nodes.has_service_account, "the default ServiceAccount exists")
        timings["service_account"] = round(clock.spent, 3)
        self._until(clock, lambda: len(nodes.ready()) == options.nodes, f"{options.nodes} nodes are Ready")
        timings["nodes"] = round(clock.spent, 3)
        return timings

    @staticmethod
    def _until(clock: _clock.Deadline, probe: Any, what: str) -> None:
        _wait.eventually(probe, what=what, timeout=max(clock.left, 1.0), interval=0.01)

    @staticmethod
    def _nodes(place: Path) -> Nodes:
        from pytest_k8sha.providers.local.nodes import Nodes, connect

        private = place / "config"
        return Nodes(connect(place / "kubeconfig", private))


def _ends(member: Member) -> dict[str, Any]:
    """What `links.Ends` is made of."""
    return {
        "address": member.advertised,
        "proxy": member.peer_proxy,
        "store": member.store_proxy,
        "peer": member.etcd_peer,
        "client": member.etcd_client,
    }


def _supervisor(state: ClusterState) -> _process.ProcessId:
    return _process.ProcessId(**state.details["supervisor"])


def _supervisors(state: ClusterState) -> list[_process.ProcessId]:
    """The cluster's supervisor, also of one whose maker was killed before it wrote down which process that is."""
    if "supervisor" in state.details:
        return [_supervisor(state)]
    return _process.naming(Path(state.place), words=[_SUPERVISOR])


def _end(place: Path, supervisor: _process.ProcessId) -> None:
    """Asks the supervisor to take the cluster down, and makes sure of it. Idempotent."""
    if supervisor.alive:
        with contextlib.suppress(K8shaError):
            Control(place).order("down", timeout=_DOWN_TIMEOUT)
        if not supervisor.wait(2.0):
            supervisor.end(_DOWN_TIMEOUT)
    supervisor.collect()


def _clean(place: Path) -> None:
    """Removes what holds keys or data; a supervisor that was killed could not."""
    for folder in layout.folders_that_go(place):
        shutil.rmtree(folder, ignore_errors=True)
    for file in layout.files_that_go(place):
        file.unlink(missing_ok=True)


def _check_space(place: Path) -> None:
    free = shutil.disk_usage(place).free
    if free < _FREE_BYTES:
        raise EnvironmentFailure(
            f"{place} has {free // 2**20} MiB free, and a cluster needs {_FREE_BYTES // 2**20}",
            remedy="make room, or name another place in K8SHA_STATE",
        )


def _tails(place: Path) -> dict[Path, str]:
    """The ends of the logs that have anything to say."""
    found = {}
    for path in sorted((place / "logs").glob("*.log")):
        text = path.read_bytes()[-_TAIL:].decode("utf-8", "replace").strip()
        if text:
            found[path] = text
    return found


def _remedy(logs: Mapping[Path, str]) -> str:
    text = "\n".join(logs.values())
    if "address already in use" in text:
        return "another program took a port in this moment: try again"
    if "no space left on device" in text:
        return "make room on the disk"
    return "read the logs above; `k8sha doctor` checks the programs"
