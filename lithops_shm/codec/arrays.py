"""NumPy arrays out of band, whatever their dtype, order and strides.

NumPy's own support of protocol 5 leaves out datetimes, subclasses and everything that is not contiguous; those it
copies into the stream. The names `view`, `masked` and `cast` are in stored objects: they must stay importable.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from lithops_shm.codec.layout import Region
from lithops_shm.codec.pickles import INLINE_BYTES, Reducer, Regions

__all__ = ["cast", "masked", "own", "reducer", "view"]

Array = np.ndarray[Any, Any]


def reducer(cls: type) -> Reducer | None:
    """How arrays of this class leave the stream; None for other types, and classes that pickle in their own way."""
    if cls is np.ndarray:
        return _reduce
    if cls is np.ma.MaskedArray:
        return _reduce_masked
    own_way = ("__reduce__", "__reduce_ex__", "__setstate__")
    if issubclass(cls, np.ndarray) and all(getattr(cls, name) is getattr(np.ndarray, name) for name in own_way):
        return _reduce_subclass
    return None


def view(buffer: Any, dtype: np.dtype[Any], shape: tuple[int, ...], strides: tuple[int, ...] | None) -> Array:
    """The array over a buffer: a view of it, read-only where the buffer is."""
    if not isinstance(buffer, bytes):
        # NumPy looks through a memoryview, here to the mapping. Then all arrays had the same base, which pandas takes
        # to mean that they share elements (and copies intervals), and the mapping would not know that it is in use.
        buffer = np.asarray(buffer)
    array: Array = np.ndarray(shape, dtype, buffer, 0, strides)
    return array


def own(buffer: Any, dtype: np.dtype[Any], shape: tuple[int, ...], strides: tuple[int, ...] | None) -> Array:
    """What :func:`view` gives, writable: in the buffer itself if that is, else in a copy."""
    array = view(buffer, dtype, shape, strides)
    # Elements of a broadcast array share their memory: written to, they would change together.
    shared = strides is not None and 0 in strides
    return array.copy(order="K") if shared or not array.flags.writeable else array


def masked(data: Array, state: dict[str, Any]) -> np.ma.MaskedArray[Any, Any]:
    """A masked array over its data, without copying."""
    array = data.view(np.ma.MaskedArray)
    array.__dict__.update(state)
    return array


def cast(array: Array, cls: type[Array]) -> Array:
    """A view of an array as a subclass."""
    return array.view(cls)


def _reduce(array: Array, regions: Regions) -> Any:
    dtype = array.dtype
    if dtype.hasobject:
        return NotImplemented
    packed, strides = _pack(array)
    if packed.nbytes < INLINE_BYTES:
        data: Any = packed.tobytes("A")
    else:
        flat = packed.ravel(order="K").view(np.uint8).data
        data = regions.announce(Region([flat], packed.nbytes))
    return view, (data, dtype, array.shape, strides)


def _pack(array: Array) -> tuple[Array, tuple[int, ...] | None]:
    """The elements of an array in contiguous memory, and the strides that read them; None means C order.

    Nothing is copied if the array is contiguous already. Of axes along which it was broadcast only one element is kept.
    """
    shape = array.shape
    if array.flags.c_contiguous:
        return array, None
    broadcast = [stride == 0 and length > 1 for stride, length in zip(array.strides, shape, strict=True)]
    if any(broadcast):
        array = array[tuple(slice(1) if repeated else slice(None) for repeated in broadcast)]
    if not array.flags.forc:
        array = array.copy(order="K")  # in the order it has in memory, which is the fastest
        if not array.flags.forc:
            array = array.copy(order="C")
    strides = array.strides
    if any(broadcast):
        strides = tuple(0 if repeated else stride for repeated, stride in zip(broadcast, strides, strict=True))
    return array, None if array.flags.c_contiguous and not any(broadcast) else strides


def _reduce_masked(array: np.ma.MaskedArray[Any, Any], _regions: Regions) -> Any:
    return masked, (np.asarray(array.data), array.__dict__.copy())


def _reduce_subclass(array: Array, _regions: Regions) -> Any:
    return cast, (np.asarray(array), type(array))
