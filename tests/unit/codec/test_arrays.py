"""NumPy arrays come back exactly, as read-only views."""

import numpy as np
import pytest

from lithops_shm.codec import decode, decode_with_report
from lithops_shm.codec.pickles import INLINE_BYTES

N = 3 * INLINE_BYTES

DTYPES = [
    "?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "g", "F", "D", "G",
    ">i4", ">f8", ">c16", "S5", "U3", "V7", "M8[ns]", "M8[us]", "M8[s]", "M8[D]", "m8[ns]", "m8[25s]", ">M8[ms]",
    "M8", "m8", "S0", "U0", "V0",
    [("a", "i4"), ("b", "f8", (2, 3)), ("c", "M8[us]")],
    {"names": ["x", "y"], "formats": ["u1", "i8"], "offsets": [0, 8], "itemsize": 32},
    np.dtype([("a", "u1"), ("b", "i8")], align=True),
]  # fmt: skip


@pytest.mark.parametrize("size", [0, 3, N], ids=["empty", "inline", "out-of-band"])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_dtypes(round_trip, dtype, size):
    dtype = np.dtype(dtype)
    random = np.random.default_rng(0).integers(0, 64, size * dtype.itemsize, dtype=np.uint8)
    array = np.ndarray(size, dtype, random) if dtype.itemsize else np.zeros(size, dtype)
    found = round_trip(array)
    assert not found.flags.writeable


LAYOUTS = {
    "0-d": np.array(1.5),
    "C": np.arange(N).reshape(2, -1),
    "F": np.asfortranarray(np.arange(N).reshape(2, -1)),
    "transposed": np.arange(2 * 3 * N).reshape(2, 3, N).transpose(1, 0, 2),
    "step": np.arange(N)[::2],
    "reversed": np.arange(N)[::-1],
    "columns": np.arange(4 * N).reshape(N, 4)[:, 1:3],
    "columns of F": np.asfortranarray(np.arange(4 * N).reshape(N, 4))[5:-5, 1:3],
    "broadcast": np.broadcast_to(np.arange(3), (N, 3)),
    "broadcast scalar": np.broadcast_to(np.float64(7), (4, 5)),
    "broadcast in the middle": np.broadcast_to(np.arange(N).reshape(2, 1, -1), (2, 6, N // 2)),
    "broadcast of a transposed": np.broadcast_to(np.arange(2 * N).reshape(N, 2).T, (3, 2, N)),
    "no elements": np.empty((3, 0, 5)),
    "no elements, broadcast": np.broadcast_to(np.empty((0, 1)), (0, 9)),
    "length 1": np.arange(N).reshape(1, N, 1)[:, ::3],
    "field": np.zeros(N, [("a", "i4"), ("b", "f8")])["b"],
}


@pytest.mark.parametrize("array", LAYOUTS.values(), ids=LAYOUTS)
def test_layouts(round_trip, array):
    round_trip(array)


TINY = {"broadcast", "broadcast scalar"}  # little is left to store


@pytest.mark.parametrize("name", [name for name in LAYOUTS if not name.startswith(("0-d", "no ")) and name not in TINY])
def test_large_arrays_are_views_in_any_layout(stored, name):
    found, report = decode_with_report(stored(LAYOUTS[name]))
    assert report.zero_copy
    assert report.viewed_bytes
    assert not found.flags.writeable


def test_a_broadcast_array_is_stored_once(stored):
    view = stored(np.broadcast_to(np.arange(1000.0), (10_000, 1000)))
    assert len(view) < 9000
    assert decode(view).strides == (0, 8)


@pytest.mark.parametrize("array", LAYOUTS.values(), ids=LAYOUTS)
def test_a_writable_copy_can_be_written_to(stored, array):
    view = stored(array)
    before = bytes(view)
    found = decode(view, writable=True)
    assert found.flags.writeable
    if found.size:
        found[(0,) * found.ndim] += 1
        assert (found != array).sum() == 1, "elements must not share memory"
    assert bytes(view) == before


def test_a_view_refuses_to_be_written_to(stored):
    for array in (np.arange(N), np.arange(3)):
        with pytest.raises(ValueError, match="read-only"):
            decode(stored(array))[0] = 1


def test_a_read_only_array_is_writable_in_a_copy(stored):
    array = np.arange(N)
    array.flags.writeable = False
    decode(stored(array), writable=True)[0] = 1


MASKED = {
    "no mask": np.ma.array(np.arange(N)),
    "mask": np.ma.array(np.arange(N), mask=np.arange(N) % 3 == 0, fill_value=-7),
    "hard": np.ma.array([1, 2, 3], mask=[0, 1, 0], hard_mask=True),
    "structured": np.ma.array([(1, 2.0), (3, 4.0)], mask=[(0, 1), (1, 0)], dtype="i4,f8"),
    "datetime": np.ma.array(np.arange(N).astype("M8[s]"), mask=np.arange(N) % 2),
    "object": np.ma.array([1, "1", None], mask=[0, 0, 1], dtype=object),
}


@pytest.mark.parametrize("array", MASKED.values(), ids=MASKED)
def test_masked_arrays(round_trip, stored, array):
    round_trip(array)
    writable = decode(stored(array), writable=True)
    writable[1] = writable[0]


class Labelled(np.ndarray):
    """A subclass that pickles as NumPy's own do."""


SUBCLASSES = {
    "matrix": np.arange(2.0 * N).reshape(2, -1).view(np.matrix),
    "recarray": np.rec.array(np.zeros(N, [("a", "i4"), ("b", "f8")])),
    "own": np.arange(N).view(Labelled),
    "of objects": np.array([1, "1"], dtype=object).view(Labelled),
}


@pytest.mark.parametrize("array", SUBCLASSES.values(), ids=SUBCLASSES)
def test_subclasses(round_trip, stored, array):
    round_trip(array)
    assert decode_with_report(stored(array))[1].zero_copy or array.dtype.hasobject


def test_memory_maps(stored, tmp_path):
    array = np.memmap(tmp_path / "file", "f8", "w+", shape=(N,))
    array[:] = np.arange(N)
    found = decode(stored(array))
    assert type(found) is np.memmap
    assert np.array_equal(found, array)


def test_objects_keep_their_types(round_trip):
    nan = float("nan")
    array = np.array(
        [1, "1", 1.0, True, None, nan, np.nan, np.datetime64("NaT", "s"), np.float32(1), b"1", np.arange(N)], object
    )
    round_trip(array.reshape(11, 1))


def test_shared_arrays_stay_shared(stored):
    array = np.arange(N)
    first, second = decode(stored([array, array]))
    assert first is second


def test_scalars_and_dtypes(round_trip):
    round_trip([np.float32(1.5), np.datetime64("2020", "ns"), np.bool_(True), np.dtype("M8[us]"), np.str_("x")])
