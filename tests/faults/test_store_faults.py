"""Kill, fill and crowd the store, and see that nothing is torn, lost or left behind."""

import inspect
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from effort import times

from lithops_shm.config import StoreSettings
from lithops_shm.errors import SegmentNotFoundError, SessionLostError, StoreFullError
from lithops_shm.store import Store, bulk, reclaim
from lithops_shm.store import inspect as inspect_store
from lithops_shm.store.process import enter, leave

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small tmpfs takes root")

# A body is its length and one byte value all over: any mixture of two shows.
WRITER = """
import random, sys
from lithops_shm.config import StoreSettings
from lithops_shm.store import Store
store = Store.open(StoreSettings(directory=sys.argv[1], spill_directory=sys.argv[2]))
random.seed(int(sys.argv[3]))
print("ready", flush=True)
while True:
    value = random.randrange(256)
    store.put("b", f"k/{random.randrange(4)}", bytes([value]) * random.choice([10, 5_000, 700_000]))
    if random.random() < 0.2:
        store.delete("b", f"k/{random.randrange(4)}")
"""

PUT_ONE = """
from lithops_shm.config import StoreSettings
from lithops_shm.store import Store
with Store.open(StoreSettings(directory=directory)) as store:
    store.put("b", "child", b"from the child")
"""

# With the source of what members run, and without what else this module imports.
STRANGER = """
import random, sys, time
from lithops_shm.config import StoreSettings
from lithops_shm.errors import SegmentNotFoundError
from lithops_shm.store import Store

{functions}

print("ready", flush=True)
sys.stdin.readline()
_crowd(StoreSettings(directory=sys.argv[1], spill_directory=sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
print("done", flush=True)
sys.stdin.read()
"""


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != "LITHOPS_SHM_SESSION"}


