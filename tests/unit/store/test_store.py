"""The store's promises, one process at a time."""

import io
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lithops_shm.config import StoreSettings
from lithops_shm.errors import (
    InvalidKeyError,
    InvalidRangeError,
    SegmentNotFoundError,
    StoreError,
    StoreFullError,
    UnsafeDirectoryError,
)
from lithops_shm.store import InPlace, Store, inspect, reclaim

HOSTILE = [
    "..",
    "../../x",
    "/lead",
    "a//b",
    "x\0y",
    "n\nl",
    "\U0001f600",
    "k" * 5000,
    ".hidden",
    "q[1]",
    "t/",
    "%",
    "a@",
]


@pytest.fixture
def settings(shm_directory: Path, tmp_path: Path) -> StoreSettings:
    return StoreSettings(directory=str(shm_directory), spill_directory=str(tmp_path / "spill"))


@pytest.fixture
def store(settings: StoreSettings) -> Iterator[Store]:
    with Store.open(settings) as store:
        yield store


def test_put_head_read_attach_delete(store: Store) -> None:
    info = store.put("b", "k", [b"hello ", memoryview(b"world")])
    assert (info.size, info.spilled, info.session) == (11, False, store.session.id)
    assert store.head("b", "k") == info
    assert store.read("b", "k") == b"hello world"
    assert store.attach("b", "k").view == b"hello world"
    assert store.delete("b", "k") is True
    assert store.delete("b", "k") is False
    with pytest.raises(SegmentNotFoundError):
        store.read("b", "k")


@pytest.mark.parametrize(
    ("start", "stop", "expected"),
    [(0, None, b"0123456789"), (3, 5, b"34"), (8, 99, b"89"), (20, None, b""), (4, 4, b"")],
)
def test_ranges(store: Store, start: int, stop: int | None, expected: bytes) -> None:
    store.put("b", "k", b"0123456789")
    assert store.read("b", "k", start, stop) == expected


@pytest.mark.parametrize(("start", "stop"), [(-1, None), (5, 4)])
def test_bad_ranges(store: Store, start: int, stop: int | None) -> None:
    store.put("b", "k", b"0123456789")
    with pytest.raises(InvalidRangeError):
        store.read("b", "k", start, stop)


@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_keys_work_and_stay_inside(shm_directory: Path, settings: StoreSettings, key: str) -> None:
    shm_directory.mkdir(mode=0o700)
    with Store.open(replace(settings, directory=str(shm_directory / "store"))) as store:
        store.put("../b", key, key.encode())
        assert store.read("../b", key) == key.encode()
        assert store.keys("../b") == [key]
        assert [info.key for info in store.list("../b", key[:2])] == [key]
        assert store.keys("../b", key + "x") == []
        assert store.delete("../b", key)
        assert store.keys("../b") == []
        assert os.listdir(shm_directory) == ["store"]
        assert {len(os.listdir(f"{store.session.directory}/{name}")) for name in ("tmp", "pool")} == {0}
    shm_directory.rmdir()


@pytest.mark.parametrize("key", ["", "\ud800"])
def test_impossible_keys(store: Store, key: str) -> None:
    with pytest.raises(InvalidKeyError):
        store.put("b", key, b"x")


def test_a_key_beside_a_directory_of_its_name(store: Store) -> None:
    for key in ("a", "a/b", "a/b/c"):
        store.put("b", key, key.encode())
    assert store.keys("b") == ["a", "a/b", "a/b/c"]
    store.delete("b", "a/b")
    assert store.keys("b", "a/") == ["a/b/c"]


def test_listing_is_by_text_prefix(store: Store) -> None:
    names = ["foo/bar", "foo/baz", "foo_bar", "fo", "g"]
    for name in names:
        store.put("b", name, b"")
    assert store.keys("b", "foo") == ["foo/bar", "foo/baz", "foo_bar"]
    assert store.keys("b", "foo/") == ["foo/bar", "foo/baz"]
    assert store.keys("b") == sorted(names)
    assert store.delete_many("b", [*names, "absent"]) == 5


