"""The reference controller of Tenants, and controllers that are broken in one way each, all in one process.

Each looks after the Tenants of its class: those without the label the good one, the others one broken one each.
"""

from __future__ import annotations

import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

from fixtures.examples.tenant_controller import CLASS, RBAC, Controller, connect
from pytest_k8sha import _clock

Object = dict[str, Any]


class IgnoresIsolation(Controller):
    def policies(self, *_: Any) -> list[Object]:
        return []


class ReadyWithoutQuota(Controller):
    def quotas(self, *_: Any) -> list[Object]:
        return []


class UsageLies(Controller):
    def usage(self, tenant: Object) -> dict[str, dict[str, str]]:
        return {key: {**figures, "used": "0"} for key, figures in super().usage(tenant).items()}


class IgnoresDeletion(Controller):
    def end(self, tenant: Object) -> None:
        pass


class MixesTenants(Controller):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.users: dict[str, dict[str, Object]] = {}

    def subjects(self, tenant: Object, role: str) -> list[Object]:
        known = self.users.setdefault(role, {})
        known.update({one["name"]: one for one in super().subjects(tenant, role)})
        return list(known.values())


class BindsFirst(Controller):
    def apply(self, obj: Object, space: str) -> None:
        if obj["kind"] == "ServiceAccount" and obj["metadata"]["name"] == "workload":
            # The first object of a namespace: whatever else belongs there comes a second after the bindings.
            tenant = next(t for t in self.tenants.list(labels=self.selector) if space in t["spec"]["namespaces"])
            for binding in self.objects(tenant, space):
                if binding["kind"] == "RoleBinding":
                    super().apply(binding, space)
            _clock.pause(1.0)
        super().apply(obj, space)


class ForgetsBindings(Controller):
    def done(self, tenant: Object) -> None:
        name = f"{tenant['metadata']['name']}-viewers"
        binding = {
            "apiVersion": f"{RBAC}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": "view"},
            "subjects": self.subjects(tenant, "viewer"),
        }
        self.apply(binding, "")
        super().done(tenant)


BROKEN = {
    "ignores-isolation": IgnoresIsolation,
    "ready-without-quota": ReadyWithoutQuota,
    "usage-lies": UsageLies,
    "ignores-deletion": IgnoresDeletion,
    "mixes-tenants": MixesTenants,
    "binds-first": BindsFirst,
    "forgets-bindings": ForgetsBindings,
}


def main() -> None:
    with tempfile.TemporaryDirectory() as private:
        client = connect(sys.argv[1], Path(private))
        controllers = [Controller(client), *(made(client, f"{CLASS}={name}") for name, made in BROKEN.items())]
        threads = [threading.Thread(target=controller.run, daemon=True) for controller in controllers]
        for thread in threads:
            thread.start()
        sys.stdout.write("started\n")
        sys.stdout.flush()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
