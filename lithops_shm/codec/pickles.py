"""Pickle protocol 5 with the data out of band.

Wherever they are inside an object (in a dict, a dataclass, a pandas block), NumPy arrays and Arrow data leave the
pickle stream and become buffers of their own, so that they come back as views. What is left is small, and plain pickle.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterable, Sequence
from functools import cache, lru_cache
from importlib import import_module
from pickle import PickleBuffer
from types import FunctionType, SimpleNamespace
from typing import Any

from lithops_shm.codec.layout import Region
from lithops_shm.errors import NotSerializableError

__all__ = ["INLINE_BYTES", "Regions", "dump", "load", "type_name"]

# Below this a buffer stays in the stream. Copying and checksumming 2 KiB there takes as long as the entry, the padding
# and the view that a buffer of its own costs (about 1 us for both ends together).
INLINE_BYTES = 2048

# Which room knows the types of a library. Rooms are loaded when an object of that library is met, hence after it.
_ROOMS = {"numpy": "arrays", "pandas": "frames", "polars": "frames", "pyarrow": "arrow"}

# Objects that pickle refers to by name.
_CODE = (type, FunctionType)

Reducer = Callable[[Any, "Regions"], Any]


class Regions:
    """The out-of-band buffers of one pickle, in the order in which its stream refers to them."""

    __slots__ = ("_announced", "_shared", "found")

    def __init__(self, elsewhere: Iterable[tuple[object, object]] = ()) -> None:
        self.found: list[Region] = []
        self._announced: dict[int, tuple[PickleBuffer, Region]] = {}
        self._shared: dict[int, tuple[object, Any]] = {id(data): (data, (_itself, (it,))) for data, it in elsewhere}

    def announce(self, region: Region) -> PickleBuffer:
        """A stand-in to pickle where `region` belongs; the reader is given one contiguous buffer there."""
        # Writable, or else the stream would say that whatever is put in its place must be made read-only.
        stand_in = PickleBuffer(bytearray())
        self._announced[id(stand_in)] = stand_in, region
        return stand_in

    def share(self, members: Iterable[object], whole: object, pick: Callable[[Any, int], Any]) -> None:
        """From now on pickle each of `members` as ``pick(whole, its index)``: `whole` goes out once for all of them."""
        for index, member in enumerate(members):
            self._shared[id(member)] = member, (pick, (whole, index))

    def shared(self, member: object) -> Any:
        """How to pickle an object announced with :meth:`share`; None for any other."""
        found = self._shared.get(id(member))
        return None if found is None else found[1]

    def accept(self, buffer: PickleBuffer) -> bool:
        """The pickler's callback: whether `buffer` stays in the stream."""
        announced = self._announced.pop(id(buffer), None)
        if announced is not None:
            self.found.append(announced[1])
            return False
        raw = buffer.raw()  # of a type that supports protocol 5 by itself
        if raw.nbytes < INLINE_BYTES:
            return True
        self.found.append(Region([raw], raw.nbytes))
        return False


class _Pickler(pickle.Pickler):
    """Sends data out of band; refuses what is defined in ``__main__``, which another process could not import."""

    def __init__(self, sink: Any, regions: Regions) -> None:
        # The callback belongs to `regions`: one of our own would make a cycle that keeps the data alive.
        super().__init__(sink, protocol=5, buffer_callback=regions.accept)
        self._regions = regions

    def reducer_override(self, obj: Any) -> Any:
        reduce = _reducer(type(obj))  # type: ignore[arg-type]  # types are hashable
        return NotImplemented if reduce is None else reduce(obj, self._regions)


