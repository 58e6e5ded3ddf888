"""Tenancy models: which there are, what they promise, and every mistake of an order or a mapping file, told at once."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from pytest_k8sha.checks.catalogue import Catalogue
from pytest_k8sha.errors import FileProblems, UsageError
from pytest_k8sha.fleet.spec import NoKeys, TenantOrder, from_file, from_options
from pytest_k8sha.providers.registry import Registry
from pytest_k8sha.settings import bundled
from pytest_k8sha.tenancy import mapping
from pytest_k8sha.tenancy.models.base import PROMISES, check_promises
from pytest_k8sha.tenancy.models.namespace import NamespaceModel
from pytest_k8sha.tenancy.models.registry import Models

REGISTRY, MODELS = Registry(), Models()

GOOD = """\
tenants:
- name: acme
  namespaces: [acme-prod, acme-dev]
  personas:
    admin: {user: alice, groups: [acme-admins]}
    developer: {kubeconfig: dev.yaml, context: dev}
    workload: {serviceAccount: app}
  expects: {podSecurity: restricted}
- name: globex
  namespaces: [globex]
  promises: [quota, network]
  personas:
    viewer: {user: bob}
"""

KUBECONFIG = """\
apiVersion: v1
kind: Config
current-context: dev
clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
contexts: [{name: dev, context: {cluster: c, user: u}}]
users: [{name: u, user: {token: nothing}}]
"""


def problems_of(path: Path) -> list[tuple[int, str, str]]:
    with pytest.raises(FileProblems) as caught:
        mapping.read(path)
    return sorted((problem.line, problem.field, problem.message) for problem in caught.value.problems)


@pytest.fixture
def mapped(tmp_path: Path) -> Path:
    path = tmp_path / "tenants.yaml"
    path.write_text(GOOD)
    (tmp_path / "dev.yaml").write_text(KUBECONFIG)
    return path


def test_a_mapping_names_several_tenants(mapped: Path) -> None:
    """One order stands for every tenant of the file, with its promises, and a name picks one."""
    acme, globex = MODELS.prepare([TenantOrder.model_validate({"model": "existing", "mapping": str(mapped)})])
    assert (acme.name, acme.namespaces, acme.model) == ("acme", ["acme-prod", "acme-dev"], "existing")
    assert acme.personas["developer"].kubeconfig == mapped.parent / "dev.yaml"
    assert set(acme.promises) == set(PROMISES) - {"lifecycle", "object"}
    assert globex.promises == ["network", "quota"]
    order = {"model": "existing", "mapping": str(mapped), "name": "globex"}
    assert [o.name for o in MODELS.prepare([TenantOrder.model_validate(order)])] == ["globex"]
    again = TenantOrder.model_validate(acme.model_dump(mode="json"))
    assert MODELS.prepare([again]) == [again]


def test_every_mistake_of_a_mapping_has_its_line(mapped: Path) -> None:
    """Names that are no labels, personas that nobody can act as, unknown promises, unknown keys."""
    mapped.write_text(
        "tenants:\n"
        "- name: Acme_Corp\n"  # 2
        "  namespaces: [Acme]\n"  # 3
        "  personas:\n"
        "    admin: {}\n"  # 5
        "    viewer: {user: bob, serviceAccount: app}\n"  # 6
        "  promisses: []\n"  # 7
        "  promises: [speed]\n"  # 8
    )
    found = problems_of(mapped)
    assert [(line, field) for line, field, _ in found] == [
        (2, "tenants.0.name"),
        (3, "tenants.0.namespaces"),
        (5, "tenants.0.personas.admin"),
        (6, "tenants.0.personas.viewer"),
        (7, "tenants.0.promisses"),
        (8, "tenants.0.promises"),
    ]
    told = {line: message for line, _, message in found}
    assert told[2] == "'Acme_Corp': a lower-case DNS label of at most 32 characters is expected"
    assert "there is no way to act as this persona" in told[5]
    assert "user and serviceAccount are given" in told[6]
    assert "quota, limits, network" in told[8]


def test_what_two_tenants_share_is_told(mapped: Path) -> None:
    """Tenants in one namespace are not apart; a kubeconfig that is not there, or lacks the context, has its line."""
    text = GOOD.replace("[globex]", "[acme-dev]").replace("name: globex", "name: acme").replace("dev.yaml", "gone.yaml")
    mapped.write_text(text)
    told = problems_of(mapped)
    assert [(line, field) for line, field, _ in told if field] == [(9, "tenants.1.name"), (10, "tenants.1.namespaces")]
    assert any("cannot be read" in message for _, _, message in told)
    mapped.write_text(GOOD.replace("context: dev", "context: test"))
    ((line, field, message),) = problems_of(mapped)
    assert (line, field) == (6, "tenants.0.personas.developer.context")
    assert "unknown kubeconfig context: 'test'" in message


@pytest.mark.parametrize("text", ["", "[]", "tenants", "tenants:", "tenants: {}", "tenants: [acme]", "a: [", "- \t"])
def test_a_mapping_of_another_form(tmp_path: Path, text: str) -> None:
    """Whatever else the file holds, the answer names the file and at least one problem."""
    path = tmp_path / "tenants.yaml"
    path.write_text(text)
    assert problems_of(path)


@given(text=st.text(alphabet="tenamspc: {}[]\n-'\"&*!|>#%\té\0", max_size=60))
def test_no_text_leads_to_anything_but_problems(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    """No text makes the reader fail with anything but `FileProblems`."""
    path = tmp_path_factory.mktemp("mapping") / "tenants.yaml"
    path.write_text(text)
    with contextlib.suppress(FileProblems):
        mapping.read(path)


def test_a_model_that_does_not_exist(tmp_path: Path) -> None:
    """The allowed names are said, with the line in the file; so is a key that the model does not read."""
    path = tmp_path / "fleet.yaml"
    path.write_text(
        "clusters:\n"
        "  east:\n"
        "    tenants:\n"
        "    - {name: acme, model: namspace}\n"  # 4
        "    - {name: globex, mapping: tenants.yaml}\n"  # 5: of another model
        "    - {model: existing, mapping: gone.yaml}\n"  # 6
    )
    with pytest.raises(FileProblems) as caught:
        from_file(path, REGISTRY, MODELS)
    found = {(p.line, p.field): p.message for p in caught.value.problems}
    model = found[4, "clusters.east.tenants.0.model"]
    assert "did you mean 'namespace'?" in model
    assert all(name in model for name in MODELS.names)
    assert "unknown key 'mapping'" in found[5, "clusters.east.tenants.1.mapping"]
    assert "does not exist" in found[6, "clusters.east.tenants.2.mapping"]


def test_models_are_named_on_the_command_line(mapped: Path) -> None:
    """``tenants=MODEL[:ARGUMENT]``: two tenants of the model's own template, or those of a mapping."""
    two = from_options(["east=local,tenants=namespace"], REGISTRY, MODELS).clusters["east"].tenants
    assert [(o.model, o.template) for o in two] == [("namespace", bundled("fixtures", "tenants", "good"))] * 2
    assert len({o.name for o in MODELS.prepare(two)}) == 2
    (one,) = from_options([f"prod=context:x,tenants=existing:{mapped}"], REGISTRY, MODELS).clusters["prod"].tenants
    assert [o.name for o in MODELS.prepare([one])] == ["acme", "globex"]
    for text, said in (("namspace", "did you mean 'namespace'"), ("existing", "needs its mapping")):
        with pytest.raises(UsageError, match=said):
            from_options([f"east=local,tenants={text}"], REGISTRY, MODELS)


