"""Effects that are seen by trying: what worked before the fault fails now, is slower, or answers otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pytest_k8sha import _clock
from pytest_k8sha.chaos.meters import felt, unfelt, unknown
from pytest_k8sha.errors import ApiError, Inconclusive, RequestError, TransportError
from pytest_k8sha.kube.execute import execute

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pytest_k8sha.chaos.engine import Observation
    from pytest_k8sha.fleet.cluster import Cluster

Object = dict[str, Any]

ASKED = 3
"""Times that is asked for what is normal; the middle answer counts."""

PATIENCE = 2.0
"""Seconds after which a pod is silent."""

UNREACHED = "trying to reach service"
"""What the API server says when a pod cannot be reached (``k8s.io/apimachinery/pkg/util/proxy/transport.go``)."""

Effect = Literal["fails", "falls silent", "slower", "answers otherwise"]
"""Who refuses a connection can be reached, so it has failed, and not fallen silent."""

REACHED = ("refused", "reset", "EOF")
"""Words of the API server when a pod's network did answer."""


@dataclass
class Answer:
    """One try: whether it worked, in how many seconds, with what. ``said`` is for people."""

    worked: bool
    seconds: float
    said: str
    text: str = ""
    silent: bool = False


class Tries:
    """An effect seen from outside the target: what worked fails now, takes longer, or gives another answer.

    Subclasses say how to try. A try that could not be made at all says nothing, and is no effect.
    """

    def __init__(self, effect: Effect, *, by: float = 0.0) -> None:
        self._effect, self._by = effect, by
        self._normal: dict[str, Answer] = {}

    def names(self) -> list[str]:
        """What is tried, one for each target."""
        raise NotImplementedError

    def attempt(self, name: str) -> Answer:
        """One try. Raises `Inconclusive` when it could not be made."""
        raise NotImplementedError

    def before(self) -> None:
        for name in self.names():
            tries = sorted((self.attempt(name) for _ in range(ASKED)), key=lambda a: a.seconds)
            wrong = next((a for a in tries if not a.worked), None)
            if wrong is not None:
                raise Inconclusive(f"{name} did not work before the fault either: {wrong.said}")
            self._normal[name] = tries[len(tries) // 2]

    def look(self) -> Observation:
        if not self._normal:
            return unknown("what is normal was not measured")
        seen = []
        for name, normal in self._normal.items():
            try:
                now = self.attempt(name)
                if self._effect in {"fails", "falls silent"} and not now.worked:
                    now = self.attempt(name)  # a single request is lost without a fault as well
            except Inconclusive as error:
                return unknown(f"{name}: {error}")
            judged, said = self._judged(normal, now)
            if self._effect not in {"fails", "falls silent"} and not now.worked:
                return unknown(f"{name}: it did not work at all: {now.said}")  # neither late nor another answer
            if not judged:
                return unfelt(f"{name}: {said}")
            seen.append(f"{name}: {said}")
        return felt("; ".join(seen))

    def _judged(self, normal: Answer, now: Answer) -> tuple[bool, str]:
        if self._effect == "fails":
            return not now.worked, now.said
        if self._effect == "falls silent":
            return now.silent, now.said
        if self._effect == "slower":
            longer = now.seconds - normal.seconds
            said = f"{1000 * now.seconds:.0f} ms, and {1000 * normal.seconds:.0f} ms before"
            return longer >= self._by, f"{said} ({now.said})"
        return now.text != normal.text, f"{now.text!r}, and {normal.text!r} before"


class Proxied(Tries):
    """HTTP requests to the pods by way of the API server, which connects to each pod's own address."""

    def __init__(
        self,
        cluster: Cluster,
        pods: Sequence[Object],
        effect: Effect,
        *,
        by: float = 0.0,
        port: int = 0,
        path: str = "/",
    ) -> None:
        super().__init__(effect, by=by)
        self._cluster, self._path = cluster, path
        self._pods = {f"{p['metadata']['namespace']}/{p['metadata']['name']}": port or _port(p) for p in pods}

    def names(self) -> list[str]:
        return list(self._pods)

    def attempt(self, name: str) -> Answer:
        port = self._pods[name]
        if not port:
            raise Inconclusive(f"{name} declares no TCP port that could be asked")
        namespace, pod = name.split("/")
        path = f"/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{self._path}"
        clock = _clock.Deadline(PATIENCE + self._by * 2)
        try:
            # Through the thread's own client; the time-out is ours, and shorter than the server's.
            text = self._cluster.client.request("GET", path, timeout=clock.seconds)
        except TransportError as error:
            spent = clock.spent
            self._server_answers(error)
            return Answer(worked=False, seconds=spent, said=f"no answer ({error.kind})", silent=error.kind == "timeout")
        except ApiError as error:
            # The server's own words when it could not reach the pod; any other 503 came from the pod itself.
            unreached = UNREACHED in error.message
            silent = unreached and not any(word in error.message for word in REACHED)
            said = f"status {error.status}: {error.message[:120]}"
            if not unreached and error.reason:
                raise Inconclusive(f"the API server did not ask the pod: {said}") from error
            return Answer(not unreached, clock.spent, said, str(error.status), silent)
        return Answer(worked=True, seconds=clock.spent, said="answered", text=str(text)[:200])

    def _server_answers(self, error: TransportError) -> None:
        """The positive control of an answer that did not come: the server in between answers. Else nothing is known of
        the pod, and `Inconclusive` is raised."""
        try:
            self._cluster.client.request("GET", "/version", timeout=PATIENCE)
        except RequestError as silent:
            raise Inconclusive(
                f"no answer ({error.kind}), and the API server itself does not answer: {silent}"
            ) from silent


def _port(pod: Object) -> int:
    """The first TCP port that a pod declares; 0 for none."""
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or []:
            if port.get("protocol", "TCP") == "TCP":
                return int(port["containerPort"])
    return 0


@dataclass(frozen=True)
class Command:
    """A command in a container of a pod, whose exit code 0 means that it worked."""

    namespace: str
    pod: str
    argv: tuple[str, ...]
    container: str = ""
    timeout: float = 10.0

    def __str__(self) -> str:
        return f"{' '.join(self.argv)} in {self.namespace}/{self.pod}"


class Commands(Tries):
    """Commands run in pods: from where the effect is felt, such as ``agnhost connect`` to the far side of a partition.

    A command that could not be run, or did not end in time, tells nothing of the network: it is no effect. Give it a
    time-out of its own.
    """

    def __init__(self, cluster: Cluster, commands: Sequence[Command], effect: Effect, *, by: float = 0.0) -> None:
        super().__init__(effect, by=by)
        self._cluster, self._commands = cluster, {str(command): command for command in commands}

    def names(self) -> list[str]:
        return list(self._commands)

    def attempt(self, name: str) -> Answer:
        one = self._commands[name]
        clock = _clock.Deadline(one.timeout)
        try:
            done = execute(
                self._cluster.client, one.pod, one.namespace, one.argv, container=one.container, timeout=one.timeout
            )
        except RequestError as error:
            raise Inconclusive(f"the command could not be run: {error}") from error
        said = f"exit code {done.code}: {(done.stderr or done.stdout).strip()[:200]}"
        return Answer(done.code == 0, clock.spent, said, done.stdout.strip()[:200])
