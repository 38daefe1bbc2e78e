"""Tables that are made where the result of a call is going to be."""

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from lithops.config import default_storage_config, extract_storage_config
from lithops.storage import InternalStorage

from lithops_shm.plugin.pointers import make_for_result, results_of_call, store_large
from lithops_shm.shuffle.gather import Gatherer
from lithops_shm.store import Store

BUCKET = "lithops"


@pytest.fixture
def section(shm_directory: Path, tmp_path: Path) -> dict[str, Any]:
    return {
        "directory": str(shm_directory),
        "spill_directory": str(tmp_path / "spill"),
        "storage_bucket": BUCKET,
        "budget_bytes": "64 MiB",
    }


@pytest.fixture
def storage(section: dict[str, Any]) -> Iterator[Any]:
    config = default_storage_config(config_data={"lithops": {"storage": "shm"}, "shm": section}, backend="shm")
    opened = InternalStorage(extract_storage_config(config))
    yield opened
    opened.storage.storage_handler.store.close()


def store_of(storage: Any) -> Store:
    store: Store = storage.storage.storage_handler.store
    return store


def rows(count: int = 100_000) -> tuple[Any, pa.Table]:
    table = pa.table({"n": np.arange(count), "s": pa.array([f"{n}" for n in range(count)])})
    order = np.arange(count)[::-1]
    return Gatherer(table).at(order), table.take(pa.array(order))


def test_a_result_that_holds_the_table_refers_to_it(storage: Any) -> None:
    data, expected = rows()
    with results_of_call(storage, "job/0"):
        table = make_for_result(data)
        assert table is not None
        assert table.equals(expected)
        pointer = store_large({"rows": table, "more": [table]}, storage, "job/0.segment")
        assert pointer is not None
        carried = pickle.dumps(pointer)
    del table
    store = store_of(storage)
    sizes = {info.key: info.size for info in store.list(BUCKET)}
    assert set(sizes) == {"job/0.segment", "job/0.made-0"}
    assert sizes["job/0.segment"] < 10_000
    found = pickle.loads(carried)
    assert found["rows"].equals(expected)
    assert found["more"] == [found["rows"]]
    store.delete_many(BUCKET, list(sizes))
    assert found["rows"].equals(expected)


def test_a_table_that_is_no_result_is_deleted(storage: Any) -> None:
    data, _ = rows()
    with results_of_call(storage, "job/0"):
        table = make_for_result(data)
        assert store_of(storage).keys(BUCKET) == ["job/0.made-0"]
        assert store_large({"part": table.slice(0, 3), "sum": 1}, storage, "job/0.segment") is None
    assert store_of(storage).keys(BUCKET) == []
    with pytest.raises(ZeroDivisionError), results_of_call(storage, "job/1"):
        make_for_result(data)
        1 / 0  # noqa: B018
    assert store_of(storage).keys(BUCKET) == []


def test_where_it_cannot_be_made_it_is_not(storage: Any) -> None:
    data, _ = rows()
    assert make_for_result(data) is None, "no call is running"
    with results_of_call(storage, "job/0"):
        assert make_for_result(rows(10)[0]) is None, "it is small"
        store_of(storage).put(BUCKET, "other", bytes(62 << 20))
        assert make_for_result(rows(500_000)[0]) is None, "memory has no room, and on disk it is no better off"
        assert store_of(storage).keys(BUCKET) == ["other"]


def test_another_storage_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    config = default_storage_config(config_data={"lithops": {"storage": "localhost"}}, backend="localhost")
    with results_of_call(InternalStorage(extract_storage_config(config)), "job/0"):
        assert make_for_result(rows()[0]) is None
