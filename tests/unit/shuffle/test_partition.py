"""Rows to buckets."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from lithops_shm.errors import PartitionerError
from lithops_shm.shuffle.partition import bucket_order, bucket_positions, buckets_by_function, buckets_by_hash

KEYS = pa.table({"k": pa.array(range(10_000))})


def test_hash_uses_all_buckets_evenly() -> None:
    for buckets in (1, 3, 16, 255):
        counts = np.bincount(buckets_by_hash(KEYS, ("k",), buckets), minlength=buckets)
        assert len(counts) == buckets
        assert counts.min() > 0.5 * counts.mean()


def test_rows_keep_their_order_within_a_bucket() -> None:
    numbers = np.array([2, 0, 1, 0, 2, 2, 1])
    assert bucket_order(numbers, 3).tolist() == [1, 3, 2, 6, 0, 4, 5]
    assert bucket_positions(numbers, 4).tolist() == [0, 2, 4, 7, 7]


@pytest.mark.parametrize("buckets", [1, 256, 257, 65_536, 65_537])
def test_any_number_of_buckets_is_sorted(buckets: int) -> None:
    numbers = np.random.default_rng(0).integers(0, buckets, 1000)
    assert (np.diff(numbers[bucket_order(numbers, buckets)]) >= 0).all()


def of(answer: Any) -> Any:
    def function(rows: Any, buckets: int) -> Any:
        if isinstance(answer, Exception):
            raise answer
        return answer

    return function


@pytest.mark.parametrize(
    "answer",
    [[0, 1, 2], (2, 1, 0), np.array([0, 0, 0], np.uint8), pa.array([1, 1, 1]), pa.chunked_array([[1], [2, 0]])],
)
def test_a_function_may_answer_with_any_integers(answer: Any) -> None:
    assert buckets_by_function(of(answer), None, 3, 3).dtype == np.int64


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ([0, 1, 3], r"function function: it gave 3 for row 2, with partitions 0 to 2"),
        ([0, -1, 1], "it gave -1 for row 1"),
        ([0.0, 1.0, 1.0], "it gave float64, not integers"),
        ([True, False, True], "it gave bool, not integers"),
        (["a", "b", "c"], "not integers"),
        ([0, None, 1], "not integers"),
        (pa.array([0, None, 1]), "not integers"),
        ([0, 1], r"it gave shape \(2,\) for 3 rows"),
        (1, r"it gave shape \(\) for 3 rows"),
        (ZeroDivisionError("oh"), "it raised ZeroDivisionError: oh"),
    ],
)
def test_a_function_that_is_wrong_is_told_how(answer: Any, said: str) -> None:
    with pytest.raises(PartitionerError, match=said):
        buckets_by_function(of(answer), None, 3, 3)
