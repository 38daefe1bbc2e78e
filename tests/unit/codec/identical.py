"""What the codec promises: not equal, but identical."""

import dataclasses
import struct
from collections import deque
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa


def assert_identical(left: Any, right: Any, where: str = "object") -> None:
    """Fail unless both have the same types, values, storage and metadata, NaN, NaT, NA and None told apart."""
    assert type(left) is type(right), f"{where}: {type(left)} became {type(right)}"
    for kind, compare in _COMPARISONS:
        if isinstance(left, kind):
            compare(left, right, where)
            return
    if dataclasses.is_dataclass(left) and not isinstance(left, type):
        assert_identical(vars(left), vars(right), f"{where}.__dict__")
    else:
        assert left is right or left == right, f"{where}: {left!r} became {right!r}"


def _float(left: float, right: float, where: str) -> None:
    assert struct.pack("d", left) == struct.pack("d", right), f"{where}: {left!r} became {right!r}"


def _complex(left: complex, right: complex, where: str) -> None:
    _float(left.real, right.real, f"{where}.real")
    _float(left.imag, right.imag, f"{where}.imag")


def _scalar(left: np.generic, right: np.generic, where: str) -> None:
    assert left.dtype == right.dtype, where
    assert left.tobytes() == right.tobytes(), f"{where}: {left!r} became {right!r}"


def _dict(left: dict, right: dict, where: str) -> None:
    assert len(left) == len(right), where
    for (left_key, left_value), (right_key, right_value) in zip(left.items(), right.items(), strict=True):
        assert_identical(left_key, right_key, f"a key of {where}")
        assert_identical(left_value, right_value, f"{where}[{left_key!r}]")


def _sequence(left: Any, right: Any, where: str) -> None:
    assert len(left) == len(right), where
    for index, (left_item, right_item) in enumerate(zip(left, right, strict=True)):
        assert_identical(left_item, right_item, f"{where}[{index}]")


def _array(left: np.ndarray, right: np.ndarray, where: str) -> None:
    assert left.dtype == right.dtype, where
    assert left.dtype.str == right.dtype.str, where
    assert left.shape == right.shape, where
    if left.flags.forc and left.dtype.itemsize:
        assert left.flags.c_contiguous == right.flags.c_contiguous, where
        assert left.flags.f_contiguous == right.flags.f_contiguous, where
    if isinstance(left, np.ma.MaskedArray):
        _masked_array(left, right, where)
    left, right = np.asarray(left), np.asarray(right)
    if left.dtype.names:
        for name in left.dtype.names:
            assert_identical(left[name], right[name], f"{where}[{name!r}]")
    elif left.dtype.hasobject:
        _sequence(left.ravel().tolist(), right.ravel().tolist(), where)
    else:
        assert left.tobytes() == right.tobytes(), where


def _masked_array(left: np.ma.MaskedArray, right: np.ma.MaskedArray, where: str) -> None:
    assert (left.mask is np.ma.nomask) == (right.mask is np.ma.nomask), where
    assert_identical(left.hardmask, right.hardmask, f"{where}.hardmask")
    assert_identical(np.asarray(left.mask), np.asarray(right.mask), f"{where}.mask")
    assert_identical(left._fill_value, right._fill_value, f"{where}.fill_value")


def _frame(left: pd.DataFrame, right: pd.DataFrame, where: str) -> None:
    pd.testing.assert_frame_equal(
        left, right, check_dtype=True, check_index_type=True, check_column_type=True, check_frame_type=True,
        check_names=True, check_exact=True, check_categorical=True,
        check_like=False, check_freq=True, check_flags=True,
    )  # fmt: skip
    assert_identical(left.index, right.index, f"{where}.index")
    assert_identical(left.columns, right.columns, f"{where}.columns")
    for position in range(left.shape[1]):
        column = f"{where}.iloc[:, {position}]"
        assert_identical(left.iloc[:, position].array, right.iloc[:, position].array, column)
    _attributes(left, right, where)


def _series(left: pd.Series, right: pd.Series, where: str) -> None:
    pd.testing.assert_series_equal(
        left, right, check_dtype=True, check_index_type=True, check_series_type=True, check_names=True,
        check_exact=True, check_categorical=True, check_category_order=True,
        check_freq=True, check_flags=True, check_index=True, check_like=False,
    )  # fmt: skip
    assert_identical(left.index, right.index, f"{where}.index")
    assert_identical(left.array, right.array, f"{where}.array")
    assert_identical(left.name, right.name, f"{where}.name")
    _attributes(left, right, where)