def start(code: str, settings: StoreSettings, *arguments: object) -> subprocess.Popen[str]:
    """A process of its own, not joined to any session here, that has said it is ready."""
    command = [sys.executable, "-c", code, str(settings.directory), str(settings.spill_directory), *map(str, arguments)]
    process = subprocess.Popen(command, env=environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def assert_whole(view: memoryview) -> None:
    assert view == bytes([view[0]]) * len(view)


@pytest.mark.timeout(300)
def test_a_writer_killed_at_random_moments_tears_nothing(settings: StoreSettings) -> None:
    random.seed(7)
    with Store.open(settings) as store:
        for turn in range(times(6, 40)):  # ten moments in each
            context = multiprocessing.get_context("fork")
            for _ in range(10):
                child = context.Process(target=_write_for_ever, args=(settings, turn))
                child.start()
                time.sleep(random.uniform(0, 0.02))
                assert child.pid is not None
                os.kill(child.pid, signal.SIGKILL)
                child.join()
                for info in store.list("b", "k") if store.has_bucket("b") else []:
                    assert_whole(store.attach("b", info.key).view)
            reclaim(settings)
            assert os.listdir(f"{store.session.directory}/tmp") == []
        for key in store.keys("b"):
            store.delete("b", key)
    assert not os.path.exists(str(settings.directory))


def _write_for_ever(settings: StoreSettings, seed: int) -> None:
    random.seed(seed + os.getpid())
    store = Store.open(settings)
    while True:
        store.put("b", f"k/{random.randrange(4)}", bytes([random.randrange(256)]) * random.choice([10, 5_000, 700_000]))


@pytest.mark.timeout(120)
def test_a_killed_session_is_reclaimed_and_a_live_one_untouched(settings: StoreSettings) -> None:
    data = os.urandom(2 << 20)
    with Store.open(settings) as store:
        store.put("live", "k", data)
        for seed in range(8):
            writer = start(WRITER, settings, seed)
            time.sleep(random.uniform(0, 0.05))
            kill(writer)
            dead = [session for session in inspect_store(settings).sessions if not session.alive]
            assert len(dead) == 1
            reclaimed = reclaim(settings)
            assert reclaimed.sessions == (dead[0].id,)
            assert [session.id for session in inspect_store(settings).sessions] == [store.session.id]
            assert store.read("live", "k") == data
        assert inspect_store(settings).memory_bytes < 3 << 20
    assert not os.path.exists(str(settings.directory))


@pytest.mark.timeout(60)
def test_the_next_session_reclaims_the_dead_one_by_itself(settings: StoreSettings) -> None:
    kill(start(WRITER, settings, 1))
    with Store.open(settings) as store:
        assert [session.id for session in inspect_store(settings).sessions] == [store.session.id]


@pytest.mark.timeout(60)
def test_a_member_learns_that_its_session_is_gone(settings: StoreSettings) -> None:
    owner = start(WRITER, settings, 1)
    (session,) = inspect_store(settings).sessions
    store = Store.open(replace(settings, session=session.id))
    assert store.session.id == session.id
    kill(owner)
    reclaim(settings)
    with pytest.raises(SessionLostError, match=session.id):
        store.put("b", "k", b"x")
    assert not os.path.exists(str(settings.directory))
    store.close()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_children_write_into_the_session_of_their_parent(settings: StoreSettings, method: str) -> None:
    with Store.open(settings) as store:
        # Started children import nothing of the tests: what they run comes as text.
        child = multiprocessing.get_context(method).Process(
            target=exec, args=(PUT_ONE, {"directory": settings.directory})
        )
        child.start()
        child.join()
        assert child.exitcode == 0
        assert store.read("b", "child") == b"from the child"
        assert store.head("b", "child").session == store.session.id
    if method == "forkserver":  # its server process outlives the test otherwise
        from multiprocessing import forkserver

        forkserver._forkserver._stop()  # type: ignore[attr-defined]


def _put_one(settings: StoreSettings) -> None:
    with Store.open(settings) as store:
        store.put("b", "child", b"from the child")


def _crowd(settings: StoreSettings, number: int, seconds: float) -> None:
    random.seed(number)
    store = Store.open(settings)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        key = f"k{random.randrange(3)}"
        if random.random() < 0.5:
            store.put("b", key, bytes([random.randrange(256)]) * random.choice([100, 40_000, 600_000]))
        else:
            try:
                view = store.attach("b", key).view
            except SegmentNotFoundError:
                raise AssertionError(f"{key} was never deleted, and not found") from None
            assert_whole(view)
            assert store.keys("b") == ["k0", "k1", "k2"]


@pytest.mark.timeout(times(180, 600))
def test_sixteen_processes_of_several_sessions_overwrite_and_read(settings: StoreSettings) -> None:
    seconds = times(5, 60)
    context = multiprocessing.get_context("fork")
    with Store.open(settings) as store:
        for key in ("k0", "k1", "k2"):
            store.put("b", key, b"\1" * 100)
        code = STRANGER.format(functions=inspect.getsource(assert_whole) + inspect.getsource(_crowd))
        strangers = [start(code, settings, number, seconds) for number in range(8, 16)]
        members = [context.Process(target=_crowd, args=(settings, number, seconds)) for number in range(8)]
        for member in members:
            member.start()
        for stranger in strangers:
            assert stranger.stdin is not None
            stranger.stdin.write("go\n")
            stranger.stdin.flush()
        for member in members:
            member.join()
        # What a stranger wrote last goes when it ends, so all of them stay until all are done.
        said = [stranger.stdout.readline() for stranger in strangers if stranger.stdout is not None]
        for stranger in strangers:
            stranger.communicate()
        assert said == ["done\n"] * 8
        codes = [stranger.returncode for stranger in strangers]
        assert [member.exitcode for member in members] == [0] * 8
        assert codes == [0] * 8


@pytest.fixture
def small_tmpfs(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "tmpfs"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(path)], check=True)
    yield path
    subprocess.run(["umount", str(path)], check=True)


