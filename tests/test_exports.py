"""What the package promises by name."""

import inspect
import pickle

import pytest

import lithops_shm
from lithops_shm import errors

KINDS = [kind for kind in vars(errors).values() if inspect.isclass(kind) and issubclass(kind, errors.ShmError)]
SAMPLES = {
    errors.SegmentNotFoundError: ("bucket", "key"),
    errors.InvalidKeyError: ("key", "\0", "a reason"),
    errors.InvalidRangeError: ("bytes=x", "a reason"),
    errors.SegmentCorruptError: ("bucket/key", "a reason"),
    errors.StoreFullError: (28, "the store is full"),
    errors.SessionLostError: ("abc",),
    errors.UnsafeDirectoryError: ("/a/b", "a reason"),
    errors.NotSerializableError: ("socket", "a reason"),
    errors.LayoutVersionError: (9, 1),
}


def test_all_is_what_is_exported() -> None:
    for name in lithops_shm.__all__:
        assert getattr(lithops_shm, name) is not None
    assert set(lithops_shm.__all__) <= set(dir(lithops_shm))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = lithops_shm.nothing
    assert sorted(errors.__all__) == sorted(kind.__name__ for kind in KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_errors_pickle_and_say_something(kind: type[errors.ShmError]) -> None:
    error = kind(*SAMPLES.get(kind, ("a sentence",)))
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is kind
    assert str(again) == str(error) != ""
    assert kind.__name__.endswith("Error")


def test_codes_are_unique() -> None:
    codes = [kind.code for kind in KINDS]
    assert len(set(codes)) == len(codes)


def test_a_long_key_does_not_flood_a_message() -> None:
    assert len(str(errors.SegmentNotFoundError("b", "k" * 5000))) < 250
