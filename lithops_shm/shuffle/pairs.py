"""(key, value) pairs as tables, and back: the MapReduce of plain Python objects, through the same exchange."""

from __future__ import annotations

import ast
import math
import pickle
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import blake2b
from typing import Any

import pyarrow as pa

from lithops_shm.errors import PartitionerError
from lithops_shm.shuffle.spec import Shuffle

__all__ = ["collect", "grouped", "keys_of", "of_tables"]

_KEY = "key"
_HASH = "hash"
_VALUE = "value"

# Python types with an Arrow type that gives back the very same values.
_EXACT = {bool: pa.bool_(), int: pa.int64(), float: pa.float64(), str: pa.large_string(), bytes: pa.large_binary()}
# Of these, tuples and None, keys may be made; written as Python literals they are the same in every process. What is
# no number has no literal of its own, and gets that of what cannot be a key.
_KEY_PARTS = (bool, int, float, str, bytes, type(None))
_NAN = "..."
_INFINITY = "1e999"
_ENCODING = b"encoding"
_COMBINE_AT = 1024


def of_tables(shuffle: Shuffle) -> Shuffle:
    """The shuffle of tables that exchanges the pairs of one without key columns."""
    kind = shuffle.kind
    if callable(kind):
        kind = _OfKeys(kind)
    # A reducer puts its keys in order when it has grouped them.
    return replace(shuffle, by=_HASH if kind == "hash" else _KEY, kind=kind, sort=False, combiner=None)


def collect(
    result: Any, mapper: int, combiner: Callable[[Any, list[Any]], Any] | None, *, ranges: bool = False
) -> pa.Table | None:
    """The pairs a map function yielded as a table, equal keys beside each other; NaN is equal to NaN.

    Parameters
    ----------
    combiner:
        Of ``(key, values)``; gives the value to keep in their place.
    ranges:
        Whether keys will be compared with those of other mappers; then all have to be of one type.

    Raises
    ------
    PartitionerError
        When it yielded something else, or keys that cannot be stored or told apart.
    """
    groups: dict[Any, list[Any]] = {}
    for each in () if result is None else result:
        if not isinstance(each, tuple) or len(each) != 2:
            reason = f"mapper {mapper} gave a {type(each).__qualname__}; with Shuffle(by=None) it yields (key, value)"
            raise PartitionerError("pairs", reason)
        key, value = each
        if type(key) is float or type(key) is tuple:
            key = _with_one_nan(key)
        try:
            values = groups.setdefault(key, [])
        except TypeError:
            raise PartitionerError("key", f"mapper {mapper} gave {key!r:.100}, which is not hashable") from None
        values.append(value)
        if combiner is not None and len(values) >= _COMBINE_AT:
            groups[key] = [combiner(key, values)]
    if combiner is not None:
        groups = {key: [combiner(key, values)] for key, values in groups.items()}
    if not groups:
        return None
    keys, key_encoding = _encode_keys(list(groups))
    repeats = pa.array([number for number, values in enumerate(groups.values()) for _ in values], pa.int64())
    values, value_encoding = _encode([value for values in groups.values() for value in values])
    columns = {_KEY: keys.take(repeats), _VALUE: values}
    if not ranges:
        columns[_HASH] = pa.array(list(map(_hash, groups)), pa.uint64()).take(repeats)
    elif key_encoding != "exact":
        raise PartitionerError("key", f"mapper {mapper} gave keys of several types, or tuples, which have no ranges")
    encoding = f"{key_encoding} {value_encoding}".encode()
    return pa.table(columns).replace_schema_metadata({_ENCODING: encoding})


def grouped(tables: Iterable[pa.Table], *, in_order: bool) -> dict[Any, list[Any]]:
    """The values of each key, in the order of mappers; keys ascending if `in_order`, NaN last.

    Raises
    ------
    PartitionerError
        When keys have to be ordered and cannot be.
    """
    groups: dict[Any, list[Any]] = {}
    for table in tables:
        keys, values = keys_of(table), table.column(_VALUE)
        _, value_encoding = _encodings(table)
        decoded = map(pickle.loads, values.to_pylist()) if value_encoding == "pickle" else values.to_pylist()
        for key, value in zip(keys, decoded, strict=True):
            groups.setdefault(key, []).append(value)
    if not in_order:
        return groups
    try:
        return {key: groups[key] for key in sorted(groups, key=_rank if any(map(_has_nan, groups)) else None)}
    except TypeError as error:
        raise PartitionerError("key", f"the keys cannot be put in order: {error}; use sort=False") from None