@root_only
def test_a_full_tmpfs_spills_and_loses_nothing(small_tmpfs: Path, settings: StoreSettings) -> None:
    with Store.open(replace(settings, directory=str(small_tmpfs / "base"))) as store:
        objects = {f"k{i}": os.urandom(1_500_000) for i in range(10)}
        for key, data in objects.items():
            store.put("b", key, data)
        assert 0 < sum(info.spilled for info in store.list("b")) < 10
        for key, data in objects.items():
            assert store.attach("b", key).view == data


@root_only
@pytest.mark.parametrize("room", [5, 6, 7])
def test_writing_more_than_a_tmpfs_holds_is_an_error_and_no_signal(small_tmpfs: Path, room: int) -> None:
    """Huge pages are made before they are copied into: of some there is room, of the next there is not."""
    with (small_tmpfs / "others").open("wb", buffering=0) as file:
        file.write(bytes((8 - room) << 20))
    fd = os.open(small_tmpfs / "file", os.O_RDWR | os.O_CREAT)
    try:
        with pytest.raises(OSError, match="No space left"):
            bulk.write(fd, 1, [memoryview(bytes(12 << 20))])
        os.ftruncate(fd, 0)
        data = os.urandom(4_500_000)
        assert bulk.write(fd, 0, [memoryview(data)]) == len(data)
        assert os.pread(fd, len(data) + 1, 0) == data
    finally:
        os.close(fd)


@root_only
def test_tmpfs_filled_by_others_in_the_middle_of_a_write(small_tmpfs: Path, settings: StoreSettings) -> None:
    with Store.open(replace(settings, directory=str(small_tmpfs / "base"))) as store:
        data = os.urandom(4 << 20)
        with store.create("b", "k") as writer:
            writer.write(data[: 1 << 20])
            with (small_tmpfs / "others").open("wb", buffering=0) as file:
                file.write(bytes(7 << 20))
            writer.write(data[1 << 20 :])
            assert writer.seal().spilled
        assert store.read("b", "k") == data
        os.unlink(small_tmpfs / "others")


@root_only
def test_a_full_tmpfs_and_a_full_disk_are_one_clear_error(small_tmpfs: Path, settings: StoreSettings) -> None:
    spill = small_tmpfs / "disk"
    with Store.open(replace(settings, directory=str(small_tmpfs / "base"), spill_directory=str(spill))) as store:
        data = os.urandom(3 << 20)
        store.put("b", "k", data)
        for _ in range(3):
            with pytest.raises(StoreFullError, match="spill directory has no room either"):
                store.put("b", "other", bytes(20 << 20))
        with pytest.raises(StoreFullError):
            store.put("b", "k", bytes(20 << 20))
        assert store.read("b", "k") == data
        assert store.keys("b") == ["k"]
        store.put("b", "small", b"still works")


@pytest.mark.timeout(times(120, 1200))
def test_a_great_many_objects(settings: StoreSettings) -> None:
    count = times(10_000, 100_000)
    with Store.open(settings) as store:
        for number in range(count):
            store.put("b", f"job-{number // 1000:03}/part-{number % 1000:03}", b"x")
        assert len(store.keys("b")) == count
        assert store.keys("b", "job-007/part-99") == [f"job-007/part-{number}" for number in range(990, 1000)]
        store.put("b", "one more", b"x")
        assert inspect_store(settings).sessions[0].segments == count + 1


def test_a_fork_while_threads_write_leaves_the_child_able_to_write(settings: StoreSettings) -> None:
    import threading

    with Store.open(settings) as store:
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                store.put("b", "threads", bytes(1000))

        threads = [threading.Thread(target=write) for _ in range(4)]
        for thread in threads:
            thread.start()
        context = multiprocessing.get_context("fork")
        try:
            for _ in range(20):
                child = context.Process(target=_put_one, args=(settings,))
                child.start()
                child.join(20)
                assert child.exitcode == 0
        finally:
            stop.set()
            for thread in threads:
                thread.join()


def test_membership_is_counted(settings: StoreSettings) -> None:
    one, two = enter(settings), enter(settings)
    assert one is two
    leave(one)
    assert os.path.isdir(two.session.directory)
    leave(two)
    assert not os.path.exists(str(settings.directory))