@pytest.mark.parametrize(
    ("order", "said"),
    [
        ({"model": "existing"}, "needs a mapping"),
        ({"model": "existing", "name": "a", "template": "."}, "has no template"),
        ({"model": "namespace", "name": "a"}, "needs personas"),
        ({"model": "namespace", "personas": {"viewer": {"user": "u"}}}, "needs its name"),
        ({"name": "a", "personas": {"viewer": {"user": "u"}}, "promises": ["speed"]}, "makes no such promise: 'speed'"),
        ({"name": "a", "personas": {"viewer": {"user": "u"}}, "promises": ["lifecycle"]}, "makes no such promise"),
    ],
)
def test_an_order_that_cannot_be_meant(order: dict[str, Any], said: str) -> None:
    """Each is refused before any cluster is touched, with its value and what is allowed."""
    with pytest.raises(UsageError, match=said):
        MODELS.prepare([TenantOrder.model_validate(order)])


def test_two_tenants_share_nothing() -> None:
    """Neither a name nor a namespace."""
    one = {"personas": {"viewer": {"user": "u"}}}
    orders = [TenantOrder.model_validate({**one, "name": name, "namespaces": ["shared"]}) for name in ("a", "b")]
    with pytest.raises(UsageError, match=r"two tenants share a namespace.*'shared'"):
        MODELS.prepare(orders)
    with pytest.raises(UsageError, match="two tenants have one name: 'a'"):
        MODELS.prepare([orders[0], orders[0]])


class Other(NamespaceModel):
    """A model as a plugin adds it."""

    name = "other"
    options: type[BaseModel] = NoKeys


def test_plugins_add_models() -> None:
    """A further model is found by its name; one that takes a known name, or promises unknown words, is refused."""
    assert Models([Other()]).names == sorted([*MODELS.names, "other"])
    with pytest.raises(UsageError, match="two tenancy models have one name: 'namespace'"):
        Models([NamespaceModel()])
    boastful = Other()
    boastful.promises = frozenset({"speed"})  # type: ignore[misc]
    with pytest.raises(UsageError, match="promises what no check asks for: 'speed'"):
        Models([boastful])


def test_every_promise_is_asked_for() -> None:
    """Each word is asked for by a check of the suites, and each word that a check asks for is known."""
    checks = Catalogue.of([bundled("suites", "tenancy")]).checks.values()
    asked = {word for check in checks for word in check.promises}
    check_promises(asked)
    assert asked >= set(PROMISES) - {"object"}
    with pytest.raises(UsageError, match="unknown promise"):
        check_promises(["speed"])