def test_buckets(store: Store) -> None:
    with pytest.raises(SegmentNotFoundError, match="no bucket"):
        store.list("absent")
    with pytest.raises(SegmentNotFoundError, match="no bucket"):
        store.attach("absent", "k")
    store.create_bucket("empty")
    assert store.keys("empty") == []
    store.put("full", "k", b"")
    assert store.buckets() == ["empty", "full"]
    with pytest.raises(StoreError, match="holds objects"):
        store.delete_bucket("full")
    store.delete_bucket("empty")
    assert not store.has_bucket("empty")


def test_a_mapping_outlives_overwrite_delete_and_close(settings: StoreSettings) -> None:
    with Store.open(settings) as store:
        old = os.urandom(1 << 20)
        store.put("b", "k", old)
        view = store.attach("b", "k").view
        for _ in range(5):
            store.put("b", "k", os.urandom(1 << 20))
        store.delete("b", "k")
    assert view == old
    assert view.readonly


def test_a_writer_that_does_not_seal_leaves_nothing(store: Store) -> None:
    with store.create("b", "k") as writer:
        writer.write(b"partial")
    with pytest.raises(SegmentNotFoundError):
        store.head("b", "k")
    with pytest.raises(RuntimeError), store.create("b", "k") as writer:
        writer.write(b"partial")
        raise RuntimeError
    assert os.listdir(f"{store.session.directory}/tmp") == []
    with pytest.raises(StoreError, match="sealed or dropped"):
        writer.write(b"late")


def test_streams(store: Store) -> None:
    data = os.urandom(9 << 20)
    assert store.put_stream("b", "k", io.BytesIO(data)).size == len(data)
    assert store.read("b", "k") == data


class TestPages:
    SIZE = 8 << 20

    def pool(self, store: Store) -> list[str]:
        return os.listdir(f"{store.session.directory}/pool")

    def test_pages_of_an_overwritten_segment_are_used_again(self, store: Store) -> None:
        store.put("b", "k", bytes(self.SIZE))
        inode = os.stat(f"{store.session.directory}/data/b/k@").st_ino
        store.put("b", "k", b"")
        assert len(self.pool(store)) == 1
        data = os.urandom(self.SIZE - 12345)
        store.put("b", "other", data)
        assert os.stat(f"{store.session.directory}/data/b/other@").st_ino == inode
        assert store.read("b", "other") == data
        assert self.pool(store) == []

    def test_pages_that_are_mapped_are_not(self, store: Store) -> None:
        data = os.urandom(self.SIZE)
        store.put("b", "k", data)
        view = store.attach("b", "k").view
        store.delete("b", "k")
        store.put("b", "other", os.urandom(self.SIZE))
        assert view == data
        assert len(self.pool(store)) == 1
        del view
        store.put("b", "third", os.urandom(self.SIZE))
        assert self.pool(store) == []

    def test_a_forked_child_that_maps_counts(self, store: Store) -> None:
        data = os.urandom(self.SIZE)
        store.put("b", "k", data)
        view = store.attach("b", "k").view
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writer)
            os.read(reader, 1)
            os._exit(0 if view == data else 1)
        del view
        store.delete("b", "k")
        store.put("b", "other", os.urandom(self.SIZE))
        os.close(writer)
        os.close(reader)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    def test_larger_segments_continue_on_fresh_pages(self, store: Store) -> None:
        store.put("b", "k", bytes(self.SIZE))
        store.delete("b", "k")
        data = os.urandom(self.SIZE * 2 + 77)
        store.put("b", "k", data)
        assert store.read("b", "k") == data

    def test_the_pool_is_bounded_and_can_be_off(self, settings: StoreSettings) -> None:
        with Store.open(replace(settings, pool_bytes=self.SIZE)) as store:
            for key in "abc":
                store.put("b", key, bytes(self.SIZE))
            store.delete_many("b", "abc")
            assert len(self.pool(store)) == 1
        with Store.open(replace(settings, pool_bytes=0)) as store:
            store.put("b", "k", bytes(self.SIZE))
            store.delete("b", "k")
            assert self.pool(store) == []


