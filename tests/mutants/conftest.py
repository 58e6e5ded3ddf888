"""The rig: kept local clusters, and pytest runs on them by the route that a user takes."""

from __future__ import annotations

import json
import os
import re
import secrets
import shutil
import sys
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_k8sha import _clock, _process
from pytest_k8sha._wait import eventually
from pytest_k8sha.checks.mutants import Mutant, union
from pytest_k8sha.fleet.cluster import Cluster
from pytest_k8sha.fleet.keeper import Keeper
from pytest_k8sha.fleet.run import RunFolder
from pytest_k8sha.fleet.spec import FleetSpec
from pytest_k8sha.kube import manifests
from pytest_k8sha.kube.manifests import Manifest
from pytest_k8sha.providers.base import ClusterState
from pytest_k8sha.providers.registry import Registry
from pytest_k8sha.record import chain
from pytest_k8sha.recovery.etcd import snapshot
from pytest_k8sha.recovery.manifests import backup
from pytest_k8sha.safety.journal import Journal
from pytest_k8sha.settings import Settings
from tests.integration import s3
from tests.matrix import Matrix
from tests.mutants import fleets
from tests.mutants.rewind import rewind
from tests.mutants.webhook_server import WebhookServer

ROOT = Path(__file__).resolve().parents[2]
FIXTURES = ROOT / "fixtures"
SUITES = ROOT / "suites"
WORKERS = {"tenancy": 2, "availability": 1, "failover": 1}
"""Runs at the same time on one rig. Tenants do not see each other; workloads are judged for a cluster as a whole."""
OPTIONS: dict[str, dict[str, Any]] = {
    "tenancy": {},
    # A good control plane has three members; a lost node is given up soon, since the matrix waits for it.
    "availability": {
        "members": 3,
        "node_grace": 6,
        "toleration": 2,
        "cpu": "64",
        "pods": 400,
        "links": True,
        "encryption": "secretbox",
    },
}
OPTIONS["restore"] = OPTIONS["availability"]
OPTIONS["failover"] = {"nodes": 2}
GOOD_PLAN: dict[str, Any] = {
    "bia": "${folder}/bia.yaml",
    "records": ["${folder}/record.jsonl"],
    "observed": "30d",
    "objectStores": [
        {"name": "folder", "folder": "${folder}/store", "min_size": 1000, "encrypted": False, "versioned": False},
        {
            "name": "bucket",
            "bucket": "good",
            "endpoint": "${s3}",
            "region": s3.REGION,
            "min_size": 1000,
            "retention": 0,
            "locked": True,
        },
    ],
}
HOMES = {"restore": "availability"}
"""Suites that are judged on the cluster of another one, by turns with it."""
OLD = 15.0
"""Seconds after which a snapshot is older than the Leases in it could hide."""
SHOP = "shop"
"""The namespace of the example workloads."""
TIMEOUT = 600.0
SLO = "2"
"""Seconds: the default may be too little on a machine that runs many sets of tests."""
WEBHOOK = yaml.safe_load((FIXTURES / "mutants" / "tenancy" / "webhook-ignore.yaml").read_text())["overlay"]
"""The webhook of that mutant as it should be: it fails closed."""
WEBHOOK[0]["webhooks"][0]["failurePolicy"] = "Fail"


HOOK = manifests.load([FIXTURES / "workloads" / "webhook.yaml"])
"""What the good workloads answer for."""


@dataclass
class Outcome:
    """What one run recorded: verdicts by check, and the text of the failed findings."""

    seconds: float
    results: list[dict[str, Any]]
    output: str
    status: int

    def of(self, check: str) -> list[dict[str, Any]]:
        return [r for r in self.results if r["check"] == check]

    def verdicts(self, check: str) -> list[str]:
        return [r["verdict"] for r in self.of(check)]

    def part(self, space: str) -> Outcome:
        """What was seen in one namespace, as if it were the example's: a check failed there or it passed."""
        results = []
        for result in self.results:
            findings = [
                {key: text.replace(f"{space}/", f"{SHOP}/") for key, text in finding.items()}
                for finding in result["findings"]
                if f" {space}/" in finding["subject"]
            ]
            verdicts = {finding["verdict"] for finding in findings}
            verdict = next((v for v in ("failed", "inconclusive", "passed") if v in verdicts), "not evaluated")
            results.append({**result, "findings": findings, "verdict": verdict})
        return Outcome(self.seconds, results, self.output, self.status)

    def told(self, checks: list[str]) -> str:
        """Every word of the failed findings of these checks."""
        findings = [f for r in self.results if r["check"] in checks for f in r["findings"] if f["verdict"] == "failed"]
        return "\n".join(f"{f['subject']} {f['seen']} {f['rule']} {f['remedy']}" for f in findings)


