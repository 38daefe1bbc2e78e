"""Storing an object unless there is one: of many writers one stores, whoever and wherever they are."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from lithops_shm.config import StoreSettings
from lithops_shm.errors import InvalidKeyError
from lithops_shm.store import Store, reclaim


@pytest.fixture
def settings(shm_directory: Path, tmp_path: Path) -> StoreSettings:
    return StoreSettings(directory=str(shm_directory), spill_directory=str(tmp_path / "spill"))


@pytest.fixture
def store(settings: StoreSettings) -> Iterator[Store]:
    with Store.open(settings) as store:
        yield store


def test_the_first_stays(store: Store) -> None:
    info = store.put_if_absent("b", "k", [b"fir", b"st"])
    assert info == store.head("b", "k")
    assert store.put_if_absent("b", "k", b"second") is None
    assert store.read("b", "k") == b"first"
    store.delete("b", "k")
    assert store.put_if_absent("b", "k", b"third") is not None
    assert store.read("b", "k") == b"third"
    with pytest.raises(InvalidKeyError):
        store.put_if_absent("b", "", b"x")


def test_a_writer_that_comes_second_leaves_nothing(store: Store) -> None:
    """It began when there was nothing yet."""
    before = store.put("b", "other", b"x" * 5000)
    in_use = store.bytes_in_use
    with store.create("b", "k") as writer:
        writer.write(b"slow" * 5000)
        store.put("b", "k", b"fast")
        with pytest.raises(FileExistsError):
            writer.seal(if_absent=True)
    assert store.read("b", "k") == b"fast"
    assert store.head("b", "other") == before
    assert os.listdir(f"{store.session.directory}/tmp") == []
    store.delete("b", "k")
    store.trim()
    assert store.bytes_in_use == in_use


def test_an_object_of_another_session_counts_too(settings: StoreSettings, store: Store) -> None:
    with Store.open(replace(settings, lifetime="kept")) as kept:
        assert store.put_if_absent("b", "k", b"session") is not None
        assert kept.put_if_absent("b", "k", b"kept") is None
        assert kept.put_if_absent("b", "k2", b"kept") is not None
        assert store.put_if_absent("b", "k2", b"session") is None
        assert (store.read("b", "k"), store.read("b", "k2")) == (b"session", b"kept")
    reclaim(settings, kept=True)


def test_an_object_on_disk_counts_too(settings: StoreSettings) -> None:
    with Store.open(replace(settings, budget_bytes=0)) as store:
        info = store.put_if_absent("b", "k", b"x" * 10_000)
        assert info is not None
        assert info.spilled
        assert store.put_if_absent("b", "k", b"y") is None


def test_of_many_threads_one_stores(store: Store) -> None:
    start = threading.Barrier(16)

    def put(number: int) -> bool:
        start.wait()
        return store.put_if_absent("b", "k", b"%d" % number) is not None

    with ThreadPoolExecutor(16) as pool:
        for _ in range(20):
            stored = list(pool.map(put, range(16)))
            assert sum(stored) == 1
            assert store.read("b", "k") == b"%d" % stored.index(True)
            store.delete("b", "k")


def test_of_many_processes_one_stores(store: Store) -> None:
    for turn in range(5):
        go, ready = os.pipe()
        children = []
        for number in range(8):
            pid = os.fork()
            if pid == 0:
                status = 2
                try:
                    os.close(ready)
                    os.read(go, 1)  # until the parent lets go of its end
                    status = 0 if store.put_if_absent("b", f"k{turn}", b"%d" % number) is not None else 1
                finally:
                    os._exit(status)
            children.append(pid)
        os.close(ready)
        os.close(go)
        statuses = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
        assert sorted(statuses) == [0] + [1] * 7
        assert store.read("b", f"k{turn}") == b"%d" % statuses.index(0)
