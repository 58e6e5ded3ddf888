"""What a server offers: every kind with its verbs and subresources, read from the server and never from a table."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pytest_k8sha.errors import ApiError, NotEvaluated

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pytest_k8sha.kube.client import Client

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"


@dataclass(frozen=True)
class Kind:
    """One kind in one version. ``subresources`` maps a name such as ``status`` to its verbs."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str]
    subresources: dict[str, frozenset[str]] = field(default_factory=dict, compare=False)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def qualified(self) -> str:
        """``deployments.apps``; for the core group just the plural."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path of the collection, of one object, or of its subresource."""
        base = f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"
        middle = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return (
            f"{base}{middle}/{self.plural}" + (f"/{name}" if name else "") + (f"/{subresource}" if subresource else "")
        )


class Discovery:
    """Reads discovery once, when first asked: two requests where the server aggregates it, else one a group version."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.unavailable: dict[str, str] = {}
        """Group versions that the server lists and could not describe, with its reason."""

    def forget(self) -> None:
        """The next look asks the server again: after a CustomResourceDefinition was applied."""
        for name in ("kinds", "preferred", "_index"):
            self.__dict__.pop(name, None)

    @cached_property
    def kinds(self) -> list[Kind]:
        """Every kind in every version, the server's preferred version of a group first."""
        found: list[Kind] = []
        for root in ("/api", "/apis"):
            answer = self._client.request("GET", root, headers={"Accept": AGGREGATED})
            if answer.get("kind") == "APIGroupDiscoveryList":
                found += self._aggregated(answer)
            else:
                found += self._legacy(root, answer)
        return found

    @cached_property
    def preferred(self) -> list[Kind]:
        """Each resource once, in the version that the server prefers."""
        seen: dict[tuple[str, str], Kind] = {}
        for kind in self.kinds:
            seen.setdefault((kind.group, kind.plural), kind)
        return list(seen.values())

    @cached_property
    def _index(self) -> dict[tuple[str, str], Kind]:
        return {(kind.api_version, kind.kind): kind for kind in reversed(self.kinds) if "/" not in kind.plural}

    def find(self, api_version: str, kind: str) -> Kind:
        """Raises `NotEvaluated` when the server does not offer the kind."""
        try:
            return self._index[api_version, kind]
        except KeyError:
            near = [k.kind for k in self.kinds if k.api_version == api_version]
            raise NotEvaluated(
                f"the cluster does not offer {api_version} {kind}", value=kind, allowed=near or None
            ) from None

    def by_plural(self, group: str, plural: str) -> Kind | None:
        """The preferred version of a resource, or None."""
        return next((k for k in self.preferred if k.group == group and k.plural == plural), None)

    @property
    def groups(self) -> set[str]:
        return {kind.group for kind in self.kinds}

    def _aggregated(self, answer: dict[str, Any]) -> Iterable[Kind]:
        for group in answer.get("items", []):
            name = group.get("metadata", {}).get("name", "")
            for version in group.get("versions", []):
                if version.get("freshness") == "Stale":
                    self.unavailable[f"{name}/{version['version']}"] = "the server calls its description stale"
                for res in version.get("resources", []):
                    yield Kind(
                        group=name,
                        version=version["version"],
                        kind=res["responseKind"]["kind"] if res.get("responseKind") else "",
                        plural=res["resource"],
                        namespaced=res.get("scope") == "Namespaced",
                        verbs=frozenset(res.get("verbs", [])),
                        subresources={
                            sub["subresource"]: frozenset(sub.get("verbs", [])) for sub in res.get("subresources", [])
                        },
                    )

    def _legacy(self, root: str, answer: dict[str, Any]) -> Iterable[Kind]:
        if root == "/api":
            versions = [("", v) for v in answer.get("versions", [])]
        else:
            versions = []
            for group in answer.get("groups", []):
                first = group.get("preferredVersion", {}).get("version")
                names = sorted((v["version"] for v in group.get("versions", [])), key=lambda v: v != first)
                versions += [(group["name"], name) for name in names]
        for group_name, version in versions:
            path = f"{root}/{group_name}/{version}" if group_name else f"{root}/{version}"
            try:
                listed = self._client.get(path).get("resources", [])
            except ApiError as error:
                self.unavailable[path] = error.message
                continue
            subs: dict[str, dict[str, frozenset[str]]] = {}
            for res in listed:
                parent, _, sub = res["name"].partition("/")
                if sub:
                    subs.setdefault(parent, {})[sub] = frozenset(res.get("verbs", []))
            for res in listed:
                if "/" not in res["name"]:
                    yield Kind(
                        group_name,
                        version,
                        res["kind"],
                        res["name"],
                        bool(res.get("namespaced")),
                        frozenset(res.get("verbs", [])),
                        subs.get(res["name"], {}),
                    )
