"""The process that runs one cluster: it starts the programs, watches them and their owner, and takes them down.

    python -m pytest_k8sha.providers.local.supervisor PLAN

It is a process of its own so that a cluster ends when its owner does, however that ends, and so that a kept cluster
outlives the command that made it. The kernel kills the programs when this process is killed (PR_SET_PDEATHSIG; only on
Linux: elsewhere `k8sha recover` ends them). Orders come over a socket in the cluster's folder, one JSON line each:

    {"op": "status"}                          what runs, and how far the start is
    {"op": "ready"}                           the same, answered when the API servers are ready or the start failed
    {"op": "stop" | "kill" | "start" | "freeze" | "thaw", "component": …, "member": …}
    {"op": "cut" | "mend", "component": …, "member": …}                  what passes there (see `links`)
    {"op": "delay", "component": …, "member": …, "seconds": …}
    {"op": "heal"}                            every program runs again, and everything passes
    {"op": "keep"}                            a cluster without an owner is made, and stays when its maker ends
    {"op": "down"}                            answered when every program is gone

Everything here runs in one thread, since PR_SET_PDEATHSIG is about the thread that started a program.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from pathlib import Path
from typing import Any

from pytest_k8sha import _clock, _process
from pytest_k8sha.errors import K8shaError, UsageError
from pytest_k8sha.providers.local import layout
from pytest_k8sha.providers.local.balancer import Balancer
from pytest_k8sha.providers.local.children import Child
from pytest_k8sha.providers.local.health import Prober
from pytest_k8sha.providers.local.links import Links
from pytest_k8sha.providers.local.ports import Hold

_STORE, _SERVER, _CONTROLLERS = "etcd", "kube-apiserver", "kube-controller-manager"
_GRACE = 3.0
_ENDS_BEFORE_READY = 3
_LOOK_EVERY = 0.1


class Supervisor:
    """One cluster. ``plan`` is what `pytest_k8sha.providers.local.provider` wrote."""

    def __init__(self, place: Path, plan: dict[str, Any]) -> None:
        self._place, self._plan = place, plan
        self._born = _clock.now()
        self._hold = Hold(Path(plan["ports_folder"]), {int(port): fd for port, fd in plan["ports"].items()})
        self._children = [Child(**command) for command in plan["commands"]]
        self._members: list[int] = plan["members"]
        self._prober = Prober(place / "pki")
        # Those that the stable address leads to: all, unless the cluster is to be one that nobody should have.
        self._served = self._members[: plan["served"]]
        self._balancer = Balancer(plan["stable"], self._served) if len(self._members) > 1 else None
        self._links = Links(plan["links"]) if plan["links"] else None
        self._timings: dict[str, float] = {}
        self._failure = ""
        self._kept = False
        self._pidfd: int | None = None
        self._settled = asyncio.Event()
        self._down = asyncio.Event()
        self._gone = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def run(self) -> None:
        """Runs until the cluster is taken down."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._down.set)
        try:
            if self._links:
                await self._links.open()
            self._begin(_STORE)
            self._begin(_SERVER)
            server = await self._listen()
            self._watch_owner()
            if self._balancer:
                await self._balancer.open()
            self._go(self._bring_up())
            self._go(self._watch_children())
            await self._down.wait()
        except (K8shaError, OSError) as error:
            self._fail(str(error))
            raise
        finally:
            await self._take_down()
        # The order that ended the cluster is answered before this process ends.
        server.close()
        await asyncio.sleep(0.05)

    # --- the start -------------------------------------------------------------------------------------------------

    def _begin(self, *components: str, member: int | None = None) -> None:
        for child in self._children:
            if child.component in components and member in {None, child.member}:
                child.start()

    async def _bring_up(self) -> None:
        deadline = _clock.Deadline(self._plan["start_timeout"])
        said = dict.fromkeys(self._members, "not asked yet")
        others = {child.component for child in self._children} - {_STORE, _SERVER, _CONTROLLERS}
        try:
            while any(said.values()):
                await self._step(deadline, "; ".join(sorted(set(filter(None, said.values())))))
                for index, port in enumerate(self._members):
                    if not said[port]:
                        continue
                    said[port] = await self._prober.ready(port)
                    self._mark(port, healthy=not said[port])
                    if not said[port]:
                        # Not sooner: a controller manager that is refused its lease, or finds its server not healthy,
                        # tries again seconds later.
                        self._begin(_CONTROLLERS, member=index)
                # These are refused everything until a server knows its roles, which is when /readyz is not forbidden.
                if others and any(self._knows_roles(text) for text in said.values()):
                    self._note("roles")
                    self._begin(*others)
                    others.clear()
            self._note("api")
        except TimeoutError as error:
            self._fail(f"the API was not ready within {deadline.seconds:g} s: {error}")
            return
        self._settled.set()
        if self._balancer:
            self._go(self._watch_members())

    @staticmethod
    def _knows_roles(said: str) -> bool:
        return not said or said.startswith("HTTP/1.1 500 ")

    async def _step(self, deadline: _clock.Deadline, seen: str) -> None:
        if self._settled.is_set():
            raise TimeoutError(self._failure)
        if deadline.passed:
            raise TimeoutError(seen)
        await asyncio.sleep(0.03)

    def _note(self, what: str) -> None:
        self._timings[what] = round(_clock.now() - self._born, 3)

    def _fail(self, failure: str) -> None:
        if not self._settled.is_set():
            self._failure = failure
            self._settled.set()

    def _mark(self, port: int, *, healthy: bool) -> None:
        if self._balancer and port in self._served:
            self._balancer.mark(port, healthy=healthy)

    # --- what is watched -------------------------------------------------------------------------------------------

    async def _watch_children(self) -> None:
        while not self._down.is_set():
            for child in self._children:
                if child.look() and not self._settled.is_set():
                    vital = child.component in {_STORE, _SERVER}
                    if vital or len(child.ends) >= _ENDS_BEFORE_READY:
                        self._fail(f"{child.name} ended with {child.ends[-1]}")
            await asyncio.sleep(_LOOK_EVERY)

    async def _watch_members(self) -> None:
        bad = dict.fromkeys(self._members, 0)
        while not self._down.is_set():
            answers = await asyncio.gather(*(self._prober.ready(port) for port in self._members))
            for port, text in zip(self._members, answers, strict=True):
                bad[port] = bad[port] + 1 if text else 0
                # One slow answer is no loss, and when nobody answers it is the machine that is slow: a member is left
                # out for that only while another serves. A refused connection needs no second look.
                lost = bad[port] > 1 and not all(answers)
                if not text or lost or (text and not await self._prober.listens(port)):
                    self._mark(port, healthy=not text)
            await asyncio.sleep(0.3)

    def _watch_owner(self) -> None:
        """Takes the cluster down when its owner has ended. A cluster that is to stay belongs to whoever makes it until
        that process says that it is made."""
        owner = _process.ProcessId(**(self._plan["owner"] or self._plan["maker"]))
        if hasattr(os, "pidfd_open"):
            try:
                self._pidfd = os.pidfd_open(owner.pid)
            except ProcessLookupError:
                self._down.set()
                return
            asyncio.get_running_loop().add_reader(self._pidfd, self._owner_ended)
            if not owner.alive:
                self._down.set()
            return
        self._go(self._poll_owner(owner))

    async def _poll_owner(self, owner: _process.ProcessId) -> None:
        while owner.alive:
            await asyncio.sleep(0.5)
        self._owner_ended()

    def _owner_ended(self) -> None:
        if not self._kept:
            self._down.set()

    def _keep(self) -> None:
        if self._plan["owner"] is not None:
            raise UsageError("this cluster has an owner and ends with it")
        self._kept = True
        if self._pidfd is not None:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = None

    def _go(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- the end ---------------------------------------------------------------------------------------------------

    async def _take_down(self) -> None:
        self._fail("the cluster was taken down while it started")
        store = [child for child in self._children if child.component == _STORE]
        others = [child for child in self._children if child.component != _STORE]
        await asyncio.gather(*(child.end(_GRACE) for child in others))
        await asyncio.gather(*(child.end(_GRACE if self._plan["durable"] else 0.5) for child in store))
        if self._balancer:
            self._balancer.close()
        if self._links:
            self._links.close()
        for folder in layout.folders_that_go(self._place):
            shutil.rmtree(folder, ignore_errors=True)
        for file in layout.files_that_go(self._place):
            file.unlink(missing_ok=True)
        self._hold.release()
        self._gone.set()

    # --- orders ----------------------------------------------------------------------------------------------------

    async def _listen(self) -> asyncio.Server:
        with layout.socket_address(self._place) as address:
            return await asyncio.start_unix_server(self._serve, address)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            order: dict[str, Any] = {}
            try:
                order = json.loads(await reader.readline())
                answer = await self._obey(order)
            except (K8shaError, ValueError, KeyError) as error:
                answer = {"error": str(error)}
            writer.write(json.dumps(answer).encode() + b"\n")
            await writer.drain()
            writer.close()

    async def _obey(self, order: dict[str, Any]) -> dict[str, Any]:
        match order["op"]:
            case "status":
                pass
            case "ready":
                await self._settled.wait()
            case "down":
                self._down.set()
                await self._gone.wait()
            case "keep":
                self._keep()
            case "heal":
                if self._links:
                    self._links.heal()
                for child in self._children:
                    child.thaw()
                    child.start()
            case "start" | "stop" | "kill" | "freeze" | "thaw" as op:
                await self._change(op, self._find(order))
            case "cut" | "mend" | "delay" as op:
                self._change_link(op, order)
            case op:
                raise UsageError("unknown order", value=op)
        return self._status()

    async def _change(self, op: str, child: Child) -> None:
        match op:
            case "start":
                child.thaw()
                child.start()
            case "stop":
                await child.end(_GRACE)
            case "kill":
                await child.end(0)
            case "freeze":
                child.freeze()
            case _:
                child.thaw()

    def _change_link(self, op: str, order: dict[str, Any]) -> None:
        if self._links is None:
            raise UsageError(
                "what passes between members of this cluster goes through no forwarder",
                remedy="make it with links=true",
            )
        match op:
            case "cut":
                self._links.cut(order["component"], order["member"])
            case "delay":
                self._links.delay(order["component"], order["member"], float(order["seconds"]))
            case _:
                self._links.mend(order["component"], order["member"])

    def _find(self, order: dict[str, Any]) -> Child:
        for child in self._children:
            if child.component == order["component"] and child.member == order["member"]:
                return child
        raise UsageError(
            "no such program in this cluster",
            value=f"{order['component']}-{order['member']}",
            allowed=[child.name for child in self._children],
        )

    def _status(self) -> dict[str, Any]:
        return {
            "pid": os.getpid(),
            "settled": self._settled.is_set(),
            "failure": self._failure,
            "timings": self._timings,
            "programs": [child.as_dict() for child in self._children],
            "links": self._links.as_list() if self._links else [],
            "served": len(self._served),
            "serving": self._balancer.healthy if self._balancer else self._members,
        }


def main(place: Path) -> None:
    """Runs the cluster whose plan lies in ``place``."""
    plan = json.loads(layout.plan_file(place).read_text())
    asyncio.run(Supervisor(place, plan).run())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
