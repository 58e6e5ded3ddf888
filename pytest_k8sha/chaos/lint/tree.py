"""YAML as a tree whose every value knows its line, its column and the name of its field.

Scalars are read as kubectl reads them (YAML 1.1 with its ``yes`` and ``off``, but timestamps stay texts). The parser of
libyaml is used where PyYAML has it; the places are the same without it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

Scalar = str | int | float | bool | None

MAX_DEPTH = 60
MAX_NODES = 200_000
"""Aliases can make a small file mean a very large one; what is larger than this is not read."""

_BOOLS = {
    **dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True),
    **dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False),
}
_NULLS = {"", "~", "null", "Null", "NULL"}
_INT = re.compile(r"[-+]?(?:0|[1-9][0-9]{0,30})\Z")
_OTHER_INT = re.compile(r"[-+]?0(?:[xX][0-9a-fA-F]{1,30}|[oO]?[0-7]{1,30}|[bB][01]{1,64})\Z")
_FLOAT = re.compile(r"[-+]?(?:[0-9]{1,300}(?:\.[0-9]{0,300})?|\.[0-9]{1,300})(?:[eE][-+]?[0-9]{1,4})?\Z")


class Node:
    """A value in a manifest: a mapping of names to nodes, a list of nodes, or a scalar."""

    __slots__ = ("column", "end", "field", "flow", "key", "line", "raw", "style", "value")

    def __init__(
        self,
        value: Any,
        field: str,
        mark: tuple[int, int],
        end: tuple[int, int],
        *,
        key: tuple[int, int, int, int] | None = None,
        flow: bool = False,
    ) -> None:
        self.value: Any = value
        self.field = field
        self.line, self.column = mark
        self.end = end
        self.key = key
        self.flow = flow
        self.raw = ""
        self.style = ""

    @property
    def place(self) -> tuple[int, int]:
        """Line and column of the value, from 1."""
        return self.line + 1, self.column + 1

    @property
    def key_place(self) -> tuple[int, int]:
        """Line and column of the key that the value stands under, from 1."""
        return (self.key[0] + 1, self.key[1] + 1) if self.key else self.place

    @property
    def name(self) -> str:
        """The last part of the field's name, such as ``latency``."""
        return self.field.rpartition(".")[2]

    def get(self, *names: str) -> Node | None:
        """The node below these names; None where it is absent or empty."""
        here: Node | None = self
        for name in names:
            if here is None or not isinstance(here.value, dict):
                return None
            here = here.value.get(name)
        return here if here is not None and here.value is not None else None

    def text(self, *names: str) -> str | None:
        """The text below these names; None where there is none."""
        node = self.get(*names)
        return node.value if node is not None and isinstance(node.value, str) else None

    def number(self, *names: str) -> int | None:
        """The whole number below these names; None where there is none."""
        node = self.get(*names)
        whole = node is not None and isinstance(node.value, int) and not isinstance(node.value, bool)
        return node.value if whole and node is not None else None

    @property
    def entries(self) -> dict[str, Node]:
        """The members of a mapping; nothing for any other value."""
        return self.value if isinstance(self.value, dict) else {}

    @property
    def members(self) -> list[Node]:
        """The members of a list; nothing for any other value."""
        return self.value if isinstance(self.value, list) else []

    @property
    def texts(self) -> list[str]:
        """The texts among the members of a list."""
        return [m.value for m in self.members if isinstance(m.value, str)]

    def plain(self) -> Any:
        """The value without places."""
        if isinstance(self.value, dict):
            return {name: node.plain() for name, node in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value

    def walk(self) -> Iterator[Node]:
        """This node and every node below it."""
        yield self
        below = self.value.values() if isinstance(self.value, dict) else self.members
        for node in below:
            yield from node.walk()

    @property
    def last_line(self) -> int:
        """The line, from 0, on which the value's own text ends; comments after it are not of it."""
        if not self.flow and isinstance(self.value, dict | list) and self.value:
            below = self.value.values() if isinstance(self.value, dict) else self.value
            return max((node.last_line for node in below), default=self.line)
        line, column = self.end
        ended = line - 1 if column == 0 and line > self.line else line
        return max(self.line, ended)


@dataclass(frozen=True, slots=True)
class Mistake:
    """A place in the text that cannot be meant. ``fatal`` when the rest of the file could not be read."""

    line: int
    column: int
    message: str
    fatal: bool = False
    field: str = ""


@dataclass(slots=True)
class Document:
    """One YAML document. ``shared`` when an anchor, alias or merge key is in it: its text is then not edited."""

    root: Node
    shared: bool = False


class _TooLargeError(Exception):
    pass


def parse(text: str) -> tuple[list[Document], list[Mistake]]:
    """The documents of a text, and what is wrong with it as YAML. Never raises for any text."""
    documents: list[Document] = []
    mistakes: list[Mistake] = []
    loader_type: Any = getattr(yaml, "CBaseLoader", yaml.BaseLoader)
    loader = None
    try:
        loader = loader_type(text)
        while loader.check_node():
            reader = _Reader(mistakes)
            root = reader.read(loader.get_node(), "", None, 0)
            documents.append(Document(root, shared=reader.shared))
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
        problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "it cannot be read"
        line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
        mistakes.append(Mistake(line, column, f"is not YAML: {problem}", fatal=True))
    except (RecursionError, _TooLargeError):
        said = f"is nested deeper than {MAX_DEPTH} levels or means more than {MAX_NODES} values"
        mistakes.append(Mistake(0, 0, said, fatal=True))
    except ValueError as error:  # characters that no YAML text may hold
        mistakes.append(Mistake(0, 0, f"is not YAML: {error}", fatal=True))
    finally:
        if loader is not None:
            loader.dispose()
    return documents, mistakes


class _Reader:
    """Turns PyYAML's nodes into ours."""

    def __init__(self, mistakes: list[Mistake]) -> None:
        self.mistakes = mistakes
        self.seen: set[int] = set()
        self.shared = False
        self.left = MAX_NODES

    def read(self, node: Any, field: str, key: tuple[int, int, int, int] | None, depth: int) -> Node:
        self.left -= 1
        if depth > MAX_DEPTH or self.left < 0:
            raise _TooLargeError
        start, end = node.start_mark, node.end_mark
        made = Node(None, field, (start.line, start.column), (end.line, end.column), key=key)
        if id(node) in self.seen:
            self.shared = True
        self.seen.add(id(node))
        if isinstance(node, yaml.ScalarNode):
            made.raw = node.value
            made.style = node.style or ""
            made.value = node.value if made.style or not _is_plain(node.tag) else scalar(node.value)
            return made
        made.flow = bool(node.flow_style)
        if isinstance(node, yaml.SequenceNode):
            made.value = [self.read(n, f"{field}[{i}]", None, depth + 1) for i, n in enumerate(node.value)]
        else:
            made.value = self._mapping(node, field, depth)
        return made

    def _mapping(self, node: Any, field: str, depth: int) -> dict[str, Node]:
        made: dict[str, Node] = {}
        merged: list[Any] = []
        prefix = f"{field}." if field else ""
        for key_node, value_node in node.value:
            start, end = key_node.start_mark, key_node.end_mark
            if not isinstance(key_node, yaml.ScalarNode):
                said = "a key must be a text"
                self.mistakes.append(Mistake(start.line + 1, start.column + 1, said, field=field))
                continue
            name = key_node.value
            if name == "<<" and not key_node.style:
                self.shared = True
                many = isinstance(value_node, yaml.SequenceNode)
                merged += value_node.value if many else [value_node]
                continue
            if name in made:
                first = made[name].key_place[0]
                said = f"the key {name!r} is given twice (first on line {first}); only one of the two is used"
                self.mistakes.append(Mistake(start.line + 1, start.column + 1, said, field=prefix + name))
            made[name] = self.read(
                value_node, prefix + name, (start.line, start.column, end.line, end.column), depth + 1
            )
        for source in merged:
            if isinstance(source, yaml.MappingNode):
                if depth > MAX_DEPTH:
                    raise _TooLargeError
                for name, value in self._mapping(source, field, depth + 1).items():
                    made.setdefault(name, value)
        return made


def _is_plain(tag: str | None) -> bool:
    return tag is None or tag == "tag:yaml.org,2002:str"


def scalar(raw: str) -> Scalar:
    """The value of a scalar without quotes."""
    if raw in _NULLS:
        return None
    if raw in _BOOLS:
        return _BOOLS[raw]
    first = raw[0]
    if first.isdigit() or first in "+-.":
        if _INT.match(raw):
            return int(raw)
        if _OTHER_INT.match(raw):
            return _other_int(raw)
        if _FLOAT.match(raw):
            return float(raw)
    return raw


def _other_int(raw: str) -> int:
    body = raw.lstrip("+-")
    prefixed = body[1:2].lower() in {"x", "b", "o"}
    number = int(body, 0) if prefixed else int(body, 8)
    return -number if raw.startswith("-") else number
