"""The evaluator against an independent definition: sets over every peer and port of a small world, from raw YAML."""

from __future__ import annotations

from itertools import product
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pytest_k8sha.tenancy.network.evaluate import evaluate
from pytest_k8sha.tenancy.network.places import Address, NamedPort, Namespace, Pod
from pytest_k8sha.tenancy.network.policy import of
from tests.unit.network_worlds import written

KEYS, VALUES = ["k", "l"], ["v", "w"]
WIRE = [(protocol, number) for protocol in ("TCP", "UDP") for number in (1, 2, 3)]
NODES = ["n1", "n2"]

labels = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES))
expression = st.one_of(
    st.fixed_dictionaries(
        {
            "key": st.sampled_from(KEYS),
            "operator": st.sampled_from(["In", "NotIn"]),
            "values": st.lists(st.sampled_from(VALUES), min_size=1, max_size=2, unique=True),
        }
    ),
    st.fixed_dictionaries({"key": st.sampled_from(KEYS), "operator": st.sampled_from(["Exists", "DoesNotExist"])}),
)
selector = st.fixed_dictionaries(
    {}, optional={"matchLabels": labels, "matchExpressions": st.lists(expression, max_size=2)}
)
block = st.sampled_from(
    [
        {"cidr": "0.0.0.0/0"},
        {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]},
        {"cidr": "10.0.1.0/24", "except": ["10.0.1.2/31"]},
        {"cidr": "10.0.0.0/16"},
        {"cidr": "198.51.100.0/24"},
        {"cidr": "192.168.0.1/32"},
    ]
)
peer = st.one_of(
    st.fixed_dictionaries({"podSelector": selector}),
    st.fixed_dictionaries({"namespaceSelector": selector}),
    st.fixed_dictionaries({"podSelector": selector, "namespaceSelector": selector}),
    st.fixed_dictionaries({"ipBlock": block}),
)
port = st.one_of(
    st.fixed_dictionaries(
        {}, optional={"protocol": st.sampled_from(["TCP", "UDP"]), "port": st.sampled_from([1, 2, 3, "a", "b"])}
    ),
    st.fixed_dictionaries({"port": st.just(1), "endPort": st.sampled_from([1, 2, 3])}),
)


