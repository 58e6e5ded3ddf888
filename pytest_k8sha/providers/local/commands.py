"""The command lines of a cluster's programs. Flags follow kubeadm's manifests unless a comment says why not."""

from __future__ import annotations

import base64
import json
import secrets
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_k8sha.providers.local import kubeconfigs
from pytest_k8sha.providers.local.kubeconfigs import CLIENTS

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_k8sha.providers.local.layout import Layout, Member
    from pytest_k8sha.providers.local.options import LocalOptions

ETCD, APISERVER, CONTROLLER_MANAGER, SCHEDULER, KWOK = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kwok",
)
ETCDCTL, ETCDUTL = "etcdctl", "etcdutl"
"""Not started with a cluster; looked up when a snapshot is taken or restored."""
PROGRAMS = (ETCD, APISERVER, CONTROLLER_MANAGER, SCHEDULER, KWOK)
SERVICE_RANGE = "10.96.0.0/16"
HEARTBEAT_LABEL = "k8sha.dev/heartbeat"
"""On a node: ``on`` while kwok renews its lease, ``off`` while it is to look dead."""

_AUDIT = {"silent": "None", "metadata": "Metadata", "request": "Request", "requestresponse": "RequestResponse"}
_LEADER_ELECTION = {"leaseDuration": "15s", "renewDeadline": "10s", "retryPeriod": "2s"}
# The client limits of 20 requests a second are meant for large shared clusters; here they alone would more than double
# the time until the first ServiceAccount exists.
_QPS, _BURST = 400, 800
# Processor time for memory: with Go's default of 100 a cluster takes 80 MiB more, most of it the API server's, and is
# ready no sooner.
_MEMORY = {"GOGC": "50"}
_SERVER_MEMORY = {"GOGC": "25"}


@dataclass(frozen=True)
class Command:
    """One program as the supervisor runs it. ``hostname``: the name that the program sees, where the kernel lets it."""

    component: str
    member: int
    argv: list[str]
    log: str
    env: dict[str, str] = field(default_factory=dict)
    hostname: str = ""

    @property
    def name(self) -> str:
        return f"{self.component}-{self.member}"

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "name": self.name}


def all_of(layout: Layout, options: LocalOptions, programs: Mapping[str, Path], stages: Path) -> list[Command]:
    """Writes the configuration files of the programs and returns their commands, in the order of their start."""
    writer = _Writer(layout, options, programs)
    commands = [writer.etcd(member) for member in layout.members]
    commands += [writer.apiserver(member) for member in layout.members]
    commands += [writer.controller_manager(member) for member in layout.members]
    commands += [writer.scheduler(member) for member in layout.members]
    if options.nodes:
        commands.append(writer.kwok(stages))
    return commands