class Refuser(BaseHTTPRequestHandler):
    """An authorisation webhook that says no (authorization.k8s.io/v1 SubjectAccessReview)."""

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        review["status"] = {"allowed": False, "denied": True, "reason": "the gate is closed"}
        body = json.dumps(review).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Says nothing: the matrix has a report of its own."""


class Rig:
    """One kept cluster a suite, and the runs on it. Clusters end with this process at the latest."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        env = Settings.from_environment()
        self.settings = Settings(env.cache, folder / "state", env.bin_dir, env.kubebuilder_assets, env.mirror)
        self.registry = Registry()
        self.keeper = Keeper(self.settings, self.registry, lambda _: None)
        self._pools: dict[str, ThreadPoolExecutor] = {}
        self._clusters: dict[str, Future[str]] = {}
        self._makers = ThreadPoolExecutor(2)
        self._own = ThreadPoolExecutor(2)
        self._run = RunFolder.create(self.settings)
        self._servers: list[ThreadingHTTPServer] = []
        self._lock = threading.Lock()
        self._stack = ExitStack()
        self.matrix = Matrix()

    def apart(self, work: Any, *args: Any) -> Future[Any]:
        """As `submit`, for what makes a cluster of its own: it runs beside the others and needs no kept one."""
        return self._own.submit(work, *args)

    def submit(self, suite: str, work: Any, *args: Any) -> Future[Outcome]:
        home = HOMES.get(suite, suite)
        if home not in self._pools:
            self._pools[home] = ThreadPoolExecutor(WORKERS[home])
        self._made(suite)
        return self._pools[home].submit(work, *args)

    def _made(self, suite: str) -> Future[str]:
        """The name of the kept cluster that a suite is judged on."""
        home = HOMES.get(suite, suite)
        with self._lock:
            if home not in self._clusters:
                self._clusters[home] = self._makers.submit(self._make, home)
        return self._clusters[home]

    def _make(self, suite: str) -> str:
        """A cluster as `k8sha up` keeps it, but owned by this process; returns its name."""
        name = f"rig-{suite}"[:30]
        state = self._keep(name, OPTIONS[suite])
        if suite == "tenancy":
            self._cluster(state).apply(manifests.load([FIXTURES / "policies"]))
        if suite == "failover":
            fleets.furnish(self._cluster(state))
        return name

    def _keep(self, name: str, options: dict[str, Any]) -> ClusterState:
        spec = FleetSpec.model_validate({"clusters": {name: {"provider": "local", **options}}})
        order = spec.clusters[name]
        place = self.settings.fleets / name
        place.mkdir(mode=0o700, parents=True)
        journal = Journal(place / "journal.jsonl", run=f"up-{name}", label="k8sha-up")
        return self.keeper._make(name, order, order.provider_options(self.registry), place, journal, self._run.owner)

    def _broken(self, name: str, options: dict[str, Any], mutant: Mutant) -> None:
        """A kept cluster with the mutant's faults, on which the run finds itself."""
        state = self._keep(name, options)
        faults = self.registry.get("local").faults(state)
        assert faults is not None
        for fault in mutant.faults:
            match fault.op:
                case "certify":
                    faults.certify(fault.component, fault.member, fault.seconds)
                case "rewind":
                    what = self._cluster(state), self.folder / f"rewind-{name}"
                    threading.Thread(target=rewind, args=what, daemon=True).start()
                case "learner":
                    self._cluster(state).etcd.add_learner(fault.member, "https://192.0.2.99:2380")
                case op:
                    getattr(faults, op)(fault.component, fault.member)

    def _cluster(self, state: ClusterState) -> Cluster:
        return Cluster(state, self.registry.get("local"), run=self._run.run, private=self._run.private)

    def good(self, suite: str) -> Outcome:
        """Every check of the suite on the good set-up."""
        if suite == "restore":
            _ = self.backups  # the mutants want old ones
        overlay = {"tenancy": WEBHOOK, "availability": HOOK}.get(suite, [])
        good = Mutant(title="the good set-up", checks=["TEN-FLW-000"], name="good", overlay=overlay)
        return self.run(suite, good, [])

    def batch(self, mutants: list[Mutant]) -> dict[str, Outcome]:
        """Workload mutants, each in a namespace of its own, judged by one run; what was seen of each by name.

        They have a cluster of their own, which ends with the run: to sweep the namespaces costs more than to make it.
        """
        spaces = {mutant.name: f"{SHOP}-{mutant.name}" for mutant in mutants}
        checks = sorted({check for mutant in mutants for check in mutant.checks})
        objects = []
        for mutant in mutants:
            base = FIXTURES / "workloads" / f"{mutant.base}.yaml"
            objects += [moved(o, spaces[mutant.name]) for o in mutant.changed(manifests.load([base]))]
        whole = Mutant(
            title="a batch",
            checks=checks,
            base="none",
            cluster={"members": 1},
            overlay=objects,
            name="batch",
            suite="availability",
        )
        outcome = self.run("availability", whole, checks)
        return {name: outcome.part(space) for name, space in spaces.items()}

    @cached_property
    def refuser(self) -> str:
        """The URL of a webhook that denies whatever it is asked."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), Refuser)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self._servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    @cached_property
    def webhook(self) -> WebhookServer:
        """A validating webhook that really judges."""
        return WebhookServer(self.folder)

    def aliases(self, mutants: list[Mutant]) -> dict[str, Outcome]:
        """Mutants that live beside each other, each on a kept cluster of its own name, judged by one run: of tenancy
        with tenants of its own, of restore with a plan and backups of its own.

        The names all lead to the one rig, which is told of under each of them. What the run made stays until the rig
        goes: to sweep thirty namespaces costs more than to judge them.
        """
        clock = _clock.Deadline(TIMEOUT + 20 * len(mutants))
        folder = self.folder / f"batch-{secrets.token_hex(3)}"
        clusters, nodes, names = {}, [], {}
        for number, mutant in enumerate(mutants):
            name = f"m{number}-{folder.name[-6:]}"
            names[name] = mutant.name
            home = "tenancy" if mutant.base == "elsewhere" else mutant.suite
            kept = ClusterState.load(self.settings.fleets / self._made(home).result())
            place = self.settings.fleets / name
            place.mkdir(mode=0o700)
            (place / "pki").symlink_to(Path(kept.place) / "pki")
            replace(kept, name=name, place=str(place)).save()
            own = folder / name
            own.mkdir(parents=True)
            made = self._restore(mutant, own) if mutant.suite == "restore" else self._tenancy(mutant, name, own)
            clusters[name] = {"provider": "local", **OPTIONS[home], **made}
            nodes += [f"{self.nodes[check]}[{name}]" for check in mutant.checks]
        try:
            results, output, code = self._pytest(
                folder, {"clusters": clusters}, nodes, clock, ["--k8sha-keep", "always"]
            )
        finally:
            for name in names:
                shutil.rmtree(self.settings.fleets / name)
        seconds = clock.spent / len(mutants)
        return {
            names[name]: Outcome(seconds, [r for r in results if r["cluster"] == name], output, code) for name in names
        }

    def together(self, mutants: list[Mutant]) -> dict[str, Outcome]:
        """Mutants that share a broken cluster, judged by one run; each must be seen in it."""
        outcome = self.mutant(union(mutants))
        return {mutant.name: outcome for mutant in mutants}

    def fleets(self, mutants: list[Mutant]) -> dict[str, Outcome]:
        """Mutants of the fleet, judged by one run: a good cluster, a broken one, and the contexts that are wrong."""
        whole = union(mutants)
        clock = _clock.Deadline(TIMEOUT)
        folder = self.folder / f"fleet-{secrets.token_hex(3)}"
        folder.mkdir()
        good = ClusterState.load(self.settings.fleets / self._made("failover").result())
        west = f"west-{folder.name[-6:]}"
        options = {**OPTIONS["failover"], **whole.cluster}
        try:
            broken = self._keep(west, options)
            for manifest in whole.overlay:
                self._cluster(broken).resource(manifest["apiVersion"], manifest["kind"]).create(
                    manifest, manifest["metadata"].get("namespace", "")
                )
            with fleets.contexts(folder, self._cluster(good), Path(broken.kubeconfig), whole.contexts) as orders:
                nodes = [self.nodes[check] for check in whole.checks]
                results, output, code = self._pytest(folder, {"clusters": orders}, nodes, clock, [])
        finally:
            self.keeper.drop(west)
        seconds = clock.spent / len(mutants)
        # Each counts for its own checks alone: what another one of the fleet broke is no merit of it.
        return {
            mutant.name: Outcome(seconds, [r for r in results if r["check"] in mutant.checks], output, code)
            for mutant in mutants
        }

    def mutant(self, mutant: Mutant) -> Outcome:
        return self.run(mutant.suite, mutant, mutant.checks)

    def run(self, suite: str, mutant: Mutant, checks: list[str]) -> Outcome:
        """Runs pytest in a process of its own on the mutated set-up; ``checks`` empty means all."""
        clock = _clock.Deadline(TIMEOUT)
        unique = f"{mutant.name[:16].rstrip('-')}-{secrets.token_hex(3)}"
        folder = self.folder / unique
        folder.mkdir()
        # An own cluster is of another name, so that it is not taken for the kept one.
        own = bool(mutant.cluster or mutant.faults)
        name = f"own-{secrets.token_hex(3)}" if own else self._made(suite).result()
        for file, text in mutant.files.items():
            filled = manifests.fill(text, {"folder": str(folder), "refuser": self.refuser})
            (folder / file).write_text(filled)
        options = {**OPTIONS[suite], **manifests.fill(mutant.cluster, {"folder": str(folder)})}
        order: dict[str, Any] = {"provider": "local", **options}
        match suite:
            case "tenancy":
                order |= self._tenancy(mutant, unique, folder)
            case "restore":
                order |= self._restore(mutant, folder)
            case _:
                order |= self._workloads(mutant, folder)
        if suite == "tenancy" and mutant.cluster:
            order["apply"] = [str(FIXTURES / "policies")]
        nodes = [self.nodes[check] for check in checks or self.of_suite(suite)]
        if mutant.faults:
            self._broken(name, options, mutant)
        clusters = {name: order}
        if suite == "failover":
            clusters["second"] = {"provider": "local", **options}
        try:
            results, output, code = self._pytest(folder, {"clusters": clusters}, nodes, clock, mutant.options)
        finally:
            if mutant.faults:
                self.keeper.drop(name)
        return Outcome(clock.spent, results, output, code)

    def _pytest(
        self, folder: Path, fleet: dict[str, Any], nodes: list[str], clock: _clock.Deadline, more: list[str]
    ) -> tuple[list[dict[str, Any]], str, int]:
        """A run as a user starts it; returns its results, its output and its exit code."""
        (folder / "fleet.yaml").write_text(yaml.safe_dump(fleet))
        record = folder / "record.jsonl"
        argv = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "--no-header", "--tb=short"]
        # Checks judge and do not assert; to rewrite and to load what is not used took most of the time.
        argv += ["--assert=plain", "-p", "no:hypothesispytest"]
        argv += ["--k8sha-slo", SLO]
        argv += ["--k8sha-fleet", str(folder / "fleet.yaml"), "--k8sha-record", str(record), *more, *nodes]
        env = {**os.environ, "K8SHA_STATE": str(self.settings.state)}
        env |= {name.upper(): value for name, value in s3.KEYS.items()}
        env["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), env.get("PYTHONPATH")]))
        done = _process.run(argv, env=env, cwd=ROOT, timeout=clock.left, check=False)
        lines = chain.read(record).lines if record.exists() else []
        results = [line["data"] for line in lines if line["kind"] == "result"]
        return results, done.stdout + done.stderr, done.code

    def of_suite(self, suite: str) -> list[str]:
        return [check for check, node in self.nodes.items() if Path(node).parts[-2] == suite]

    @cached_property
    def nodes(self) -> dict[str, str]:
        """The node id of each check, read from the suites' text."""
        found = {}
        for path in sorted(SUITES.rglob("test_*.py")):
            for check, function in re.findall(
                r'@check\(\s*"([A-Z-]+\d+)".*?\ndef (test_\w+)', path.read_text(), re.DOTALL
            ):
                found[check] = f"{path}::{function}"
        return found

    def _tenancy(self, mutant: Mutant, unique: str, folder: Path) -> dict[str, Any]:
        """Two tenants: a good neighbour, and the tenant made from the mutated template."""
        tenant, neighbour = f"t-{unique}", f"n-{unique}"
        base = FIXTURES / "tenants" / mutant.base
        made = folder / "template"
        made.mkdir()
        (made / "tenant.yaml").write_text((base / "tenant.yaml").read_text())
        values = {"tenant": "${tenant}", "neighbour": neighbour}
        values |= {"webhook": self.webhook.url, "webhook-ca": self.webhook.ca}
        files = [p for p in sorted(base.glob("*.yaml")) if p.name != "tenant.yaml"]
        # A share of the API server for each of many tenants would leave nothing to the rest of the rig.
        fair = any(check.startswith("TEN-FLW") for check in mutant.checks)
        overlays = [str(FIXTURES / "tenants" / "fairness")] if fair else []
        objects = manifests.load([*files, *map(Path, overlays)], values)
        changed = [manifests.fill(o, values) for o in mutant.changed(objects)]
        (made / "objects.yaml").write_text(yaml.safe_dump_all(changed))
        return {
            "tenants": [
                {"name": neighbour, "template": str(FIXTURES / "tenants" / "good"), "overlays": overlays},
                {"name": tenant, "template": str(made)},
            ]
        }

    def _restore(self, mutant: Mutant, folder: Path) -> dict[str, Any]:
        """The restore plan of the good set-up with the mutant's parts, and its backups, damaged."""
        backups = folder / "backups"
        backups.mkdir()
        text = json.dumps(mutant.plan)
        if "snapshot.db" in text:
            old = self.backups / "snapshot.db"
            shutil.copy(old, backups)
            eventually(lambda: _clock.epoch() - old.stat().st_mtime > OLD, what="the snapshot is old", timeout=3 * OLD)
        if "/manifests" in text:
            shutil.copytree(self.backups / "manifests", backups / "manifests")
        if "/store" in text or mutant.name == "good":
            _store(backups / "store")
        shutil.copy(FIXTURES / "restore" / "bia.yaml", backups)
        with chain.Record(backups / "record.jsonl", "an-earlier-run") as record:
            measures = {"RTO": {"value": 42.0, "unit": "s", "lo": 41.5, "hi": 42.0}}
            record.append("result", {"check": "RST-ETC-008", "cluster": "east", "measures": measures})
        for damage in mutant.spoil:
            damage.apply(backups)
        given = GOOD_PLAN if mutant.name == "good" else mutant.plan
        s3 = self.s3 if "${s3}" in json.dumps(given) else ""
        plan = manifests.fill(given, {"folder": str(backups), "s3": s3})
        (folder / "restore.yaml").write_text(yaml.safe_dump(plan))
        return {"restore": str(folder / "restore.yaml")}

    @cached_property
    def s3(self) -> str:
        """The URL of an S3 service with the buckets ``good`` and ``bare``."""
        return self._stack.enter_context(s3.service())

    @cached_property
    def backups(self) -> Path:
        """A folder with a snapshot and a manifest backup of the cluster that the restore suite is judged on, which
        holds an example since then."""
        target = self.folder / "backups"
        target.mkdir(mode=0o700)
        cluster = self._cluster(ClusterState.load(self.settings.fleets / self._made("restore").result()))
        cluster.apply(manifests.load([FIXTURES / "restore" / "vault.yaml"]))
        snapshot.take(cluster.storage, target / "snapshot.db")
        backup.make(cluster, target / "manifests")
        return target

    def _workloads(self, mutant: Mutant, folder: Path) -> dict[str, Any]:
        """The workloads of the base, mutated; none for a mutant that is a cluster's own option."""
        base = FIXTURES / "workloads" / f"{mutant.base}.yaml"
        objects = mutant.changed(manifests.load([base]) if base.exists() else [])
        (folder / "objects.yaml").write_text(yaml.safe_dump_all(manifests.in_order(objects)))
        return {"apply": [str(folder / "objects.yaml")]} if objects else {}

    def close(self) -> None:
        for pool in [*self._pools.values(), self._makers, self._own]:
            pool.shutdown(wait=True, cancel_futures=True)
        if "webhook" in vars(self):
            self.webhook.close()
        self._stack.close()
        for server in self._servers:
            server.shutdown()
            server.server_close()
        for name in self.keeper.kept():
            self.keeper.drop(name)
        self._run.close(clean=True)


def _store(folder: Path) -> None:
    """A backup a day for a month."""
    folder.mkdir()
    for day in range(32):
        file = folder / f"day-{day:02}.tar"
        file.write_bytes(b"x" * (2000 - day))
        moment = _clock.epoch() - 60 - day * 86400
        os.utime(file, (moment, moment))


def moved(manifest: Manifest, space: str) -> Manifest:
    """An object of the example's namespace, or that namespace, in or as another one."""
    meta = dict(manifest["metadata"])
    if manifest["kind"] == "Namespace":
        meta["name"] = space
    elif meta.get("namespace") == SHOP:
        meta["namespace"] = space
    return {**manifest, "metadata": meta}


@pytest.fixture(scope="session")
def rig(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Any:
    made = Rig(tmp_path_factory.mktemp("rig"))
    request.config.stash[MATRIX] = made.matrix
    yield made
    made.close()


MATRIX = pytest.StashKey[Matrix]()


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Prints the detection matrix, and writes it where the environment asks for it."""
    matrix = config.stash.get(MATRIX, None)
    if matrix is None or not matrix.rows:
        return
    terminalreporter.section("detection matrix")
    for line in matrix.lines():
        terminalreporter.write_line(line)
    matrix.write()
