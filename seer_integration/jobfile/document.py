"""YAML as a graph of nodes that know their lines; what is wrong with it is collected, and raised together.

Nothing is constructed from tags: a job file holds texts, numbers, lists and mappings, and no other objects.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import yaml  # type: ignore[import-untyped]

from seer_integration.errors import JobFileError

__all__ = [
    "NULL",
    "Entry",
    "Mistakes",
    "composed",
    "entries",
    "is_null",
    "nearest",
    "resolved",
    "text",
    "texts",
    "value",
]

NULL = "tag:yaml.org,2002:null"
_PLAIN = frozenset(
    f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str", "timestamp", "seq", "map", "merge")
)


@dataclass
class Mistakes:
    """What is wrong with a file, in any order.

    Parameters
    ----------
    file:
        Its path, for messages.
    """

    file: str
    found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, node: yaml.Node | None, reason: str) -> None:
        """One more, at the line where the node begins, or at none."""
        mistake = (0 if node is None else line(node), " ".join(reason.split()))
        if mistake not in self.found:
            self.found.append(mistake)

    def unknown(self, node: yaml.Node, what: str, name: str, known: Iterable[str]) -> None:
        """A name that is none of those known."""
        self.add(node, f"there is no {what} {name!r}; {nearest(name, known)}")

    def raise_any(self) -> None:
        """Raise JobFileError if there is a mistake. Of several, its reason has the first, and a line for each other."""
        if not self.found:
            return
        first, *others = (JobFileError(self.file, *mistake) for mistake in sorted(self.found))
        reason = "\n".join([first.args[2], *map(str, others)])
        raise JobFileError(self.file, first.args[1], reason)


@dataclass(frozen=True, slots=True)
class Entry:
    """A key of a mapping and its value."""

    key: yaml.Node
    value: yaml.Node


def line(node: yaml.Node) -> int:
    """Where it begins, counted from 1."""
    return int(node.start_mark.line) + 1


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a name that is not known."""
    names = list(map(str, known))
    lowered = {each.lower(): each for each in names}
    close = get_close_matches(name.lower(), lowered, n=1, cutoff=0.5)
    if close:
        return f"did you mean {lowered[close[0]]!r}?"
    return f"known are {', '.join(names)}" if names else "there are none"


def composed(file: str, data: bytes, mistakes: Mistakes) -> yaml.Node | None:
    """The graph of a document; ``None`` for an empty one.

    Tags, keys that are no names, and keys given twice are added to the mistakes.

    Raises
    ------
    JobFileError
        When it is not YAML, or a part of it contains itself.
    """
    try:
        written = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        at = data.count(b"\n", 0, error.start) + 1
        raise JobFileError(
            file, at, f"byte {data[error.start]:#04x} is not UTF-8, which job files are written in"
        ) from None
    try:
        root = yaml.compose(written, Loader=yaml.SafeLoader)
        if root is not None:
            _check(root, mistakes, set(), set())
    except yaml.reader.ReaderError as error:
        at = written.count("\n", 0, error.position) + 1
        raise JobFileError(file, at, f"the character {chr(error.character)!r} is not allowed in YAML") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = ", ".join(part for part in (error.context, error.problem) if part)
        column = f" (column {mark.column + 1})" if mark is not None else ""
        raise JobFileError(file, mark.line + 1 if mark is not None else 0, f"is not YAML: {reason}{column}") from None
    except RecursionError:
        raise JobFileError(file, 0, "is nested too deeply") from None
    return root


def _check(node: yaml.Node, mistakes: Mistakes, above: set[int], seen: set[int]) -> None:
    if id(node) in above:
        mistakes.add(node, "contains itself")
        mistakes.raise_any()
    if id(node) in seen:
        return
    seen.add(id(node))
    if node.tag not in _PLAIN:
        mistakes.add(node, f"the tag {node.tag} is not allowed: job files hold texts, numbers, lists and mappings")
    within = above | {id(node)}
    if isinstance(node, yaml.SequenceNode):
        for each in node.value:
            _check(each, mistakes, within, seen)
    elif isinstance(node, yaml.MappingNode):
        names: dict[str, int] = {}
        for key, each in node.value:
            if not isinstance(key, yaml.ScalarNode):
                mistakes.add(key, "a key has to be a name")
                continue
            if key.value in names:
                mistakes.add(key, f"{key.value!r} is given twice, on line {names[key.value]} before")
            names.setdefault(key.value, line(key))
            _check(each, mistakes, within, seen)


def entries(node: yaml.Node | None) -> dict[str, Entry]:
    """Of a mapping, by their keys as they are written, the first of each; none of anything else."""
    found: dict[str, Entry] = {}
    for key, each in node.value if isinstance(node, yaml.MappingNode) else ():
        if isinstance(key, yaml.ScalarNode):
            found.setdefault(key.value, Entry(key, each))
    return found


def resolved(written: str, like: yaml.ScalarNode) -> yaml.ScalarNode:
    """A scalar in the place of another: what is not in quotes is again a number, a truth value, or a text."""
    tag = like.tag
    if like.style is None:
        tag = yaml.SafeLoader("").resolve(yaml.ScalarNode, written, (True, False))
    return yaml.ScalarNode(tag, written, like.start_mark, like.end_mark, style=like.style)


def is_null(node: yaml.Node | None) -> bool:
    """Whether there is nothing."""
    return node is None or node.tag == NULL


def text(node: yaml.Node) -> str | None:
    """A scalar as it is written, so that ``0`` and ``no`` are texts; ``None`` of what is none."""
    return str(node.value) if isinstance(node, yaml.ScalarNode) and not is_null(node) else None


def texts(node: yaml.Node) -> Any:
    """All in it with texts as :func:`text` has them, in lists and dicts."""
    if isinstance(node, yaml.SequenceNode):
        return [texts(each) for each in node.value]
    if isinstance(node, yaml.MappingNode):
        return {name: texts(each.value) for name, each in entries(node).items()}
    return text(node)


def value(node: yaml.Node) -> Any:
    """What it is to YAML: numbers, truth values, dates, texts, lists, dicts. Raises ValueError for what is none."""
    try:
        return yaml.SafeLoader("").construct_document(node)
    except (yaml.YAMLError, AttributeError, LookupError) as error:  # the latter for `!!timestamp soon`, `!!bool maybe`
        raise ValueError(" ".join(str(error).split())) from None