def rules(side: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    rule = st.fixed_dictionaries({}, optional={side: st.lists(peer, max_size=2), "ports": st.lists(port, max_size=2)})
    return st.lists(rule, max_size=2)


spec = st.fixed_dictionaries(
    {"podSelector": selector},
    optional={
        "ingress": rules("from"),
        "egress": rules("to"),
        "policyTypes": st.sampled_from([["Ingress"], ["Egress"], ["Ingress", "Egress"]]),
    },
)
policies = st.lists(st.tuples(st.sampled_from(["one", "two"]), spec), max_size=4)


@st.composite
def places(draw: st.DrawFn) -> list[Pod | Address]:
    spaces = [Namespace("one", draw(labels)), Namespace("two", draw(labels))]
    ports = st.sampled_from(
        [(), (NamedPort("a", 1),), (NamedPort("a", 2), NamedPort("b", 3, "UDP")), (NamedPort("b", 1),)]
    )
    found: list[Pod | Address] = []
    for number, (space, _) in enumerate(product(spaces, range(2))):
        node = draw(st.sampled_from(NODES))
        found.append(Pod(f"p{number}", space, f"10.0.1.{number}", draw(labels), node, ports=draw(ports)))
    host = draw(st.sampled_from(NODES))
    found.append(Pod("host", spaces[0], "192.168.0.1", draw(labels), host, host_network=True))
    return [*found, Address("198.51.100.7"), Address("192.168.0.2", "node", "n2")]


# --- the definition: what each policy adds is a set, and the answer is membership ---


def matching(wanted: dict[str, Any], things: dict[str, dict[str, str]]) -> set[str]:
    """The names of the things that a selector picks, by intersecting one set for each requirement."""
    result = set(things)
    for key, value in wanted.get("matchLabels", {}).items():
        result &= {name for name, own in things.items() if (key, value) in own.items()}
    for entry in wanted.get("matchExpressions", []):
        having = {name for name, own in things.items() if entry["key"] in own}
        hit = {name for name in having if things[name][entry["key"]] in entry.get("values", [])}
        result &= {"In": hit, "NotIn": set(things) - hit, "Exists": having, "DoesNotExist": set(things) - having}[
            entry["operator"]
        ]
    return result


def number_of(ip: str) -> int:
    return int("".join(f"{int(part):08b}" for part in ip.split(".")), 2)


def within(ip: str, cidr: str) -> bool:
    base, bits = cidr.split("/")
    shift = 32 - int(bits)
    return number_of(ip) >> shift == number_of(base) >> shift


class World:
    def __init__(self, everybody: list[Pod | Address]) -> None:
        self.all = {str(place): place for place in everybody}
        self.pods = {n: p for n, p in self.all.items() if isinstance(p, Pod) and not p.host_network}
        self.labels = {name: dict(pod.labels) for name, pod in self.pods.items()}
        self.spaces = {pod.namespace.name: dict(pod.namespace.labels) for pod in self.pods.values()}

    def chosen(self, one: dict[str, Any], home: str) -> set[str]:
        if "ipBlock" in one:
            inside = {n for n, p in self.all.items() if within(p.ip, one["ipBlock"]["cidr"])}
            return inside - {
                n for n, p in self.all.items() for cut in one["ipBlock"].get("except", []) if within(p.ip, cut)
            }
        spaces = matching(one["namespaceSelector"], self.spaces) if "namespaceSelector" in one else {home}
        near = {name for name, pod in self.pods.items() if pod.namespace.name in spaces}
        return near & matching(one.get("podSelector", {}), self.labels)

    def wires(self, entries: list[dict[str, Any]], dst: str) -> set[tuple[str, int]]:
        if not entries:
            return set(WIRE)
        place, found = self.all[dst], set()
        for entry in entries:
            protocol, wanted = entry.get("protocol", "TCP"), entry.get("port")
            if wanted is None:
                numbers = {1, 2, 3}
            elif isinstance(wanted, str):
                own = place.ports if isinstance(place, Pod) else ()
                numbers = {p.number for p in own if (p.name, p.protocol) == (wanted, protocol)}
            else:
                numbers = set(range(wanted, entry.get("endPort", wanted) + 1))
            found |= {(protocol, number) for number in numbers}
        return found

    def flows(self, written: list[tuple[str, dict[str, Any]]], direction: str) -> set[tuple[str, str, str, int]]:
        """Everything that one direction lets through, as (source, destination, protocol, port)."""
        side = {"Ingress": "from", "Egress": "to"}[direction]
        isolated: set[str] = set()
        let: set[tuple[str, str, str, int]] = set()
        for home, one in written:
            types = one.get("policyTypes") or (["Ingress", "Egress"] if one.get("egress") else ["Ingress"])
            if direction not in types:
                continue
            mine = {n for n in matching(one["podSelector"], self.labels) if self.pods[n].namespace.name == home}
            isolated |= mine
            for rule in one.get(direction.lower(), []):
                others = set(self.all)
                if rule.get(side):
                    others = set().union(*(self.chosen(entry, home) for entry in rule[side]))
                for subject, other in product(mine, others):
                    src, dst = (other, subject) if direction == "Ingress" else (subject, other)
                    let |= {(src, dst, *wire) for wire in self.wires(rule.get("ports", []), dst)}
        for src, dst, wire in product(self.all, self.all, WIRE):
            if (dst if direction == "Ingress" else src) not in isolated:
                let.add((src, dst, *wire))
        return let

    def free(self) -> set[tuple[str, str]]:
        """Pairs that no policy can part: the pod itself, and a node with what runs on it."""
        found = {(name, name) for name in self.all}
        for host, pod in product(set(self.all) - set(self.pods), self.all):
            if self.all[host].node and self.all[host].node == self.all[pod].node:
                found |= {(host, pod), (pod, host)}
        return found


@settings(max_examples=80, deadline=None)
@given(places(), policies)
def test_the_evaluator_agrees_with_the_definition(
    everybody: list[Pod | Address], written_down: list[tuple[str, dict[str, Any]]]
) -> None:
    """For every pair and port of a world, the evaluator says what intersecting the sets says."""
    world = World(everybody)
    allowed = world.flows(written_down, "Egress") & world.flows(written_down, "Ingress")
    free = world.free()
    parsed = [of(written(one, home, f"p{i}")) for i, (home, one) in enumerate(written_down)]
    for (src, a), (dst, b), wire in product(world.all.items(), world.all.items(), WIRE):
        if src == dst and not isinstance(a, Pod):
            continue
        wanted = (src, dst, *wire) in allowed or (src, dst) in free
        assert evaluate(parsed, a, b, *wire).allowed == wanted, (src, dst, wire)


@settings(max_examples=30, deadline=None)
@given(places(), policies, st.tuples(st.sampled_from(["one", "two"]), spec))
def test_a_further_policy_for_isolated_pods_only_adds(
    everybody: list[Pod | Address], some: list[tuple[str, dict[str, Any]]], further: tuple[str, dict[str, Any]]
) -> None:
    """Where every pod is isolated already, no policy can take away what another one allows."""
    deny = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    base = [of(written(deny, home, f"deny-{home}")) for home in ("one", "two")]
    base += [of(written(one, home, f"p{i}")) for i, (home, one) in enumerate(some)]
    more = [*base, of(written(further[1], further[0], "further"))]
    for a, b, wire in product(everybody, everybody, WIRE):
        if evaluate(base, a, b, *wire).allowed:
            assert evaluate(more, a, b, *wire).allowed
