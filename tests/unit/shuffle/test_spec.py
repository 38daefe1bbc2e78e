"""What a shuffle may be asked for, and what is refused with a reason."""

import pickle
from typing import Any

import pytest

from lithops_shm import Shuffle
from lithops_shm.errors import ConfigError


@pytest.mark.parametrize(("by", "columns"), [("k", ("k",)), (["a", "b"], ("a", "b")), (("a",), ("a",)), (None, ())])
def test_key_columns(by: Any, columns: tuple[str, ...]) -> None:
    shuffle = Shuffle(by=by)
    assert shuffle.columns == columns
    assert shuffle.pairs == (by is None)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"by": ""}, None),
        ({"by": []}, "names no columns"),
        ({"by": [1]}, "names no columns"),
        ({"by": ["a", "a"]}, "names a column twice"),
        ({"by": "k", "kind": "rang"}, "did you mean 'range'"),
        ({"by": "k", "kind": 3}, "'hash', 'range', or a function"),
        ({"by": "k", "deliver": "panda"}, "did you mean 'pandas'"),
        ({"deliver": "arrow"}, "with pairs"),
        ({"by": "k", "partitions": 0}, "partitions=0 is not a whole number from 1"),
        ({"by": "k", "partitions": 2.0}, "partitions=2.0"),
        ({"by": "k", "partitions": True}, "partitions=True"),
        ({"by": "k", "retries": -1}, "retries=-1"),
        ({"by": "k", "retries": None}, "retries=None"),
        ({"by": "k", "combiner": "sum"}, "combiner='sum' is not a function"),
    ],
)
def test_what_contradicts_itself_is_refused(arguments: dict[str, Any], said: str | None) -> None:
    if said is None:  # an odd name, and a name all the same
        assert Shuffle(**arguments).columns == ("",)
        return
    with pytest.raises(ConfigError, match=said):
        Shuffle(**arguments)


def test_ranges_and_sorted_rows_need_an_order() -> None:
    assert Shuffle(by="k", kind="range").ordered
    assert Shuffle(by="k", sort=True).ordered
    assert not Shuffle(by="k").ordered


def test_it_travels() -> None:
    shuffle = Shuffle(by=["a", "b"], kind="range", sort=True, partitions=3)
    assert pickle.loads(pickle.dumps(shuffle)) == shuffle
