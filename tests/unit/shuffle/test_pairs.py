"""Pairs as tables, and back."""

from typing import Any

import pytest

from lithops_shm import Shuffle
from lithops_shm.errors import PartitionerError
from lithops_shm.shuffle.pairs import collect, grouped, keys_of, of_tables


def back(pairs: list[tuple[Any, Any]], *, in_order: bool = False) -> dict[Any, list[Any]]:
    return grouped([collect(iter(pairs), 0, None)], in_order=in_order)


@pytest.mark.parametrize(
    "pairs",
    [
        [("a", 1), ("b", 2), ("a", 3)],
        [(1, "x"), (2, "y")],
        [(1.5, b"x"), (-0.0, b"")],
        [(b"k", True), (b"", False)],
        [(True, None), (False, None)],
        [(("a", 1), 1), (("b", (2, None)), 2)],
        [(None, 1), ("None", 2)],
        [(1, 1), ("1", 2), (1.5, 3)],  # keys of several types
        [("k", 1), ("k", "one"), ("k", [1]), ("k", {"a": {1}})],  # and values
        [(2**70, 2**70)],
        [("k", float("inf"))],
        [("\ud800", "\ud800")],
    ],
)
def test_pairs_come_back_as_they_were(pairs: list[tuple[Any, Any]]) -> None:
    expected: dict[Any, list[Any]] = {}
    for key, value in pairs:
        expected.setdefault(key, []).append(value)
    found = back(pairs)
    assert found == expected
    assert [type(key) for key in found] == [type(key) for key in expected]
    assert [[type(value) for value in values] for values in found.values()] == (
        [[type(value) for value in values] for values in expected.values()]
    )


def test_nothing_is_no_table() -> None:
    assert collect(None, 0, None) is None
    assert collect([], 0, None) is None


def test_a_combiner_leaves_one_value_for_each_key() -> None:
    table = collect(((number % 3, 1) for number in range(10_000)), 0, lambda key, values: sum(values))
    assert table.num_rows == 3
    assert grouped([table], in_order=True) == {0: [3334], 1: [3333], 2: [3333]}


def test_values_are_in_the_order_of_mappers() -> None:
    tables = [collect([("k", number), (number, 0)], number, None) for number in range(4)]
    assert grouped(tables, in_order=False)["k"] == [0, 1, 2, 3]


def test_keys_in_order() -> None:
    assert list(back([("b", 1), ("a", 1), ("c", 1)], in_order=True)) == ["a", "b", "c"]
    with pytest.raises(PartitionerError, match=r"cannot be put in order.*sort=False"):
        back([(1, 1), ("a", 1)], in_order=True)


def test_keys_are_told_apart_by_type_in_the_table() -> None:
    assert keys_of(collect([(("a", 1), 0), (("a", 2), 0)], 0, None)) == [("a", 1), ("a", 2)]


def nan() -> float:
    return float("nan")  # a new object


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([(nan(), 1), (1.0, 2), (nan(), 3)], [("nan", [1, 3]), ("1.0", [2])]),
        ([(nan(), 1), ("x", 2), (-nan(), 3)], [("nan", [1, 3]), ("'x'", [2])]),
        ([((1, nan()), 1), ((1, nan()), 2), ((1, 2.0), 3)], [("(1, nan)", [1, 2]), ("(1, 2.0)", [3])]),
        ([((1, (nan(),)), 1), ((1, (nan(),)), 2)], [("(1, (nan,))", [1, 2])]),
        (
            [(("x", float("inf")), 1), ((-float("inf"),), 2), ((), 3)],
            [("('x', inf)", [1]), ("(-inf,)", [2]), ("()", [3])],
        ),
    ],
)
def test_all_that_is_no_number_is_one_key(pairs: list[tuple[Any, Any]], expected: list[tuple[str, list[int]]]) -> None:
    assert [(repr(key), values) for key, values in back(pairs).items()] == expected
    tables = [collect([pair], number, None) for number, pair in enumerate(pairs)]  # each of another mapper
    assert [(repr(key), values) for key, values in grouped(tables, in_order=False).items()] == expected
    hashes = {text: set() for text, _ in expected}  # type: dict[str, set[int]]
    for table, (key, _) in zip(tables, pairs, strict=True):
        hashes[repr(key)].add(table["hash"][0].as_py())
    assert [len(each) for each in hashes.values()] == [1] * len(expected)


def test_what_is_no_number_is_combined() -> None:
    table = collect([(nan(), 1), (nan(), 2), (2.0, 5)], 0, lambda key, values: sum(values), ranges=True)
    assert table["value"].to_pylist() == [3, 5]


def test_what_is_no_number_is_last_in_order() -> None:
    pairs = [(key, 0) for key in (3.0, nan(), 1.0, nan(), float("inf"), 2.0)]
    assert list(map(repr, back(pairs, in_order=True))) == ["1.0", "2.0", "3.0", "inf", "nan"]
    pairs = [((1, nan()), 0), ((2, 0.5), 0), ((1, 7.0), 0), ((1, nan()), 0), ((0, nan()), 0), ((1,), 0)]
    assert list(map(repr, back(pairs, in_order=True))) == ["(0, nan)", "(1,)", "(1, 7.0)", "(1, nan)", "(2, 0.5)"]
    with pytest.raises(PartitionerError, match="cannot be put in order"):
        back([(nan(), 1), ("a", 1)], in_order=True)


def hash_of(key: Any, *others: Any) -> int:
    table = collect([(each, 0) for each in (key, *others)], 0, None)
    found: int = table["hash"][0].as_py()
    return found


def test_equal_keys_meet_whatever_else_a_mapper_gives() -> None:
    assert hash_of("a") == hash_of("a", 1) == hash_of("a", ("b", 2))
    assert hash_of(1) == hash_of(1.0) == hash_of(True) == hash_of(1, "x")
    assert hash_of(("a", 1)) == hash_of(("a", 1.0))
    assert hash_of("1") != hash_of(1)
    assert hash_of("a") == 0xE9FB70C27214839F  # the same for ever: mappers may run anywhere


def test_ranges_need_keys_of_one_type() -> None:
    assert collect([("a", 1), ("b", 2)], 0, None, ranges=True).column_names == ["key", "value"]
    with pytest.raises(PartitionerError, match="several types, or tuples"):
        collect([("a", 1), (1, 2)], 0, None, ranges=True)


def test_a_partition_function_gets_keys() -> None:
    asked = []

    def by_length(keys: list[Any], partitions: int) -> list[int]:
        asked.append(keys)
        return [len(key) % partitions for key in keys]

    shuffle = of_tables(Shuffle(kind=by_length, partitions=2))
    table = collect([("a", 1), (("x", 2), 2), ("abc", 3)], 0, None)
    assert shuffle.kind(table.select(list(shuffle.columns)), 2) == [1, 0, 1]  # type: ignore[operator]
    assert asked == [["a", ("x", 2), "abc"]]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["ab"], r"mapper 7 gave a str; with Shuffle\(by=None\) it yields \(key, value\)"),
        ([(1, 2, 3)], "mapper 7 gave a tuple"),
        ([([1], 2)], r"mapper 7 gave \[1\], which is not hashable"),
        ([(frozenset({1}), 2)], "is a frozenset; keys are numbers, text"),
    ],
)
def test_what_cannot_be_is_refused(given: list[Any], said: str) -> None:
    with pytest.raises(PartitionerError, match=said):
        collect(given, 7, None)
