"""Requests of a probe to the Kubernetes API, in the probe's own process: reads, and writes that are read back.

They go through `kube.client` like all others. Each is on a connection of its own, and runs in a thread.
"""

from __future__ import annotations

import asyncio
import math
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import ApiError, TransportError
from pytest_k8sha.kube import kubeconfig
from pytest_k8sha.kube.client import Client
from pytest_k8sha.model import Impact, Run
from pytest_k8sha.probes.exchange import Result
from pytest_k8sha.probes.sample import Outcome
from pytest_k8sha.safety.guard import Guard

if TYPE_CHECKING:
    from collections.abc import Mapping

_KINDS = {"refused": Outcome.REFUSED, "reset": Outcome.RESET, "timeout": Outcome.TIMEOUT, "truncated": Outcome.WRONG}
_ALONE = {"Connection": "close"}
"""A connection that is used again would make one outage look different to each thread."""

MOST_THREADS = 400


class Calls:
    """``order`` names a kubeconfig, the uid that a read must show, and for writes the objects to write to in turn."""

    def __init__(self, order: Mapping[str, Any]) -> None:
        context = kubeconfig.load(order["kubeconfig"] or None, order["context"] or None)
        private = Path(order["private"])
        api_client = context.connector(private)()
        self._guard = Guard(
            cluster=order["cluster"],
            ceiling=Impact.EXERCISE if order["objects"] else Impact.OBSERVE,
            run=Run(**order["run"]),
            namespaces={order["namespace"]} if order["objects"] else set(),
        )
        self._client = Client(lambda: api_client, guard=self._guard, private=private, who="probe")
        if order["url"]:
            at = self._client.at(order["url"], server_name=order["server_name"]).api_client
            self._client = Client(lambda: at, guard=self._guard, private=private, who="probe")
        self._order = order
        self._turn = 0
        self._timeout = float(order["timeout"])
        # A thread is held by a request for its connecting and its reading, twice for a write, after it was given up.
        threads = math.ceil(order["rate"] * self._timeout * 4) + 8
        self._threads = ThreadPoolExecutor(min(MOST_THREADS, threads))

    async def ask(self, nonce: str) -> Result:
        self._turn += 1
        act = (self._write, nonce, self._turn) if self._order["objects"] else (self._read,)
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._sorted, *act)

    def _sorted(self, act: Any, *given: Any) -> Result:
        try:
            result: Result = act(*given)
        except TransportError as error:
            result = Result(_KINDS.get(error.kind, Outcome.ERROR), detail=str(error)[:200])
        except ApiError as error:
            result = Result(Outcome.ERROR, detail=f"HTTP {error.status} {error.reason}: {error.message}"[:200])
        return result

    def _read(self) -> Result:
        answer = self._request("GET", "/api/v1/namespaces/kube-system")
        uid = answer["metadata"]["uid"] if isinstance(answer, dict) else ""
        if uid != self._order["uid"]:
            return Result(Outcome.WRONG, detail=f"another cluster answers: {uid or answer!r}"[:200])
        return Result(Outcome.OK)

    def _write(self, nonce: str, turn: int) -> Result:
        objects = self._order["objects"]
        round_, place = divmod(turn, len(objects))
        name, field = objects[place], f"f{round_ % self._order['fields']}"
        path = f"/api/v1/namespaces/{self._order['namespace']}/configmaps/{name}"
        self._request("PATCH", path, body={"data": {field: nonce}})
        answer = self._request("GET", path)
        found = (answer.get("data") or {}).get(field, "") if isinstance(answer, dict) else ""
        if found != nonce:
            return Result(Outcome.WRONG, detail=f"read back {found!r}, wrote {nonce!r}")
        return Result(Outcome.OK)

    def _request(self, method: str, path: str, body: Any = None) -> Any:
        return self._client.request(method, path, body=body, headers=_ALONE, timeout=self._timeout)
