"""Into a neighbour's running pod: exec, attach, port-forward, proxy and ephemeral containers, really carried out.

`pytest_k8sha.tenancy.connecting` asks the authoriser by requests that open nothing; here the connection is opened, and
what comes back over it shows how far somebody got.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_k8sha._wait import eventually
from pytest_k8sha.checks.denial import attribute
from pytest_k8sha.errors import ApiError, ImpactRefused, RequestError, TransportError
from pytest_k8sha.model import nonce
from pytest_k8sha.tenancy.access import pairs_of_tenants
from pytest_k8sha.tenancy.attempts import Attempt, forbid
from pytest_k8sha.tenancy.escapes import stage
from pytest_k8sha.tenancy.matrix import several
from pytest_k8sha.tenancy.network.agent import Line
from pytest_k8sha.tenancy.network.places import Namespace, Pod
from pytest_k8sha.tenancy.secrets import owned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_k8sha.checks.judge import Judge
    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.kube.client import Client
    from pytest_k8sha.tenancy.tenant import Tenant

PATIENCE = 5.0
"""Seconds for an answer through the API server's proxy, which a network policy may cut."""

RUNS = 30.0
"""Seconds for an ephemeral container to run."""

SLICE = "application/strategic-merge-patch+json"


@dataclass(frozen=True)
class Way(Attempt):
    """One way in. ``act`` goes it as a client and returns what it got hold of."""

    act: Callable[[Client], str] = lambda _: ""
    cut: bool = False
    """Whether a network policy can cut it beyond the authoriser."""

    def send(self, client: Client) -> Any:
        return self.act(client)

    def proof(self, answer: Any) -> str:
        return str(answer)


def ways(cluster: Cluster, canary: dict[str, Any]) -> list[Way]:
    """Each way into this pod, which serves HTTP."""
    meta = canary["metadata"]
    name, namespace = meta["name"], meta["namespace"]
    base = f"/api/v1/namespaces/{namespace}/pods/{name}"

    def run(client: Client) -> str:
        word = nonce("ran")
        done = stage.call(client, canary, "entrypoint-tester", word)
        if word not in done.stdout:
            raise TransportError("other", method="EXEC", path=base, cause=f"the command printed {done.stdout[:80]!r}")
        return f"a command ran in the pod and printed {word}"

    def attach(client: Client) -> str:
        opened = client.socket(f"{base}/attach", query={"container": "main", "stdout": "true"}, timeout=PATIENCE)
        opened.close()
        return "the output of its container was opened"

    def forward(client: Client) -> str:
        word = nonce("sent")
        with Line(client, Pod.of(canary, Namespace(namespace)), stage.PORT, 1) as line:
            lane = line.send(f"/echo?msg={word}")
            line.listen(PATIENCE)
        if word not in lane.body:
            raise TransportError("other", method="GET", path=base, cause=lane.problem or "no answer came back")
        return f"its server answered {word} over a forwarded port"

    def proxy(client: Client) -> str:
        word = nonce("sent")
        path = f"/api/v1/namespaces/{namespace}/pods/{name}:{stage.PORT}/proxy/echo"
        answer = client.request("GET", path, query={"msg": word}, timeout=PATIENCE)
        return f"its server answered {answer!r} to {word}"

    def debug(client: Client) -> str:
        extra = {k: v for k, v in canary["spec"]["containers"][0].items() if k in {"image", "args", "securityContext"}}
        extra |= {"name": nonce("look"), "targetContainerName": "main", "args": ["pause"]}
        body = {"spec": {"ephemeralContainers": [extra]}}
        client.request("PATCH", f"{base}/ephemeralcontainers", body=body, content_type=SLICE)
        return f"an ephemeral container was added, and {_ran(cluster, canary, extra['name'])}"

    return [
        Way(f"run a command in {name}", "POST", f"{base}/exec", act=run),
        Way(f"attach to {name}", "POST", f"{base}/attach", act=attach),
        Way(f"forward a port of {name}", "POST", f"{base}/portforward", act=forward),
        Way(f"reach {name} through the proxy", "GET", f"{base}/proxy", act=proxy, cut=True),
        Way(f"add a container to {name}", "PATCH", f"{base}/ephemeralcontainers", act=debug),
    ]


def _ran(cluster: Cluster, canary: dict[str, Any], name: str) -> str:
    resource, meta = cluster.resource("v1", "Pod"), canary["metadata"]

    def state() -> dict[str, Any]:
        statuses = resource.get(meta["name"], meta["namespace"])["status"].get("ephemeralContainerStatuses") or []
        return next((s.get("state") or {} for s in statuses if s["name"] == name), {})

    eventually(state, what="the ephemeral container runs", timeout=RUNS, accept=lambda s: "running" in s)
    return "runs beside the pod's own"


def judge_running(judge: Judge, cluster: Cluster, tenants: Sequence[Tenant]) -> None:
    """A serving pod in each tenant; each tenant's own admin gets into it, and nobody of any other tenant does."""
    several(tenants)
    owned(tenants)
    image = stage.ensure_image(cluster)
    wanted = [stage.pod(tenant, image, stage.SERVE) for tenant in tenants]
    with stage.running(cluster, wanted) as made:
        doors = {tenant.name: ways(cluster, pod) for tenant, pod in zip(tenants, made, strict=True)}
        for tenant in tenants:
            for way in doors[tenant.name]:
                if not _control(judge, cluster, tenant, way):
                    return
        for one, other in pairs_of_tenants(tenants):
            for way in doors[other.name]:
                for persona in one.personas.values():
                    forbid(judge, persona, way)


def _control(judge: Judge, cluster: Cluster, tenant: Tenant, way: Way) -> bool:
    """The same for the tenant's own people, where somebody may; else for the administrator."""
    pair = way.pair
    mine = [
        persona
        for persona in tenant.personas.values()
        if persona.may(pair.verb, resource="pods", subresource=pair.subresource, namespace=tenant.namespace)[0]
    ]
    client, who = (mine[0].client, str(mine[0])) if mine else (cluster.client, "the administrator")
    try:
        way.send(client)
    except ImpactRefused:
        raise
    except ApiError as error:
        late = way.cut and attribute(error) is None and error.status >= 500
        return judge.control(late, f"{who} tries to {way.what}: {error}")
    except RequestError as error:
        return judge.control(way.cut, f"{who} tries to {way.what}: {error}")
    return True
