"""What holds for every place where a shuffle may keep its objects."""

import os
import pickle
import secrets
import shutil
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import lithops
import pytest
from lithops.constants import LITHOPS_TEMP_DIR
from s3servers import ACCESS_KEY, SECRET_KEY, Server, new_bucket

from lithops_shm.config import StoreSettings
from lithops_shm.errors import (
    InvalidKeyError,
    InvalidRangeError,
    SegmentNotFoundError,
    ShuffleStorageError,
    UnsupportedError,
)
from lithops_shm.shuffle.media import Medium, ObjectStore, RetryPolicy, S3Settings, open_objects
from lithops_shm.store import Store

PLACES = ["shared", "boto3 on rclone", "boto3 on moto", "s3fs on rclone", "s3fs on moto", "localhost disk"]
CONDITIONAL = ["shared", "boto3 on moto", "s3fs on moto"]


def medium_of(place: str, servers: dict[str, Server]) -> Medium:
    engine, _, server = place.partition(" on ")
    url = servers[server].url
    settings = S3Settings(new_bucket(url), url, "us-east-1", ACCESS_KEY, SECRET_KEY)
    return Medium.of_s3(engine, settings, RetryPolicy(deadline_s=60))


@pytest.fixture(params=PLACES)
def place(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def medium(
    place: str, rclone_server: Server, moto_server: Server, shm_directory: Path, tmp_path: Path
) -> Iterator[tuple[Medium, Any]]:
    """Where, and the Lithops storage in case it is one."""
    if place == "shared":
        store = Store.open(StoreSettings(directory=str(shm_directory), spill_directory=str(tmp_path / "spill")))
        yield Medium.of_store(store, "bucket"), None
        store.close()
    elif place == "localhost disk":
        bucket = f"test-{secrets.token_hex(6)}"
        storage = lithops.Storage(config={"lithops": {"storage": "localhost"}})
        yield Medium.of_lithops(bucket), storage
        shutil.rmtree(os.path.join(LITHOPS_TEMP_DIR, bucket), ignore_errors=True)
    else:
        yield medium_of(place, {"rclone": rclone_server, "moto": moto_server}), None


@pytest.fixture
def objects(medium: tuple[Medium, Any]) -> Iterator[ObjectStore]:
    opened = open_objects(pickle.loads(pickle.dumps(medium[0])), medium[1])
    yield opened
    opened.close()
    opened.close()


def test_what_is_put_is_got(objects: ObjectStore) -> None:
    parts = [b"one", bytearray(b"two"), memoryview(b"three"), b""]
    assert objects.put("a/key", parts) == 11
    got = objects.get("a/key")
    assert isinstance(got, memoryview)
    assert (bytes(got), got.readonly, got.format, got.ndim) == (b"onetwothree", True, "B", 1)


def test_a_range_is_half_open(objects: ObjectStore) -> None:
    objects.put("key", [b"0123456789"])
    for start, stop in [(0, 10), (0, None), (3, None), (3, 7), (9, 10), (10, None), (4, 4), (0, 0)]:
        got = objects.get("key", start, stop)
        assert bytes(got) == b"0123456789"[start:stop]
        assert got.readonly


def test_a_range_past_the_end_is_an_error(objects: ObjectStore) -> None:
    """Nobody gets fewer bytes than he asked for."""
    objects.put("key", [b"0123456789"])
    for start, stop in [(0, 11), (9, 12), (10, 12), (20, 30), (11, None), (0, 1 << 27)]:
        with pytest.raises(ShuffleStorageError, match="bytes") as raised:
            objects.get("key", start, stop)
        assert "key" in str(raised.value)
    with pytest.raises(ShuffleStorageError):
        objects.get_many([("key", 0, 5), ("key", 5, 11)])


def test_a_range_that_is_none_is_refused(objects: ObjectStore) -> None:
    objects.put("key", [b"0123456789"])
    for start, stop in [(-1, 3), (3, 2), (-5, None)]:
        with pytest.raises(InvalidRangeError):
            objects.get("key", start, stop)


def test_many_ranges_come_in_their_order(objects: ObjectStore) -> None:
    data = os.urandom(100_000)
    for number in range(5):
        objects.put(f"many/{number}", [bytes([number]), data])
    ranges = [(f"many/{number % 5}", number * 1000, number * 1000 + 777) for number in range(60)]
    ranges.insert(7, ("many/3", 5, 5))
    got = objects.get_many(ranges)
    for view, (key, start, stop) in zip(got, ranges, strict=True):
        assert bytes(view) == (bytes([int(key[-1])]) + data)[start:stop]
        assert view.readonly
    assert objects.get_many([]) == []


def test_a_missing_key_says_which(objects: ObjectStore, medium: tuple[Medium, Any]) -> None:
    objects.put("there", [b"x"])
    for read in (
        lambda: objects.get("not/there"),
        lambda: objects.get("not/there", 2, 5),
        lambda: objects.get("not/there", 2),
        lambda: objects.get_many([("there", 0, 1), ("not/there", 0, 1)]),
    ):
        with pytest.raises(SegmentNotFoundError) as raised:
            read()
        assert raised.value.args == (medium[0].bucket, "not/there")


def test_a_missing_bucket_is_no_data_lost(objects: ObjectStore) -> None:
    """Nothing was put: shared memory and disk have no bucket yet."""
    with pytest.raises(SegmentNotFoundError):
        objects.get("key")
    assert objects.delete_prefix("key") == 0
    objects.delete(["key"])


def test_an_empty_object_is_one(objects: ObjectStore) -> None:
    assert objects.put("empty", []) == 0
    assert objects.put("blank", [b""]) == 0
    assert bytes(objects.get("empty")) == bytes(objects.get("blank")) == b""
    assert bytes(objects.get("empty", 0, 0)) == b""
    with pytest.raises(ShuffleStorageError):
        objects.get("empty", 0, 1)


def test_overwriting_replaces_all(objects: ObjectStore) -> None:
    objects.put("key", [b"a long first version"])
    before = objects.get("key")
    objects.put("key", [b"second"])
    assert bytes(objects.get("key")) == b"second"
    assert bytes(before) == b"a long first version"


def test_delete_takes_those_that_are_there(objects: ObjectStore) -> None:
    for name in "abc":
        objects.put(f"dir/{name}", [b"x"])
    objects.delete(["dir/a", "dir/never", "dir/b"])
    objects.delete([])
    for gone in ("dir/a", "dir/b"):
        with pytest.raises(SegmentNotFoundError):
            objects.get(gone)
    assert bytes(objects.get("dir/c")) == b"x"


def test_delete_prefix_takes_no_neighbour(objects: ObjectStore) -> None:
    for key in ("s/1/m0", "s/1/m1", "s/1/deep/er", "s/10/m0", "s/2"):
        objects.put(key, [b"x"])
    assert objects.delete_prefix("s/1/") == 3
    assert objects.delete_prefix("s/1/") == 0
    assert bytes(objects.get("s/10/m0")) == bytes(objects.get("s/2")) == b"x"


def test_nothing_deletes_everything(objects: ObjectStore) -> None:
    for prefix in ["", "/", "a//", "../"]:
        with pytest.raises(InvalidKeyError):
            objects.delete_prefix(prefix)


KEPT = [
    "é/ü",
    "a b+c%41&?=",
    "x#y;z",
    "q[1]*",
    "back\\slash",
    "'\"<>",
    "~@!$(),:",
    "cafe\u0301",
    "\U0001f600/x",
    "k" * 200,
]
REFUSED = [
    "",
    "/lead",
    "trail/",
    "a//b",
    ".",
    "..",
    "a/../b",
    "a/./b",
    "nul\0",
    "a\nb",
    "\x7f",
    "\ud800",
    "x" * 2000,
    7,
]


def test_keys_are_kept_to_the_letter(objects: ObjectStore) -> None:
    for key in KEPT:
        objects.put(key, [key.encode()])
    for key in KEPT:
        assert bytes(objects.get(key)) == bytes(objects.get(key, 0, len(key.encode()))) == key.encode()
    objects.delete(KEPT[1:])
    for key in KEPT[1:]:
        with pytest.raises(SegmentNotFoundError):
            objects.get(key)
    assert objects.delete_prefix(KEPT[0][:2]) == 1


def test_keys_that_some_place_would_change_are_refused(objects: ObjectStore) -> None:
    for key in REFUSED:
        for use in (objects.get, lambda key: objects.put(key, [b"x"]), lambda key: objects.delete([key])):
            with pytest.raises(InvalidKeyError):
                use(key)  # type: ignore[operator]
        with pytest.raises(InvalidKeyError):
            objects.get_many([(key, 0, 1)])  # type: ignore[list-item]


def test_a_large_object(objects: ObjectStore, place: str) -> None:
    """Beyond one request, both ways; put as many buffers, read whole and in part."""
    count = 64 if place.endswith("rclone") else 24
    block = os.urandom(1 << 20)
    blocks = [block[number:] + block[:number] for number in range(count)]
    assert objects.put("large", blocks) == count << 20
    whole = b"".join(blocks)
    got = objects.get("large")
    assert bytes(got) == whole  # views are compared byte by byte, which takes a second
    del got
    start, stop = (7 << 20) + 13, ((count - 4) << 20) - 5
    assert bytes(objects.get("large", start, stop)) == whole[start:stop]
    assert bytes(objects.get("large", start)) == whole[start:]
    objects.delete(["large"])


def test_many_threads_at_once(objects: ObjectStore) -> None:
    def work(number: int) -> bool:
        data = bytes([number]) * (1000 + number)
        objects.put(f"threads/{number}", [data])
        ranges = [(f"threads/{number}", at, at + 20) for at in range(0, 100, 20)]
        return bytes(objects.get(f"threads/{number}")) == data and b"".join(objects.get_many(ranges)) == data[:100]

    with ThreadPoolExecutor(16) as pool:
        assert all(pool.map(work, range(24)))


@pytest.mark.parametrize("place", CONDITIONAL, indirect=True)
def test_of_many_at_once_one_puts(objects: ObjectStore) -> None:
    start = threading.Barrier(16)

    def put(number: int) -> bool:
        start.wait()
        return objects.put_if_absent("won", [b"%d" % number])

    with ThreadPoolExecutor(16) as pool:
        stored = list(pool.map(put, range(16)))
    assert sum(stored) == 1
    assert bytes(objects.get("won")) == b"%d" % stored.index(True)
    assert not objects.put_if_absent("won", [b"late"])
    objects.delete(["won"])
    assert objects.put_if_absent("won", [b"a", b"gain"])
    assert bytes(objects.get("won")) == b"again"


@pytest.mark.parametrize("place", [place for place in PLACES if place not in CONDITIONAL], indirect=True)
def test_a_place_that_ignores_conditions_is_found_out(objects: ObjectStore) -> None:
    objects.put("won", [b"first"])
    for _ in range(2):
        with pytest.raises(UnsupportedError, match=r"overwrite|no conditional put"):
            objects.put_if_absent("won", [b"second"])
    assert bytes(objects.get("won")) == b"first"
    assert objects.delete_prefix("lithops-shm-probe") == 0


def test_closed_and_used_again(objects: ObjectStore, place: str) -> None:
    objects.put("key", [b"x"])
    objects.close()
    if place == "shared":
        return  # its session may have ended, and its data with it
    assert bytes(objects.get("key")) == b"x"


@pytest.mark.parametrize("engine", ["boto3", "s3fs"])
def test_ranges_beyond_two_gib(engine: str, rclone: Callable[..., Server]) -> None:
    """In a sparse file, behind the server's back; one that makes no digest of it, for each request."""
    server = rclone("--etag-hash=")
    size = (2 << 30) + (100 << 20)
    bucket = server.directory / "bucket"
    bucket.mkdir()
    with (bucket / "sparse").open("wb") as file:
        file.truncate(size)
        file.seek(size - 10)
        file.write(b"0123456789")
    settings = S3Settings("bucket", server.url, "us-east-1", ACCESS_KEY, SECRET_KEY)
    objects = open_objects(Medium.of_s3(engine, settings, RetryPolicy(deadline_s=60)))
    assert bytes(objects.get("sparse", size - 8, size - 2)) == b"234567"
    assert bytes(objects.get("sparse", size - 10)) == b"0123456789"
    assert objects.get("sparse", (2 << 30) - 5, (2 << 30) + 5) == bytes(10)
    objects.close()


def run_in_children(count: int, work: Callable[[int], bool]) -> list[int]:
    """Fork children that work at once, and end with status 0 if that was right, 1 if it was wrong, 2 if it failed."""
    children = []
    for number in range(count):
        pid = os.fork()
        if pid == 0:
            status = 2
            try:
                status = 0 if work(number) else 1
            finally:
                os._exit(status)
        children.append(pid)
    return children


@pytest.mark.parametrize("place", ["boto3 on rclone", "s3fs on rclone"], indirect=True)
def test_a_connection_shared_across_a_fork_never_returns_wrong_data(objects: ObjectStore) -> None:
    """A parent with open connections forks, and both sides read at once: each gets its own bytes, and all of them."""
    data = {f"fork/{number}": bytes([number]) * 5000 for number in range(20)}
    for key, value in data.items():
        objects.put(key, [value])
    objects.get_many([(key, 0, 5000) for key in data])  # connections, and threads, in plenty

    def right(number: int) -> bool:
        keys = [f"fork/{(number + step) % 20}" for step in range(12)]
        one_by_one = all(bytes(objects.get(key)) == data[key] for key in keys[:4])
        many = objects.get_many([(key, 100, 4000) for key in keys])
        return one_by_one and all(bytes(view) == data[key][100:4000] for key, view in zip(keys, many, strict=True))

    children = run_in_children(8, right)
    reads = 0
    while reads < 3 or any(os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None for pid in children):
        assert right(reads)
        reads += 1
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children] == [0] * 8
    assert right(3)
