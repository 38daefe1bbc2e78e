"""Types of columns that rows are matched, grouped or ordered by, and what two of them have in common."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

__all__ = ["common_type", "key_column", "plain"]


def plain(kind: Any) -> Any:
    """The type that values of a type are matched, grouped, ordered and aggregated as.

    Of dictionaries that of the values; floats of other widths, decimals of few digits and views are of types of which
    Arrow can do everything.
    """
    types = pa.types
    if types.is_dictionary(kind):
        return plain(kind.value_type)
    if types.is_float16(kind) or types.is_float32(kind):
        return pa.float64()
    if types.is_decimal(kind) and kind.bit_width < 128:
        return pa.decimal128(kind.precision, kind.scale)
    if types.is_string_view(kind):
        return pa.large_string()
    return pa.large_binary() if types.is_binary_view(kind) else kind


def common_type(left: Any, right: Any) -> Any:
    """The type that values of two types can be compared and put together as; None when there is none."""
    if left == right:
        return left
    left, right = plain(left), plain(right)
    types = pa.types
    if types.is_timestamp(left) and types.is_timestamp(right) and left.tz and right.tz:
        left, right = (pa.timestamp(kind.unit, "UTC") for kind in (left, right))
    for one, other in ((left, right), (right, left)):
        if types.is_uint64(one) and types.is_signed_integer(other):
            return pa.decimal128(20, 0)  # there is no integer type for both
        if types.is_date(one) and types.is_timestamp(other) and other.tz is None:
            return other
        if _is_text(one) and _is_binary(other):
            return None
    schemas = [pa.schema([("it", kind)]) for kind in (left, right)]
    try:
        kind = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return None
    if types.is_decimal128(kind) and (types.is_integer(left) or types.is_integer(right)):
        # Arrow leaves no room for all integers of 64 bits, which have up to 20 digits.
        return pa.decimal128(38, kind.scale) if kind.scale <= 38 - 20 else pa.decimal256(76, kind.scale)
    return kind


def key_column(column: Any, kind: Any = None) -> Any:
    """A column as a key: of a plain type, or the one given; equal values are the same bytes.

    Arrow tells -0.0 from 0.0, and one NaN from another; to SQL, and to the hashes of our shuffles, they are the same.
    """
    kind = plain(column.type) if kind is None else plain(kind)
    if column.type != kind:
        column = pc.cast(column, kind, safe=not pa.types.is_floating(kind))
    if pa.types.is_floating(kind):
        column = pc.if_else(pc.is_nan(column), pa.scalar(np.nan, kind), pc.add(column, pa.scalar(0.0, kind)))
    return column


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _is_binary(kind: Any) -> bool:
    types = pa.types
    return bool(types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind))