class TestBudget:
    def test_beyond_the_cap_segments_spill_and_read_the_same(self, settings: StoreSettings) -> None:
        with Store.open(replace(settings, budget_bytes=1 << 20)) as store:
            objects = {f"k{i}": os.urandom(300_000) for i in range(8)}
            infos = [store.put("b", key, data) for key, data in objects.items()]
            assert [info.spilled for info in infos] == [False] * 3 + [True] * 5
            for key, data in objects.items():
                assert store.read("b", key) == data
                assert store.attach("b", key).view == data
            assert store.keys("b") == sorted(objects)
            report = inspect(settings)
            assert report.memory_bytes < 1 << 20 < report.spilled_bytes
            store.delete_many("b", ["k0", "k1", "k2"])
            assert store.put("b", "k7", b"small again").spilled is False
            assert store.read("b", "k7") == b"small again"
            assert store.keys("b") == ["k3", "k4", "k5", "k6", "k7"]
        assert not Path(str(settings.spill_directory)).exists() or not os.listdir(str(settings.spill_directory))

    def test_a_stream_that_outgrows_the_cap_moves_on(self, settings: StoreSettings) -> None:
        with Store.open(replace(settings, budget_bytes=6 << 20)) as store:
            data = os.urandom(20 << 20)
            assert store.put_stream("b", "k", io.BytesIO(data)).spilled
            assert store.read("b", "k") == data

    def test_the_first_that_spills_is_found_by_who_has_looked_before(self, settings: StoreSettings) -> None:
        settings = replace(settings, budget_bytes=0)
        with Store.open(settings) as one, Store.open(settings) as other:
            assert not one.has_bucket("b")
            assert other.put("b", "k", b"x").spilled
            assert one.read("b", "k") == b"x"

    def test_without_spill_it_is_an_error_with_numbers(self, settings: StoreSettings) -> None:
        with Store.open(replace(settings, budget_bytes=1 << 20, spill=False)) as store:
            store.put("b", "k", b"kept")
            with pytest.raises(StoreFullError, match=r"2,097,152 bytes.*cap \(budget_bytes\) is 1,048,576"):
                store.put("b", "k", bytes(2 << 20))
            assert store.read("b", "k") == b"kept"
            assert os.listdir(f"{store.session.directory}/tmp") == []

    def test_deleting_gives_the_budget_back(self, settings: StoreSettings) -> None:
        with Store.open(replace(settings, budget_bytes=1 << 20, spill=False)) as store:
            for _ in range(20):
                store.put("b", "k", bytes(400_000))
                store.put("b", "k", bytes(500_000))
                store.delete("b", "k")


class TestDirectory:
    def test_a_link_is_refused(self, shm_directory: Path, tmp_path: Path) -> None:
        shm_directory.symlink_to(tmp_path)
        with pytest.raises(UnsafeDirectoryError, match="symbolic link"):
            Store.open(StoreSettings(directory=str(shm_directory)))
        shm_directory.unlink()

    def test_a_directory_open_to_others_is_refused(self, shm_directory: Path) -> None:
        shm_directory.mkdir(mode=0o755)
        shm_directory.chmod(0o755)
        with pytest.raises(UnsafeDirectoryError, match="lets others in"):
            Store.open(StoreSettings(directory=str(shm_directory)))
        shm_directory.rmdir()

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory away")
    def test_somebody_elses_directory_is_refused(self, shm_directory: Path) -> None:
        shm_directory.mkdir(mode=0o700)
        os.chown(shm_directory, 12345, -1)
        with pytest.raises(UnsafeDirectoryError, match="user id 12345"):
            Store.open(StoreSettings(directory=str(shm_directory)))
        shm_directory.rmdir()

    def test_an_ordinary_directory_serves_where_there_is_no_tmpfs(self, tmp_path: Path) -> None:
        with Store.open(StoreSettings(directory=str(tmp_path / "base"))) as store:
            data = os.urandom(3 << 20)
            store.put("b", "k", data)
            assert store.attach("b", "k").view == data

    def test_one_that_comes_later_is_found_by_who_has_looked_before(self, settings: StoreSettings) -> None:
        with Store.open(settings) as store:
            assert store.buckets() == []
            with Store.open(replace(settings, lifetime="kept")) as later:
                later.put("b", "k", b"x")
                assert store.read("b", "k") == b"x"
                later.delete("b", "k")
            reclaim(settings, kept=True)
            assert not store.has_bucket("b")

    def test_the_last_session_removes_everything(self, settings: StoreSettings) -> None:
        with Store.open(settings) as store:
            store.put("b", "k", b"x")
        assert not os.path.exists(str(settings.directory))