def dump(obj: object, elsewhere: Sequence[tuple[object, object]] = ()) -> tuple[list[bytes], list[Region]]:
    """Pickle an object.

    Parameters
    ----------
    elsewhere:
        As for :func:`~lithops_shm.codec.codec.encode`.

    Returns
    -------
    The pieces of the in-band stream, and the out-of-band buffers it refers to. The buffers are views of `obj` except
    where its memory is not contiguous.

    Raises
    ------
    NotSerializableError
        When neither pickle nor cloudpickle (for lambdas, and what is defined in ``__main__``) can.
    """
    try:
        return _dump(obj, _Pickler, elsewhere)
    except MemoryError:
        raise
    except Exception as error:  # whatever the __reduce__ of some class raises
        pickler = _cloud_pickler()
        if pickler is None:
            raise _not_serializable(obj, f"{error}; with cloudpickle installed more can be stored") from error
    try:
        return _dump(obj, pickler, elsewhere)
    except MemoryError:
        raise
    except Exception as error:
        raise _not_serializable(obj, f"{error}; leave that part out, or give its class a __reduce__") from error


def load(in_band: memoryview, buffers: Iterable[memoryview], *, writable: bool = False) -> Any:
    """Unpickle what :func:`dump` made.

    Parameters
    ----------
    in_band:
        The stream; trusted.
    buffers:
        The out-of-band buffers in order. The result holds views of them.
    writable:
        Whether NumPy arrays must be writable; `buffers` must be then, too.

    Raises
    ------
    ImportError, AttributeError
        When the code of a class or function is not to be found in this process.
    """
    if not writable:
        return pickle.loads(in_band, buffers=buffers)
    return _OwningUnpickler(io.BytesIO(in_band), buffers=buffers).load()


def _itself(obj: Any) -> Any:
    """In a stream, stands for data that are elsewhere: the name must stay importable."""
    return obj


def type_name(obj: object) -> str:
    """The type of an object as errors name it."""
    cls = type(obj)
    return cls.__qualname__ if cls.__module__ == "builtins" else f"{cls.__module__}.{cls.__qualname__}"


def _dump(
    obj: object, pickler: Callable[[Any, Regions], pickle.Pickler], elsewhere: Iterable[tuple[object, object]]
) -> tuple[list[bytes], list[Region]]:
    in_band: list[bytes] = []
    regions = Regions(elsewhere)
    # The pickler writes frames of 64 KiB, and larger bytes and str objects as they are: nothing is joined or copied.
    pickler(SimpleNamespace(write=in_band.append), regions).dump(obj)
    return in_band, regions.found


@lru_cache(maxsize=1024)
def _reducer(cls: type) -> Reducer | None:
    """What to do with objects of a type before plain pickle has them; None for nothing."""
    if issubclass(cls, _CODE):
        return _by_reference
    for base in cls.__mro__:
        room = _ROOMS.get(base.__module__.partition(".")[0])
        if room is not None:
            reducer: Reducer | None = import_module(f"lithops_shm.codec.{room}").reducer(cls)
            return reducer
    return None


def _by_reference(obj: Any, _regions: Regions) -> Any:
    """Refuse what another process could not import, although pickle would write down its name."""
    if getattr(obj, "__module__", None) == "__main__":
        raise pickle.PicklingError(f"{obj.__qualname__} is defined in __main__")
    return NotImplemented


@cache
def _cloud_pickler() -> Callable[[Any, Regions], pickle.Pickler] | None:
    """The same pickler on top of cloudpickle's, which carries functions and classes by value."""
    try:
        import cloudpickle
    except ImportError:
        return None

    class CloudPickler(_Pickler, cloudpickle.Pickler):  # type: ignore[misc]
        def reducer_override(self, obj: Any) -> Any:
            reduced = NotImplemented if isinstance(obj, _CODE) else super().reducer_override(obj)
            return cloudpickle.Pickler.reducer_override(self, obj) if reduced is NotImplemented else reduced

    return CloudPickler


class _OwningUnpickler(pickle.Unpickler):
    """Gives arrays memory of their own also where their data is in the stream, which is read-only."""

    def find_class(self, module: str, name: str) -> Any:
        if module == "lithops_shm.codec.arrays" and name == "view":
            name = "own"
        return super().find_class(module, name)


def _not_serializable(obj: object, reason: str) -> NotSerializableError:
    return NotSerializableError(type_name(obj), reason)
