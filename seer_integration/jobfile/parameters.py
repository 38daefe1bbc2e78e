"""What a job file leaves open: ``${name}``, filled in from outside, or by default."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping

import yaml  # type: ignore[import-untyped]

from seer_integration.jobfile.document import Mistakes, entries, is_null, nearest, resolved, text

__all__ = ["HERE", "Parameters", "lacks"]

HERE = "here"
"""Always there: the directory of the job file."""

_TEXT = "tag:yaml.org,2002:str"
_MISSING = "!missing"

_NAME = re.compile(r"[A-Za-z_][\w-]*")
_REFERENCE = re.compile(r"(\$?)\$\{([^{}]*)\}")  # one more dollar before it makes it a text


class Parameters:
    """The values of a file's parameters.

    Parameters
    ----------
    declared:
        The section `parameters`: names and defaults; one that is empty has to be given. Those declared before, and
        ``${here}``, may be used in a default.
    given:
        Texts by name, which win. They are read as YAML, unless the default is a text.
    directory:
        The value of ``${here}``.
    mistakes:
        Gets what is wrong.
    """

    def __init__(
        self, declared: yaml.Node | None, given: Mapping[str, str], directory: str, mistakes: Mistakes
    ) -> None:
        self._mistakes = mistakes
        self._values: dict[str, yaml.Node] = {HERE: yaml.ScalarNode(_TEXT, directory, style='"')}
        self._missing: set[str] = set()
        found = entries(declared)
        if not is_null(declared) and not isinstance(declared, yaml.MappingNode):
            mistakes.add(declared, "`parameters` is not a mapping of names to defaults")
        for name, entry in found.items():
            if name == HERE or not _NAME.fullmatch(name):
                reason = (
                    "is the directory of the job file already"
                    if name == HERE
                    else "has other than letters, digits, _ and -"
                )
                mistakes.add(entry.key, f"{name!r} cannot name a parameter: it {reason}")
            elif name in given:
                self._values[name] = _as_node(given[name], entry.value)
            elif is_null(entry.value):
                mistakes.add(entry.key, f"the parameter {name!r} has no value; give it with --set {name}=...")
                self._missing.add(name)
            else:
                self._values[name] = self.applied(entry.value)
        for name in given:
            if name not in found:
                mistakes.add(None, f"--set {name}: there is no parameter {name!r}; {nearest(name, found)}")

    def applied(self, node: yaml.Node) -> yaml.Node:
        """The node with values in the place of references; itself where there are none.

        A scalar that is nothing but a reference becomes the value, of whatever kind; within a longer text, values are
        texts.
        """
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node) if "${" in node.value else node
        if isinstance(node, yaml.SequenceNode):
            inner = [self.applied(each) for each in node.value]
        else:
            inner = [(key, self.applied(each)) for key, each in node.value]
        return type(node)(node.tag, inner, node.start_mark, node.end_mark, node.flow_style)

    def _scalar(self, node: yaml.ScalarNode) -> yaml.Node:
        whole = _REFERENCE.fullmatch(node.value)
        if whole is not None and not whole[1]:
            found = copy.copy(self._value(whole[2], node))
            found.start_mark, found.end_mark = node.start_mark, node.end_mark
            return found

        parts, at = [], 0
        for match in _REFERENCE.finditer(node.value):
            parts.append(node.value[at : match.start()])
            at = match.end()
            if match[1]:
                parts.append(match[0][1:])
                continue
            found = self._value(match[2], node)
            if found.tag == _MISSING:
                return found
            if text(found) is None:
                self._mistakes.add(node, f"the parameter {match[2]!r} is not a text, and cannot be a part of one")
            parts.append(text(found) or "")
        return resolved("".join([*parts, node.value[at:]]), node)

    def _value(self, name: str, node: yaml.Node) -> yaml.Node:
        name = name.strip()
        if name in self._values:
            return self._values[name]
        if name not in self._missing:  # which is said where it is declared
            known = [*self._values, *self._missing]
            self._mistakes.unknown(node, "parameter", name, known)
        return yaml.ScalarNode(_MISSING, "", node.start_mark, node.end_mark)


def lacks(node: yaml.Node) -> bool:
    """Whether a value is missing in it, which is a mistake that was found before."""
    if isinstance(node, yaml.ScalarNode):
        return bool(node.tag == _MISSING)
    children = node.value if isinstance(node, yaml.SequenceNode) else [each for _, each in node.value]
    return any(lacks(each) for each in children)


def _as_node(given: str, default: yaml.Node) -> yaml.Node:
    plain = yaml.ScalarNode(_TEXT, given, default.start_mark, default.end_mark, style='"')
    if default.tag == plain.tag:
        return plain
    try:
        return yaml.compose(given, Loader=yaml.SafeLoader) or plain
    except yaml.YAMLError:
        return plain