def test_kept_objects_outlive_their_store_until_they_are_removed(settings: StoreSettings) -> None:
    with Store.open(replace(settings, lifetime="kept")) as store:
        store.put("b", "k", b"kept")
    assert reclaim(settings).sessions == ()
    with Store.open(settings) as store:
        assert store.read("b", "k") == b"kept"
        store.put("b", "k", b"now the session's")
        assert [info.session for info in inspect(settings).segments] == [store.session.id]
    reclaim(settings, kept=True)
    assert not os.path.exists(str(settings.directory))


def test_threads_overwriting_and_reading_one_key(store: Store) -> None:
    failures: list[BaseException] = []
    store.put("b", "k", bytes(300_000))

    def work(number: int) -> None:
        try:
            for turn in range(60):
                store.put("b", "k", bytes([number * 16 + turn % 16]) * 300_000)
                seen = store.attach("b", "k").view
                assert len(set(seen[::1000])) == 1
                assert seen == bytes([seen[0]]) * 300_000
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


class Counting(InPlace):
    """So many bytes, each one more than the one before; `fails` before the last."""

    def __init__(self, nbytes: int, *, fails: bool = False) -> None:
        self.nbytes = nbytes
        self.fails = fails
        self.made_in_place = False

    def write(self, target: memoryview) -> None:
        self.made_in_place = True
        target[:-1] = self._bytes()[:-1]
        if self.fails:
            raise ValueError("no more")
        target[-1:] = self._bytes()[-1:]

    def __iter__(self) -> Iterator[bytes]:
        yield self._bytes()

    def _bytes(self) -> bytes:
        return bytes(index % 251 for index in range(self.nbytes))


@pytest.mark.parametrize("nbytes", [1, 5000, 300_000, 5_000_000])
def test_what_is_made_in_place(store: Store, nbytes: int) -> None:
    for _ in range(2):  # the second time over the pages of the first
        data = Counting(nbytes)
        assert store.put("b", "k", data).size == nbytes
        assert data.made_in_place
        assert store.read("b", "k") == b"".join(data)
        store.delete("b", "k")


def test_what_fails_to_be_made_leaves_nothing(store: Store) -> None:
    before = store.bytes_in_use
    with pytest.raises(ValueError, match="no more"):
        store.put("b", "k", Counting(5_000_000, fails=True))
    assert not store.has_bucket("b") or store.keys("b") == []
    assert os.listdir(f"{store.session.directory}/tmp") == []
    assert store.bytes_in_use == before


def test_what_is_made_after_what_was_written(store: Store) -> None:
    with store.create("b", "k") as writer:
        writer.write(b"before")
        assert writer.make(Counting(5_000_000))
        writer.write([b"after"])
        writer.seal()
    assert store.read("b", "k") == b"before" + b"".join(Counting(5_000_000)) + b"after"


def test_without_room_in_memory_it_is_made_elsewhere(settings: StoreSettings) -> None:
    with Store.open(replace(settings, budget_bytes=1 << 20)) as store:
        data = Counting(5_000_000)
        assert store.put("b", "k", data).spilled
        assert not data.made_in_place
        assert store.read("b", "k") == b"".join(data)
        with store.create("b", "other", 5_000_000) as writer:
            assert not writer.make(data)
