"""Sorting packed words: every way gives what NumPy's own sort gives."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from lithops_shm.shuffle import packed as module
from lithops_shm.shuffle.packed import block_sort, sort

LOW = 20  # bits, for the numbers of up to 2**20 rows


def packed(keys: Any) -> Any:
    """Keys of up to 44 bits, each with the number of its row below it."""
    return (np.asarray(keys, np.uint64) << np.uint64(LOW)) | np.arange(len(keys), dtype=np.uint64)


def runs(rows: int, count: int) -> Any:
    keys = np.random.default_rng(3).integers(0, 1 << 40, rows)
    return np.concatenate([np.sort(part) for part in np.array_split(keys, count)])


def sort_where_the_quicksort_is(fast: bool) -> Callable[[Any, int], None]:
    """`sort` as it is on machines of either kind, whichever this is."""

    def way(words: Any, above: int) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, "_quicksort_is_fast", lambda: fast)
            sort(words, above)

    return way


WAYS = {"fast": sort_where_the_quicksort_is(True), "slow": sort_where_the_quicksort_is(False), "blocks": block_sort}

KEYS: dict[str, Any] = {
    "none": [],
    "one": [5],
    "equal": np.full(5_000, 7),
    "zeros": np.zeros(5_000, int),
    "descending": np.arange(5_000)[::-1],
    "few": np.random.default_rng(1).integers(0, 3, 50_000),
    "all bits": np.random.default_rng(2).integers(0, 1 << 44, 50_000),
    "a far one": np.append(np.random.default_rng(4).integers(0, 99, 5_000), (1 << 44) - 1),
    "one run": runs(300_000, 1),
    "few runs": runs(300_000, 9),
    "many runs": runs(300_000, 500),
    "several blocks": np.random.default_rng(5).integers(0, 1 << 44, 300_000),
}


@pytest.mark.parametrize("name", KEYS)
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_every_way_sorts(way: Callable[[Any, int], None], name: str) -> None:
    words = packed(KEYS[name])
    expected = np.sort(words)
    way(words, LOW)
    assert np.array_equal(words, expected)


@pytest.mark.parametrize("name", ["few", "one run", "few runs", "many runs", "several blocks"])
@pytest.mark.parametrize(("fast", "most"), [(True, 8), (False, 128)])
def test_the_way_is_that_of_the_machine(fast: bool, most: int, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    words = packed(KEYS[name])
    runs_of_words = 1 + np.count_nonzero(words[1:] < words[:-1])
    by_blocks = []
    monkeypatch.setattr(module, "_quicksort_is_fast", lambda: fast)
    monkeypatch.setattr(module, "block_sort", lambda words, above: by_blocks.append(above))
    sort(words, LOW)
    assert by_blocks == ([LOW] if not fast and runs_of_words > most else [])


@pytest.mark.parametrize("keys", [np.arange(50_000), np.random.default_rng(7).integers(0, 1 << 44, 5_000)])
def test_nothing_is_tried_for_what_costs_less(keys: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_quicksort_is_fast", lambda: pytest.fail("it was tried"))
    words = packed(keys)
    expected = np.sort(words)
    sort(words, LOW)
    assert np.array_equal(words, expected)


def test_how_fast_the_quicksort_is_is_tried_once() -> None:
    first = module._quicksort_is_fast()
    assert isinstance(first, bool)
    assert module._quicksort_is_fast.cache_info().currsize == 1


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_numbers_of_64_bits_are_sorted(way: Callable[[Any, int], None]) -> None:
    words = np.random.default_rng(6).integers(0, 1 << 64, 200_000, np.uint64)
    expected = np.sort(words)
    way(words, 0)
    assert np.array_equal(words, expected)
