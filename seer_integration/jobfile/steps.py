"""A step of a stage as it is written, and the operation it is."""

from __future__ import annotations

import typing
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any

import yaml  # type: ignore[import-untyped]

from seer_integration.errors import OperationError
from seer_integration.expressions import parse
from seer_integration.jobfile.document import Mistakes, entries, is_null, text, texts, value
from seer_integration.jobfile.functions import function_named
from seer_integration.jobfile.parameters import lacks
from seer_integration.operations import OPERATIONS, Aggregate, Filter, Operation, Select, Write, made

__all__ = ["operation_of"]


def operation_of(step: yaml.Node, directory: str, mistakes: Mistakes) -> Operation | None:
    """The operation of one step; ``None`` when there are mistakes in it, which are added to those known.

    A step is a name (``Collect``), a name with parameters (``Sort: {key: price}``), or a name with the value of the
    parameter that says most (``Sort: price``).

    Parameters
    ----------
    step:
        With the values of parameters of the job file filled in.
    directory:
        Where modules of functions are looked for first.
    mistakes:
        Gets what is wrong.
    """
    if lacks(step):
        return None
    if isinstance(step, yaml.ScalarNode) and not is_null(step):
        key, given = step, None
    elif isinstance(step, yaml.MappingNode) and len(step.value) == 1:
        ((key, given),) = step.value
    else:
        more = ""
        if isinstance(step, yaml.MappingNode) and step.value and is_null(step.value[0][1]):
            more = "; its parameters have to be indented further than its name"
        mistakes.add(step, f"a step is one operation, such as `- Sort: {{key: price}}`{more}")
        return None
    kind = OPERATIONS.get(text(key) or "")
    if kind is None:
        mistakes.unknown(key, "operation", str(key.value), OPERATIONS)
        return None
    nodes = _parameters(kind, given)
    try:
        operation = made(kind, {name: _converted(kind, name, node, directory) for name, node in nodes.items()})
        _check_expressions(operation, nodes)
    except _Wrong as wrong:
        mistakes.add(wrong.node, f"{kind.__name__}: {wrong}")
    except OperationError as error:
        values = entries(nodes.get("values"))  # of an Aggregate
        at = nodes.get(error.args[1]) or (values[error.args[1]].value if error.args[1] in values else key)
        mistakes.add(at, str(error))
    else:
        return operation
    return None


class _Wrong(Exception):
    """What is wrong with a value, and which."""

    def __init__(self, node: yaml.Node, reason: str) -> None:
        super().__init__(reason)
        self.node = node


def _parameters(kind: type[Operation], given: yaml.Node | None) -> dict[str, yaml.Node]:
    """The nodes of the parameters by name."""
    if given is None or is_null(given):
        return {}
    known = [field.name for field in fields(kind)]
    found = entries(given)
    # New columns of a Select are written without further ado: `Select: {total: price * quantity}`.
    if isinstance(given, yaml.MappingNode) and not (kind is Select and set(found) != {"columns"}):
        return {name: entry.value for name, entry in found.items()}
    if not known:
        return {"parameters": given}
    return {"key" if kind is Write else known[0]: given}


def _converted(kind: type[Operation], name: str, node: yaml.Node, directory: str) -> Any:
    """The value of a parameter, read as what the operation takes there: texts, unless it says otherwise."""
    hint = _hints(kind).get(name, Any)
    wanted = {*typing.get_args(hint), hint}
    if is_null(node) and name in _required(kind):
        raise _Wrong(node, f"{name} has no value")
    if typing.get_origin(hint) is Callable:
        return _function(text(node) or "", node, directory)
    try:
        if name == "arguments" or wanted & {int, float}:
            return value(node)
        if bool in wanted and isinstance(node, yaml.ScalarNode):
            found = value(node)
            if hint is bool and not isinstance(found, bool):
                raise _Wrong(node, f"{name}: {node.value!r} is neither true nor false")
            return found if isinstance(found, bool) else text(node)
    except ValueError as error:
        raise _Wrong(node, f"{name}: {error}") from None
    if kind is Aggregate and name == "values" and isinstance(node, yaml.MappingNode):
        return {new: _aggregate(entry.value, directory) for new, entry in entries(node).items()}
    return texts(node)


def _aggregate(node: yaml.Node, directory: str) -> Any:
    """As ``count``, ``[sum, price]``, or ``[module:custom, [price, quantity]]``."""
    found = texts(node)
    if isinstance(found, list) and found and isinstance(found[0], str) and ":" in found[0]:
        return [_function(found[0], node, directory), *found[1:]]
    return found


def _function(place: str, node: yaml.Node, directory: str) -> Any:
    try:
        return function_named(place, directory)
    except ValueError as error:
        raise _Wrong(node, str(error)) from None


def _check_expressions(operation: Operation, nodes: dict[str, yaml.Node]) -> None:
    """Raise what is wrong with the texts of a Filter or a Select."""
    found: dict[str, yaml.Node] = {}
    if isinstance(operation, Filter):
        found = {"action": nodes["action"]}
    elif isinstance(operation, Select):
        found = {name: entry.value for name, entry in entries(nodes["columns"]).items()}
    for name, node in found.items():
        written = text(node)
        if written is None:
            raise _Wrong(node, f"{name} is not an expression, such as price * quantity")
        try:
            parse(written)
        except OperationError as error:
            raise _Wrong(node, f"{written!r} {error.args[3]}") from None


def _hints(kind: type[Operation]) -> dict[str, Any]:
    return typing.get_type_hints(kind)


def _required(kind: type[Operation]) -> frozenset[str]:
    return frozenset(field.name for field in fields(kind) if field.default is MISSING)
