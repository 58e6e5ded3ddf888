"""The state of one pytest process that uses clusters: made on first need, kept in the config's stash."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_k8sha.errors import FileProblem, FileProblems, Inconclusive, K8shaError, UsageError
from pytest_k8sha.fleet.run import RunFolder
from pytest_k8sha.fleet.spec import FleetSpec, from_file, from_options
from pytest_k8sha.plugin.options import Options
from pytest_k8sha.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_k8sha.fleet.cluster import Cluster
    from pytest_k8sha.fleet.fleet import Fleet
    from pytest_k8sha.plugin.provision import Readiness
    from pytest_k8sha.plugin.terminal import Progress
    from pytest_k8sha.providers.registry import Registry
    from pytest_k8sha.record.redact import Redactor
    from pytest_k8sha.recovery.plan import Plan
    from pytest_k8sha.tenancy.models.registry import Models
    from pytest_k8sha.tenancy.tenant import Tenant

KEY = pytest.StashKey["Session"]()


def of(config: pytest.Config) -> Session | None:
    """The session of a process in which the plugin is in use."""
    return config.stash.get(KEY, None)


def activate(config: pytest.Config) -> Session:
    """Makes the session and registers the hooks that it needs, once. Touches no cluster.

    Raises ``pytest.UsageError`` with every mistake in options, fleet file, templates and manifests.
    """
    found = of(config)
    if found is not None:
        return found
    from pytest_k8sha.plugin import live

    try:
        session = Session(config)
        session.validate()
    except K8shaError as error:
        raise pytest.UsageError(str(error)) from error
    config.stash[KEY] = session
    live.register(session)
    return session


class Session:
    """Options, the run's folder, the fleet. Everything is made when first used.

    ``role`` is ``worker`` or ``controller`` under xdist, else ``main``; a worker makes no cluster and writes no record.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.options = Options.of(config)
        self.dry = bool(config.option.collectonly or getattr(config.option, "setupplan", False))
        self.leftovers: list[dict[str, str]] = []
        self.notes: list[str] = []
        """What the record says at its end besides."""
        self.begun = False
        """Whether this process made the run's folder or joined it."""
        self._secrets: set[str] = set()
        self.provided = False
        self.staying = False
        """Whether the clusters that --k8sha-keep made stay."""
        self.kept: list[str] = []
        """Clusters that --k8sha-keep made, and that may have to go at the end."""

    @property
    def role(self) -> str:
        if hasattr(self.config, "workerinput"):
            return "worker"
        return "controller" if self.config.pluginmanager.hasplugin("dsession") else "main"

    @cached_property
    def settings(self) -> Settings:
        return Settings.from_environment()

    @cached_property
    def registry(self) -> Registry:
        from pytest_k8sha.providers.registry import Registry

        answers = self.config.hook.pytest_k8sha_providers(config=self.config)
        return Registry([provider for answer in answers for provider in answer])

    @cached_property
    def models(self) -> Models:
        from pytest_k8sha.tenancy.models.registry import Models

        answers = self.config.hook.pytest_k8sha_tenancy_models(config=self.config)
        return Models([model for answer in answers for model in answer])

    @cached_property
    def spec(self) -> FleetSpec:
        if self.options.fleet:
            return from_file(self.options.fleet, self.registry, self.models)
        return from_options(self.options.clusters, self.registry, self.models)

    @property
    def names(self) -> list[str]:
        """The names of the clusters, in the order in which they were given."""
        return list(self.spec.clusters)

    def validate(self) -> None:
        """Reads everything that the user gave. Raises `UsageError`, with all mistakes of all files at once."""
        from pytest_k8sha.kube import kubeconfig, manifests
        from pytest_k8sha.record import chain
        from pytest_k8sha.recovery import bia, plan

        mistakes: list[FileProblem] = []
        for name, order in self.spec.clusters.items():
            try:
                manifests.load(order.apply)
            except FileProblems as error:
                mistakes += error.problems
            try:
                self.models.prepare(order.tenants)
            except FileProblems as error:
                mistakes += error.problems
            except UsageError as error:
                raise UsageError(f"cluster {name}: {error}") from error
            named = order.restore or self.options.restore
            if named:
                try:
                    impact = plan.load(named).bia
                    if impact:
                        bia.load(impact)
                except FileProblems as error:
                    mistakes += error.problems
            if order.provider == "context":
                # The provider finds it out as well, but by then other clusters would be on their way.
                options: Any = order.provider_options(self.registry)
                kubeconfig.load(options.kubeconfig, order.argument)
        try:
            _ = self.options.prices
        except FileProblems as error:
            mistakes += error.problems
        if mistakes:
            raise FileProblems(dict.fromkeys(mistakes))
        for path in self.options.compare:
            chain.files(path)
        out, record = self.options.out, self.options.record
        if out and out.exists() and not out.is_dir():
            raise UsageError("--k8sha-out is not a folder", value=str(out))
        if record and record.exists() and self.role != "worker":
            found = chain.read(record)
            if found.problems:
                raise UsageError(
                    f"the record cannot be continued: {found.problems[0]}",
                    value=str(record),
                    remedy="write to a new file; reports are made from both together",
                )

    @cached_property
    def progress(self) -> Progress:
        from pytest_k8sha.plugin.terminal import Progress

        return Progress(self.config)

    @cached_property
    def folder(self) -> RunFolder:
        """The run's folder. A worker joins that of its controller, which has made the fleet by then."""
        if self.role == "worker":
            from pytest_k8sha.plugin.xdist import run_folder

            found = RunFolder.join(run_folder(self.config), self.config.workerinput["workerid"])  # type: ignore[attr-defined]
        else:
            found = RunFolder.create(self.settings)
        self.begun = True
        return found

    @cached_property
    def fleet(self) -> Fleet:
        """The fleet of the run, made now if it is not there yet. A cluster that could not be made is in ``broken``."""
        from pytest_k8sha.plugin import provision

        return provision.fleet(self)

    @cached_property
    def _ready(self) -> dict[str, Readiness]:
        return {}

    @cached_property
    def _redactor(self) -> Redactor:
        from pytest_k8sha.record.redact import Redactor

        return Redactor()

    def redact(self, value: Any) -> Any:
        """JSON data or a text without the secrets that this process handed out, or that look like credentials.

        Done where a result is made: a worker's secrets are known to that worker alone.
        """
        if self.begun:
            for secret in tuple(self.folder.run.secrets):
                if secret not in self._secrets:
                    self._secrets.add(secret)
                    self._redactor.add(secret)
        return self._redactor.redact(value)

    def readiness(self, name: str) -> Readiness:
        """What the set-up of a cluster led to. Raises `Inconclusive` when there is no such cluster any more."""
        from pytest_k8sha.plugin.provision import Readiness

        cluster = self.fleet[name]
        if name not in self._ready:
            self._ready[name] = Readiness.load(self.folder, name)
            self._ready[name].share(cluster)
        return self._ready[name]

    def cluster(self, name: str) -> Cluster:
        """A cluster that is there and set up. Raises `Inconclusive` with the reason when it is not."""
        cluster = self.fleet[name]
        problem = self.dead(name) or self.readiness(name).problem
        if problem:
            raise Inconclusive(problem)
        return cluster

    def restore_plan(self, cluster: Cluster) -> Plan:
        """The restore plan of a cluster: the fleet file's, else that of the option, else one that says nothing."""
        from pytest_k8sha.recovery.plan import Plan, load

        path = self.fleet.orders[cluster.name].restore or self.options.restore
        return load(Path(path)) if path else Plan()

    def tenants(self, cluster: Cluster) -> list[Tenant]:
        from pytest_k8sha.plugin import provision

        return provision.tenants(self, cluster)

    def unpromised(self, name: str, words: Iterable[str]) -> list[str]:
        """What the models of the cluster's tenants do not promise, in words; nothing where tenants are made anew."""
        orders = self.readiness(name).tenants or [self._ordinary]
        return [
            f"tenant {order['name']} is not promised {word} (model {order['model']})"
            for word in words
            for order in orders
            if word not in order["promises"]
        ]

    @cached_property
    def _ordinary(self) -> dict[str, Any]:
        """A tenant as those that are made where none is declared."""
        return self.models.ordinary("made-anew").model_dump(mode="json")

    def dead(self, name: str) -> str:
        """Why a cluster that was there is known to be gone; empty while nothing is known. Shared by all workers."""
        path = self._obituary(name)
        return path.read_text() if path.exists() else ""

    def suspect(self, name: str) -> None:
        """After trouble on a cluster: is it still there? If not, no further test waits for its time-outs."""
        try:
            cluster = self.fleet[name]
        except K8shaError:
            return
        path = self._obituary(name)
        if not path.exists() and not cluster.provider.alive(cluster.state):
            path.write_text(f"cluster {name} ended while the tests ran; its provider finds it gone")

    def _obituary(self, name: str) -> Path:
        return self.folder.path / f"dead-{name}"

    def leave(self, what: str, cluster: str, problem: object, remedy: str = "k8sha recover") -> None:
        """Notes something that could not be removed. It never changes a verdict; the record and the summary say it."""
        self.leftovers.append({"what": what, "cluster": cluster, "problem": str(problem), "remedy": remedy})

    def save(self, name: str, data: Mapping[str, Any]) -> None:
        """Leaves data for the other processes of the run, in one step."""
        part = self.folder.path / f"{name}.part"
        part.write_text(json.dumps(data))
        part.replace(self.folder.path / name)