class _Writer:
    def __init__(self, layout: Layout, options: LocalOptions, programs: Mapping[str, Path]) -> None:
        self._layout, self._options, self._programs = layout, options, programs
        self._pki = layout.pki

    def _command(self, component: str, member: int, flags: Mapping[str, object], **more: Any) -> Command:
        words = [f"--{key}={_text(value)}" for key, value in flags.items() if value is not None]
        log = str(self._layout.log(f"{component}-{member}"))
        return Command(component, member, [str(self._programs[component]), *words], log, **more)

    def _config(self, name: str, content: object) -> Path:
        path = self._layout.config / name
        path.write_text(json.dumps(content, indent=1))
        return path

    def _kubeconfig(self, client: str, server: str, suffix: str = "") -> Path:
        path = self._layout.config / f"{client}{suffix}.kubeconfig"
        kubeconfigs.write(path, name=self._layout.name, server=server, pki=self._pki, client=client)
        return path

    def etcd(self, member: Member) -> Command:
        peers = ",".join(f"member-{m.index}={m.peer_url}" for m in self._layout.members)
        client = f"https://127.0.0.1:{member.etcd_client}"
        tls = {
            f"{prefix}{key}": value
            for prefix in ("", "peer-")
            for key, value in {
                "cert-file": self._pki / f"etcd-{member.index}.crt",
                "key-file": self._pki / f"etcd-{member.index}.key",
                "trusted-ca-file": self._pki / "etcd-ca.crt",
                "client-cert-auth": True,
            }.items()
        }
        flags: dict[str, object] = {
            "name": f"member-{member.index}",
            "data-dir": self._layout.data / f"etcd-{member.index}",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": f"https://127.0.0.1:{member.etcd_peer}",
            "initial-advertise-peer-urls": member.peer_url,
            "initial-cluster": peers,
            "initial-cluster-state": "new",
            "initial-cluster-token": self._layout.name,
            "log-level": "warn",
            "snapshot-count": 10000,
            **tls,
        }
        if not self._options.durable:
            flags["unsafe-no-fsync"] = True
        env = {**_MEMORY, "HTTPS_PROXY": f"http://127.0.0.1:{member.peer_proxy}"} if member.peer_proxy else _MEMORY
        return self._command(ETCD, member.index, {**flags, **_further(self._options.etcd_args)}, env=env)

    def apiserver(self, member: Member) -> Command:
        options, pki = self._options, self._pki
        flags: dict[str, object] = {
            "advertise-address": member.advertised,
            "bind-address": "127.0.0.1",
            "secure-port": member.api,
            "allow-privileged": True,
            "authorization-mode": ",".join(options.authorization) or None,
            "anonymous-auth": None if options.anonymous_auth else False,
            "client-ca-file": pki / "ca.crt",
            "default-not-ready-toleration-seconds": options.toleration,
            "default-unreachable-toleration-seconds": options.toleration,
            "enable-admission-plugins": ",".join(dict.fromkeys(self._admission())) or None,
            "disable-admission-plugins": ",".join(options.admission_off) or None,
            "etcd-servers": f"https://127.0.0.1:{member.store_proxy or member.etcd_client}",
            "etcd-cafile": pki / "etcd-ca.crt",
            "etcd-certfile": pki / "etcd-client.crt",
            "etcd-keyfile": pki / "etcd-client.key",
            "endpoint-reconciler-type": "lease",
            "feature-gates": ",".join(options.feature_gates) or None,
            "proxy-client-cert-file": pki / "front-proxy-client.crt",
            "proxy-client-key-file": pki / "front-proxy-client.key",
            "requestheader-allowed-names": "front-proxy-client",
            "requestheader-client-ca-file": pki / "front-proxy-ca.crt",
            "requestheader-extra-headers-prefix": "X-Remote-Extra-",
            "requestheader-group-headers": "X-Remote-Group",
            "requestheader-username-headers": "X-Remote-User",
            "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
            "service-account-key-file": pki / "sa.pub",
            "service-account-signing-key-file": pki / "sa.key",
            "service-cluster-ip-range": SERVICE_RANGE,
            "tls-cert-file": pki / f"apiserver-{member.index}.crt",
            "tls-private-key-file": pki / f"apiserver-{member.index}.key",
        }
        if options.encryption != "none":
            flags["encryption-provider-config"] = self._config("encryption.json", self._encryption())
        if options.audit != "none":
            level = _AUDIT[options.audit]
            # The supervisor's own probes say nothing about anybody.
            rules = [{"level": "None", "users": [CLIENTS["monitor"][0]]}, {"level": level}]
            policy = {
                "apiVersion": "audit.k8s.io/v1",
                "kind": "Policy",
                "omitStages": ["RequestReceived"],
                "rules": rules,
            }
            flags["audit-log-path"] = self._layout.audit(member.index)
            flags["audit-policy-file"] = self._config("audit-policy.json", policy)
        flags |= _further(options.apiserver_args)
        # The identity of an API server, and with it the name of its lease, is a hash of its host's name.
        hostname = f"{self._layout.name}-{member.index}"
        return self._command(APISERVER, member.index, flags, env=_SERVER_MEMORY, hostname=hostname)

    def _encryption(self) -> dict[str, Any]:
        """Secrets at rest. The key is of this cluster alone, and goes with it."""
        secretbox = {"secretbox": {"keys": [{"name": "key1", "secret": base64.b64encode(self._key()).decode()}]}}
        providers: list[dict[str, Any]] = [secretbox, {"identity": {}}]
        if self._options.encryption == "identity-first":
            providers.reverse()
        return {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "EncryptionConfiguration",
            "resources": [{"resources": ["secrets"], "providers": providers}],
        }

    def _key(self) -> bytes:
        """32 bytes that every member has and nobody else."""
        path = self._pki / "encryption.key"
        if not path.exists():
            path.touch(mode=0o600)
            path.write_bytes(secrets.token_bytes(32))
        return path.read_bytes()

    def _admission(self) -> list[str]:
        on = ["NodeRestriction", *self._options.admission_on]
        return [plugin for plugin in on if plugin not in self._options.admission_off]

    def controller_manager(self, member: Member) -> Command:
        options, pki = self._options, self._pki
        kubeconfig = self._kubeconfig("controller-manager", f"https://127.0.0.1:{member.api}", f"-{member.index}")
        flags: dict[str, object] = {
            **self._component(kubeconfig, member.controller_manager),
            "cluster-signing-cert-file": pki / "ca.crt",
            "cluster-signing-key-file": pki / "ca.key",
            "controllers": "*,bootstrapsigner,tokencleaner",
            "feature-gates": ",".join(options.feature_gates) or None,
            "kube-api-qps": _QPS,
            "kube-api-burst": _BURST,
            "kubeconfig": kubeconfig,
            "leader-elect": options.leader_elect,
            "leader-elect-lease-duration": _LEADER_ELECTION["leaseDuration"],
            "leader-elect-renew-deadline": _LEADER_ELECTION["renewDeadline"],
            "leader-elect-retry-period": _LEADER_ELECTION["retryPeriod"],
            "node-monitor-grace-period": f"{options.node_grace}s",
            "node-monitor-period": "1s",
            "root-ca-file": pki / "ca.crt",
            "service-account-private-key-file": pki / "sa.key",
            "use-service-account-credentials": True,
            **_further(options.controller_manager_args),
        }
        # A leader's identity begins with its host's name; `LocalFaults.member_of` reads it.
        hostname = self._layout.hostname(member)
        return self._command(CONTROLLER_MANAGER, member.index, flags, env=_MEMORY, hostname=hostname)

    def scheduler(self, member: Member) -> Command:
        kubeconfig = self._kubeconfig("scheduler", f"https://127.0.0.1:{member.api}", f"-{member.index}")
        config = {
            "apiVersion": "kubescheduler.config.k8s.io/v1",
            "kind": "KubeSchedulerConfiguration",
            "clientConnection": {"kubeconfig": str(kubeconfig), "qps": _QPS, "burst": _BURST},
            "leaderElection": {"leaderElect": self._options.leader_elect, **_LEADER_ELECTION},
        }
        flags: dict[str, object] = {
            **self._component(kubeconfig, member.scheduler),
            "config": self._config(f"scheduler-{member.index}.json", config),
            "feature-gates": ",".join(self._options.feature_gates) or None,
        }
        hostname = self._layout.hostname(member)
        return self._command(SCHEDULER, member.index, flags, env=_MEMORY, hostname=hostname)

    def _component(self, kubeconfig: Path, port: int) -> dict[str, object]:
        """The serving and delegation flags that the controller manager and the scheduler share."""
        return {
            "authentication-kubeconfig": kubeconfig,
            "authorization-kubeconfig": kubeconfig,
            "bind-address": "127.0.0.1",
            "client-ca-file": self._pki / "ca.crt",
            "requestheader-client-ca-file": self._pki / "front-proxy-ca.crt",
            "secure-port": port,
            # Without these each would make an RSA key at every start.
            "tls-cert-file": self._pki / "component.crt",
            "tls-private-key-file": self._pki / "component.key",
        }

    def kwok(self, stages: Path) -> Command:
        kubeconfig = self._kubeconfig("kwok", self._layout.server)
        # The kubelet renews a lease of 40 s every 10 s, and its node may be silent for 50 s. The same proportion here.
        lease = max(4, self._options.node_grace * 4 // 5)
        config = {
            "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
            "kind": "KwokConfiguration",
            "options": {
                "manageNodesWithLabelSelector": f"{HEARTBEAT_LABEL}=on",
                "nodeLeaseDurationSeconds": lease,
                "cidr": "10.239.0.0/16",
                "podPlayStageParallelism": 8,
                "nodePlayStageParallelism": 8,
                "nodeLeaseParallelism": 8,
            },
        }
        words = [
            str(self._programs[KWOK]),
            f"--kubeconfig={kubeconfig}",
            f"--config={self._config('kwok.json', config)}",
            *(f"--config={path}" for path in sorted(stages.glob("*.yaml"))),
        ]
        # kwok reads ~/.kwok/kwok.yaml too; a user's own simulation has no business in this cluster.
        env = {**_MEMORY, "HOME": str(self._layout.config)}
        return Command(KWOK, 0, words, str(self._layout.log(f"{KWOK}-0")), env=env)


def _further(words: tuple[str, ...]) -> dict[str, object]:
    pairs = (word.partition("=") for word in words)
    return {key: value if sign else True for key, sign, value in pairs}


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
