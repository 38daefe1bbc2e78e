"""Expressions as users write them, as Arrow computes them, and what statistics say of them beforehand."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pyarrow.compute as pc

from seer_integration.expressions.binding import bind, computed
from seer_integration.expressions.names import described, resolved
from seer_integration.expressions.statistics import ColumnStatistics, may_match
from seer_integration.expressions.tree import Column, Expression, Literal, Opaque

__all__ = [
    "Column",
    "ColumnStatistics",
    "Expression",
    "Literal",
    "Opaque",
    "bind",
    "computed",
    "described",
    "may_match",
    "of",
    "parse",
    "resolved",
]


def parse(text: str) -> Expression:
    """The expression that a text like SQL's ``WHERE`` is.

    Raises
    ------
    OperationError
        When it is not one, or holds what is not known; says where.
    """
    # sqlglot takes as long to load as Arrow does, and workers get expressions that were parsed.
    parsed: Expression = import_module("seer_integration.expressions.parsing").parse(text)
    return parsed


def of(action: Any) -> Expression | None:
    """The expression that a text, a ``pyarrow.compute.Expression`` or an Expression is; None for anything else.

    Raises
    ------
    OperationError
        When a text is no expression.
    """
    if isinstance(action, Expression):
        return action
    if isinstance(action, pc.Expression):
        return Opaque(action)
    return parse(action) if isinstance(action, str) else None