def _attributes(left: Any, right: Any, where: str) -> None:
    assert_identical(left.attrs, right.attrs, f"{where}.attrs")
    assert left.flags.allows_duplicate_labels == right.flags.allows_duplicate_labels, where


def _index(left: pd.Index, right: pd.Index, where: str) -> None:
    assert_identical(list(left.names), list(right.names), f"{where}.names")
    if isinstance(left, pd.MultiIndex):
        assert_identical(list(left.levels), list(right.levels), f"{where}.levels")
        assert_identical([np.asarray(codes) for codes in left.codes], [np.asarray(codes) for codes in right.codes])
        return
    assert_identical(left.dtype, right.dtype, f"{where}.dtype")
    if isinstance(left, pd.RangeIndex):
        assert (left.start, left.stop, left.step) == (right.start, right.stop, right.step), where
        return
    assert_identical(getattr(left, "freq", None), getattr(right, "freq", None), f"{where}.freq")
    assert_identical(left.array, right.array, f"{where}.array")


# Of the extension arrays of pandas, what they are made of.
_MADE_OF = {
    pd.arrays.NumpyExtensionArray: ("_ndarray",),
    pd.arrays.ArrowExtensionArray: ("_pa_array",),
    pd.arrays.IntervalArray: ("left", "right", "closed"),
    pd.arrays.SparseArray: ("sp_values", "fill_value"),
    pd.arrays.BooleanArray: ("_data", "_mask"),
    pd.arrays.IntegerArray: ("_data", "_mask"),
    pd.arrays.FloatingArray: ("_data", "_mask"),
    pd.Categorical: ("codes", "categories", "ordered"),
    pd.arrays.DatetimeArray: ("_ndarray", "freq"),
    pd.arrays.TimedeltaArray: ("_ndarray", "freq"),
    pd.arrays.PeriodArray: ("_ndarray", "freq"),
    pd.arrays.StringArray: ("_ndarray",),
}


def _extension_array(left: Any, right: Any, where: str) -> None:
    assert_identical(left.dtype, right.dtype, f"{where}.dtype")
    names = [name for kind, names in _MADE_OF.items() if isinstance(left, kind) for name in names]
    assert names, f"{where}: cannot compare {type(left)}"
    for name in names:
        # None: pandas 3.1 has moved the freq of arrays to their index.
        assert_identical(getattr(left, name, None), getattr(right, name, None), f"{where}.{name}")
    if isinstance(left, pd.arrays.SparseArray):
        assert left.sp_index.equals(right.sp_index), where


def _dtype(left: Any, right: Any, where: str) -> None:
    assert left == right, f"{where}: {left!r} became {right!r}"
    if isinstance(left, pd.StringDtype):
        assert left.storage == right.storage, where
        assert (left.na_value is pd.NA) == (right.na_value is pd.NA), where


def _arrow(left: Any, right: Any, where: str) -> None:
    right.validate(full=True)
    if isinstance(left, (pa.Table, pa.RecordBatch)):
        assert left.schema.equals(right.schema, check_metadata=True), f"{where}: {left.schema} became {right.schema}"
        assert left.shape == right.shape, where
        _sequence(left.columns, right.columns, where)
        return
    assert left.type.equals(right.type, check_metadata=True), f"{where}: {left.type} became {right.type}"
    assert len(left) == len(right), where
    assert left.null_count == right.null_count, where
    if not left.equals(right):  # but NaN is not equal to NaN
        _sequence(left.to_pylist(), right.to_pylist(), where)


def _polars(left: Any, right: Any, where: str) -> None:
    if isinstance(left, pl.DataFrame):
        assert left.schema == right.schema, where
        assert left.shape == right.shape, where
        _sequence(left.get_columns(), right.get_columns(), where)
        return
    assert left.name == right.name, where
    assert left.dtype == right.dtype, where
    if not left.dtype.is_nested():  # there Polars does not keep these hints in its own pickling either
        assert left.flags == right.flags, where
    assert left.equals(right, null_equal=True), where


_COMPARISONS = [
    (np.generic, _scalar),
    (float, _float),
    (complex, _complex),
    (dict, _dict),
    ((list, tuple, deque), _sequence),
    (np.ndarray, _array),
    (pd.DataFrame, _frame),
    (pd.Series, _series),
    (pd.Index, _index),
    (pd.api.extensions.ExtensionArray, _extension_array),
    (pd.api.extensions.ExtensionDtype, _dtype),
    ((pa.Table, pa.RecordBatch, pa.ChunkedArray, pa.Array), _arrow),
    ((pl.DataFrame, pl.Series), _polars),
]