def keys_of(table: pa.Table) -> list[Any]:
    """The keys of a table of pairs, as they were; those that are NaN are one object, so that they are one key."""
    column = table.column(_KEY)
    if _encodings(table)[0] == "exact":
        plain: list[Any] = column.to_pylist()
        return list(map(_with_one_nan, plain)) if pa.types.is_floating(column.type) else plain
    dictionary = column.combine_chunks().dictionary_encode()
    if isinstance(dictionary, pa.ChunkedArray):
        dictionary = dictionary.combine_chunks()
    known = [_without_ellipsis(ast.literal_eval(text)) for text in dictionary.dictionary.to_pylist()]
    return [known[index] for index in dictionary.indices.to_pylist()]


class _OfKeys:
    """The user's partition function, which takes keys, as one that takes tables."""

    def __init__(self, function: Callable[[list[Any], int], Any]) -> None:
        self._function = function
        self.__name__ = getattr(function, "__name__", type(function).__name__)

    def __call__(self, rows: pa.Table, partitions: int) -> Any:
        return self._function(keys_of(rows), partitions)


def _hash(key: Any) -> int:
    """The same for keys that are equal in Python, in every process: 1, 1.0 and True are."""
    return int.from_bytes(
        blake2b(repr(_canonical(key)).encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little"
    )


def _canonical(key: Any) -> Any:
    if type(key) is tuple:
        return tuple(map(_canonical, key))
    if type(key) is bool or (type(key) is float and key.is_integer()):
        return int(key)
    return key


def _encodings(table: pa.Table) -> tuple[str, str]:
    keys, values = table.schema.metadata[_ENCODING].decode().split()
    return keys, values


def _encode(values: list[Any]) -> tuple[pa.Array, str]:
    """Values as an Arrow array, and whether they are ``exact`` or a ``pickle`` each."""
    kinds = {type(value) for value in values}
    if len(kinds) == 1 and (kind := _EXACT.get(kinds.pop())) is not None:
        try:
            return pa.array(values, kind), "exact"
        except (pa.ArrowException, OverflowError, UnicodeError):
            pass  # an int of more than 64 bits, a lone surrogate
    return pa.array([pickle.dumps(value, protocol=5) for value in values], pa.large_binary()), "pickle"


def _encode_keys(keys: list[Any]) -> tuple[pa.Array, str]:
    kinds = {type(key) for key in keys}
    if len(kinds) == 1 and kinds <= _EXACT.keys():
        array, encoding = _encode(keys)
        if encoding == "exact":
            return array, encoding
    for key in keys:
        if not _is_literal(key):
            reason = (
                f"{key!r:.100} is a {type(key).__qualname__}; keys are numbers, text, bytes, None, or tuples of them"
            )
            raise PartitionerError("key", reason)
    return pa.array([_literal(key) for key in keys], pa.large_string()), "literal"


def _is_literal(key: Any) -> bool:
    if type(key) is tuple:
        return all(map(_is_literal, key))
    return type(key) in _KEY_PARTS


def _literal(key: Any) -> str:
    """A key as text that :func:`ast.literal_eval` reads; see :func:`_without_ellipsis`."""
    if type(key) is tuple:
        return f"({''.join(f'{_literal(part)},' for part in key)})"
    if type(key) is not float or math.isfinite(key):
        return repr(key)
    if math.isnan(key):
        return _NAN
    return _INFINITY if key > 0 else f"-{_INFINITY}"


def _without_ellipsis(key: Any) -> Any:
    """What the text of a key was read as, with NaN where its sign is."""
    if type(key) is tuple:
        return tuple(map(_without_ellipsis, key))
    return math.nan if key is ... else key


def _with_one_nan(key: Any) -> Any:
    """A key in which every NaN is the same object: others are equal to nothing, and so no key twice."""
    if type(key) is tuple:
        return tuple(map(_with_one_nan, key))
    return math.nan if type(key) is float and key != key else key


def _has_nan(key: Any) -> bool:
    return any(map(_has_nan, key)) if type(key) is tuple else key is math.nan


def _rank(key: Any) -> tuple[Any, bool]:
    """What keys are sorted by, so that NaN comes after all numbers; keys that cannot be compared still cannot."""
    if type(key) is tuple:
        return tuple(map(_rank, key)), False
    return (math.inf, True) if key is math.nan else (key, False)
