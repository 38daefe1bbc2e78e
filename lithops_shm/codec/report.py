"""What of a decoded object is a view of the mapping, and what is a copy: measured, by the addresses of its buffers."""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from types import FunctionType, ModuleType
from typing import Any

from lithops_shm.codec.pickles import INLINE_BYTES

__all__ = ["CopyReport", "Part"]

_ROWS = 20

# Nothing below these holds data of the object.
_OPAQUE = (str, int, float, complex, type(None), type, FunctionType, ModuleType)

# Where pandas keeps arrays outside a __dict__: datetime-like and categorical arrays, and the two kinds of sparse index,
# of which the one made of blocks would compute `indices` anew.
_HIDDEN = ("_ndarray", "indices")
_HIDDEN_BLOCKS = ("blocs", "blengths")


@dataclass(frozen=True, slots=True)
class Part:
    """One buffer of the object.

    Parameters
    ----------
    where:
        The way to it from the object: attributes, keys and columns.
    kind:
        The library that holds it, and the type of its elements.
    nbytes:
        Its size in bytes.
    viewed:
        Whether it lies in the mapping.
    """

    where: str
    kind: str
    nbytes: int
    viewed: bool


@dataclass(frozen=True, slots=True)
class CopyReport:
    """The buffers of a decoded object, in and outside the mapping. ``print`` it for a table.

    Counted are the buffers of NumPy arrays, Arrow data, pandas and Polars objects, and ``bytes``, at any depth; a
    buffer in several places counts once. Python's other objects (numbers, ``str``) are always copies and not counted.

    Parameters
    ----------
    nbytes:
        Size of the encoded object, in bytes.
    viewed_bytes, copied_bytes:
        Sum of the buffers inside, and outside, of it.
    parts:
        The buffers, in the order they were found.
    """

    nbytes: int
    viewed_bytes: int
    copied_bytes: int
    parts: tuple[Part, ...]

    @classmethod
    def measure(cls, obj: Any, view: Any) -> CopyReport:
        """Find the buffers of `obj` and see which of them lie in `view`, a buffer. Nothing is copied or kept."""
        begin, nbytes = _extent(memoryview(view))
        parts = []
        seen = set()
        for where, kind, address, size in _buffers(obj):
            if size and (address, size) not in seen:
                seen.add((address, size))
                parts.append(Part(where, kind, size, begin <= address and address + size <= begin + nbytes))
        viewed = sum(part.nbytes for part in parts if part.viewed)
        return cls(nbytes, viewed, sum(part.nbytes for part in parts) - viewed, tuple(parts))

    @property
    def zero_copy(self) -> bool:
        """Whether all buffers are views, but for those under 2 KiB, which are kept in the pickle stream."""
        return all(part.viewed or part.nbytes < INLINE_BYTES for part in self.parts)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain numbers, strings, lists and dicts, ready for JSON."""
        return {**asdict(self), "parts": [asdict(part) for part in self.parts], "zero_copy": self.zero_copy}

    def __str__(self) -> str:
        largest = sorted(self.parts, key=lambda part: -part.nbytes)[:_ROWS]
        rows = [("", f"{part.nbytes:,}", "view" if part.viewed else "COPY", part.kind, part.where) for part in largest]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [f"{self.viewed_bytes:,} bytes viewed, {self.copied_bytes:,} copied; {self.nbytes:,} stored"]
        for row in rows:
            _, size, how, kind, where = row
            lines.append(f"  {size:>{widths[1]}}  {how}  {kind:<{widths[3]}}  {where}")
        if len(self.parts) > len(largest):
            lines.append(f"  and {len(self.parts) - len(largest):,} smaller ones")
        return "\n".join(lines)


Found = tuple[str, str, int, int]
"""Where, kind, address, size in bytes."""


def _buffers(obj: Any) -> Iterator[Found]:
    """Every buffer below an object."""
    pending = deque([("", obj)])
    seen = {id(obj): obj}  # kept alive, or an id might be used again
    while pending:
        where, current = pending.popleft()
        yield from _own_buffers(where, current)
        for step, child in _children(current):
            if not isinstance(child, _OPAQUE) and id(child) not in seen:
                seen[id(child)] = child
                pending.append((where + step, child))


def _own_buffers(where: str, obj: Any) -> Iterator[Found]:
    """The buffers that an object itself holds."""
    library = _library(obj)
    if isinstance(obj, (bytes, bytearray, memoryview)):
        yield where, type(obj).__name__, *_extent(memoryview(obj))
    elif library == "numpy" and _is(obj, "numpy", "ndarray"):
        yield where, f"numpy {obj.dtype}", obj.__array_interface__["data"][0], _spanned(obj)
    elif library == "pyarrow" and _is(obj, "pyarrow", "Array"):
        for buffer in _present(obj.buffers()):
            yield where, f"arrow {obj.type}", buffer.address, buffer.size
    elif library == "pyarrow" and _is(obj, "pyarrow", "Buffer"):
        yield where, "arrow buffer", obj.address, obj.size
    elif library == "polars" and _is(obj, "polars", "Series"):
        yield from _series_buffers(where, obj)


def _series_buffers(where: str, series: Any) -> Iterator[Found]:
    import polars as pl

    kind = f"polars {series.dtype}"
    try:  # the newest types are Polars' own: what is exported are its buffers, not copies
        chunks = series.to_frame().to_arrow(compat_level=pl.CompatLevel.newest()).column(0).chunks
    except (ValueError, TypeError, NotImplementedError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        yield where, kind, id(series), series.estimated_size()  # pickled by Polars itself, which copies
        return
    for chunk in chunks:
        for part in (chunk, chunk.dictionary) if hasattr(chunk, "dictionary") else (chunk,):
            for buffer in _present(part.buffers()):
                yield where, kind, buffer.address, buffer.size


def _present(buffers: Iterable[Any]) -> list[Any]:
    return [buffer for buffer in buffers if buffer is not None]


def _children(obj: Any) -> Iterable[tuple[str, Any]]:
    """The objects directly below an object, each with the step to it."""
    if isinstance(obj, dict):
        return [(f"[{key!r}]", value) for key, value in obj.items()] + [(f"<key {key!r}>", key) for key in obj]
    if isinstance(obj, (list, tuple, deque)):
        return [(f"[{index}]", value) for index, value in enumerate(obj)]
    if isinstance(obj, (set, frozenset)):
        return [(f"<{value!r}>", value) for value in obj]
    library = _library(obj)
    if library == "pyarrow":
        return _arrow_children(obj)
    if library == "pandas" and hasattr(obj, "_mgr"):
        return _pandas_children(obj)
    if library == "polars":
        return [(f"[{column.name!r}]", column) for column in obj] if hasattr(obj, "get_columns") else []
    return _attributes(obj)


def _arrow_children(obj: Any) -> list[tuple[str, Any]]:
    if _is(obj, "pyarrow", "Table") or _is(obj, "pyarrow", "RecordBatch"):
        return [(f"[{name!r}]", column) for name, column in zip(obj.column_names, obj.columns, strict=True)]
    if _is(obj, "pyarrow", "ChunkedArray"):
        return [(f".chunk({index})", chunk) for index, chunk in enumerate(obj.chunks)]
    return [(".dictionary", obj.dictionary)] if _is(obj, "pyarrow", "DictionaryArray") else []


def _pandas_children(obj: Any) -> list[tuple[str, Any]]:
    """The blocks of a frame or series, under the names of their columns, and its axes."""
    found = [(".index", obj.index), (".attrs", obj.attrs)]
    blocks = getattr(obj._mgr, "blocks", ())
    if not hasattr(obj, "columns"):
        return [*((".array", block.values) for block in blocks), *found]
    for block in blocks:
        names = [repr(obj.columns[place]) for place in block.mgr_locs]
        found.append((f"[{', '.join(names[:3])}{', ...' if len(names) > 3 else ''}]", block.values))
    return [*found, (".columns", obj.columns)]


def _attributes(obj: Any) -> list[tuple[str, Any]]:
    """What an object keeps in its attributes, slots included."""
    found = {name: value for name, value in getattr(obj, "__dict__", {}).items() if name != "_cache"}
    for cls in type(obj).__mro__:
        slots = cls.__dict__.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(obj, name) and name not in ("__dict__", "__weakref__"):
                found[name] = getattr(obj, name)
    if _library(obj) == "pandas":
        hidden = _HIDDEN_BLOCKS if hasattr(obj, "blocs") else _HIDDEN
        found.update({name: getattr(obj, name) for name in hidden if hasattr(obj, name)})
        categories = getattr(getattr(obj, "dtype", None), "categories", None)
        if categories is not None:
            found["categories"] = categories
    elif _is_object_array(obj):
        found.update({f"flat[{index}]": value for index, value in enumerate(obj.flat)})
    return [(f".{name}", value) for name, value in found.items()]


def _library(obj: Any) -> str:
    """The library that an object's class, or the nearest of its bases that is from one we know, comes from."""
    for cls in type(obj).__mro__:
        name: str = cls.__module__.partition(".")[0]
        if name in ("numpy", "pyarrow", "pandas", "polars"):
            return name
    return ""


def _is(obj: Any, module: str, name: str) -> bool:
    return isinstance(obj, getattr(sys.modules[module], name))


def _is_object_array(obj: Any) -> bool:
    return _library(obj) == "numpy" and _is(obj, "numpy", "ndarray") and bool(obj.dtype.hasobject)


def _spanned(array: Any) -> int:
    """Bytes from the first to the last element: less than ``nbytes`` where elements share memory."""
    if not array.size:
        return 0
    steps = zip(array.shape, array.strides, strict=True)
    return int(array.itemsize + sum((length - 1) * abs(stride) for length, stride in steps))


def _extent(view: memoryview) -> tuple[int, int]:
    """Address and size in bytes of a contiguous buffer."""
    import numpy as np

    if not view.nbytes:
        return 0, 0
    return np.frombuffer(view, np.uint8).__array_interface__["data"][0], view.nbytes
