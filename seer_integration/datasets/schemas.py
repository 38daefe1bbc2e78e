"""Types of columns: as users name them, as files have them, and as rows have them here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import numpy as np
import pyarrow as pa

from seer_integration.errors import DatasetError, OperationError

__all__ = ["as_here", "require_alike", "type_named", "unified", "with_types"]

_TEXT = {"object", "str", "string", "text", "unicode", "large_string", "utf8"}
_BYTES = {"bytes", "binary", "large_binary"}


def type_named(name: Any) -> pa.DataType:
    """The Arrow type of a name that NumPy or Arrow know; text is ``large_string``. Raises OperationError."""
    if isinstance(name, pa.DataType):
        return as_here(name)
    if str(name) in _TEXT:
        return pa.large_string()
    if str(name) in _BYTES:
        return pa.large_binary()
    try:
        return as_here(pa.type_for_alias(str(name)))
    except ValueError:
        pass
    try:
        return as_here(pa.from_numpy_dtype(np.dtype(name)))
    except (TypeError, ValueError, pa.ArrowNotImplementedError) as error:
        known = ["int64", "int32", "float64", "float32", "bool", "str", "date32", "timestamp[ms]", "datetime64[s]"]
        near = get_close_matches(str(name), known, 1)
        hint = f"did you mean {near[0]!r}?" if near else f"such are {', '.join(known)}"
        raise OperationError("Scan", "types", name, f"is no type that NumPy or Arrow know; {hint}") from error


def with_types(schema: pa.Schema, types: Sequence[str] | Mapping[str, str] | None, *, more: bool = False) -> pa.Schema:
    """A schema with the types a user gives, as a list of all or a mapping of some.

    Parameters
    ----------
    more:
        Whether a mapping may name columns that were not seen yet.

    Raises
    ------
    OperationError
        When they are not for these columns.
    """
    if types is None:
        return schema
    if not isinstance(types, Mapping):
        if isinstance(types, str) or len(types) != len(schema):
            count = 1 if isinstance(types, str) else len(types)
            reason = f"has {count} types, and there are {len(schema)} columns: {', '.join(schema.names)}"
            raise OperationError("Scan", "types", types, reason)
        types = dict(zip(schema.names, types, strict=True))
    for name, kind in types.items():
        field = pa.field(name, type_named(kind))
        if name in schema.names:
            schema = schema.set(schema.names.index(name), field)
        elif more:
            schema = schema.append(field)
        else:
            near = get_close_matches(str(name), schema.names, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(schema.names)}"
            raise OperationError("Scan", "types", types, f"names a column {name!r} that is not there; {hint}")
    return schema


def as_here(kind: Any) -> Any:
    """A type, or all of a schema, as rows have it: text and bytes with 64-bit offsets, and not in dictionaries.

    Of a schema what files say about themselves is left out, and a type that says nothing is text.
    """
    if isinstance(kind, pa.Schema):
        return pa.schema([pa.field(field.name, as_here(field.type)) for field in kind])
    if pa.types.is_dictionary(kind):
        value = as_here(kind.value_type)
        return value if value in (pa.large_string(), pa.large_binary()) else kind
    if pa.types.is_null(kind) or pa.types.is_string(kind) or pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary(kind) or pa.types.is_binary_view(kind):
        return pa.large_binary()
    return kind


def unified(first: pa.Schema, other: pa.Schema, first_file: str, other_file: str) -> pa.Schema:
    """The schema of two files whose types were inferred: whole numbers in one may be fractions in the other.

    Raises
    ------
    DatasetError
        When a column is missing in one, or has types that no other includes.
    """
    _require_names(first, other, first_file, other_file)
    fields = []
    for field in first:
        here, there = field.type, other.field(field.name).type
        if here != there:
            try:
                pair = [pa.schema([field]), pa.schema([field.with_type(there)])]
                field = pa.unify_schemas(pair, promote_options="permissive").field(0)
            except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
                raise _differ(field.name, here, there, first_file, other_file) from error
        fields.append(field)
    return pa.schema(fields)


def require_alike(first: pa.Schema, other: pa.Schema, first_file: str, other_file: str) -> None:
    """Refuse files of which one has a column that the other has not, or has with another type; raises DatasetError."""
    _require_names(first, other, first_file, other_file)
    for field in first:
        there = other.field(field.name).type
        if field.type != there:
            raise _differ(field.name, field.type, there, first_file, other_file)


def _require_names(first: pa.Schema, other: pa.Schema, first_file: str, other_file: str) -> None:
    for here, there, file, lacks in (
        (first, other, first_file, other_file),
        (other, first, other_file, first_file),
    ):
        for name in here.names:
            if name not in there.names:
                reason = f"it has no column {name!r}, which {file} has"
                raise DatasetError(lacks, reason, "scan files with the same columns, each kind with a Scan of its own")


def _differ(name: str, here: pa.DataType, there: pa.DataType, first_file: str, other_file: str) -> DatasetError:
    reason = f"its column {name!r} is {there}, and that of {first_file} is {here}"
    return DatasetError(other_file, reason, f"say which with types={{{name!r}: ...}}, or write the files anew")
