"""What the stages of a job do: each operation is its parameters, checked when it is made, and no more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any

from seer_integration.errors import OperationError
from seer_integration.operations.base import Operation
from seer_integration.operations.datasets import Collect, Scan, Write
from seer_integration.operations.keys import Aggregate, Custom, Distinct, Exchange, Groupby, Join, Limit, Sort, Union
from seer_integration.operations.rows import Filter, Reduce, Sample, Select, Transform

__all__ = [
    "OPERATIONS",
    "Aggregate",
    "Collect",
    "Custom",
    "Distinct",
    "Exchange",
    "Filter",
    "Groupby",
    "Join",
    "Limit",
    "Operation",
    "Reduce",
    "Sample",
    "Scan",
    "Select",
    "Sort",
    "Transform",
    "Union",
    "Write",
    "made",
]

OPERATIONS: dict[str, type[Operation]] = {
    each.__name__: each
    for each in (
        Scan, Exchange, Sort, Groupby, Filter, Select, Transform, Reduce, Aggregate, Join, Limit, Distinct, Union,
        Sample, Collect, Write,
    )
}  # fmt: skip


def made(kind: type[Operation], parameters: Mapping[str, Any]) -> Operation:
    """An operation from its parameters by name; raises OperationError, which names the nearest parameter."""
    known = [field.name for field in fields(kind)]
    for name in parameters:
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(known) or 'none'}"
            raise OperationError(kind.__name__, name, parameters[name], f"is no parameter; {hint}")
    try:
        return kind(**parameters)
    except TypeError as error:
        raise OperationError(kind.__name__, "parameters", dict(parameters), f"do not suffice: {error}") from error
