"""Confidential sessions: what is released is zeroed, whoever does it, and nobody else sees any of it."""

import errno
import gc
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lithops_shm import host
from lithops_shm.config import StoreSettings
from lithops_shm.errors import ConfidentialityError, SegmentNotFoundError, StoreFullError
from lithops_shm.store import Store, inspect, reclaim
from lithops_shm.store.process import CONFIDENTIAL_VARIABLE
from lithops_shm.store.session import SESSION_VARIABLE

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="confidential data needs a tmpfs")

SECRET = b"the bytes of a secret "
SIZES = [1, 5_000, 700_000, (6 << 20) + 1]


def secret(size: int) -> bytes:
    return (SECRET * (size // len(SECRET) + 1))[:size]


@pytest.fixture
def settings(shm_directory: Path, tmp_path: Path) -> StoreSettings:
    return StoreSettings(directory=str(shm_directory), spill_directory=str(tmp_path / "spill"), confidential=True)


@pytest.fixture
def store(settings: StoreSettings) -> Iterator[Store]:
    with Store.open(settings) as store:
        yield store


class Peek:
    """The bytes of files, whatever becomes of their names: descriptors that count as no reader, opened before."""

    def __init__(self, directory: str) -> None:
        self._descriptors = [os.open(path, os.O_PATH) for path in Path(directory).rglob("*") if path.is_file()]
        assert self._descriptors

    def read(self) -> bytes:
        return b"".join(Path(f"/proc/self/fd/{descriptor}").read_bytes() for descriptor in self._descriptors)

    def close(self) -> None:
        for descriptor in self._descriptors:
            os.close(descriptor)


@pytest.fixture
def peek() -> Iterator[Callable[[str], Peek]]:
    peeks: list[Peek] = []

    def make(directory: str) -> Peek:
        peeks.append(Peek(directory))
        return peeks[-1]

    yield make
    for each in peeks:
        each.close()


def data_of(store: Store) -> str:
    return f"{store.session.directory}/data"


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("way", ["delete", "overwrite", "end"])
def test_what_is_released_is_zero(settings: StoreSettings, peek: Callable[[str], Peek], size: int, way: str) -> None:
    with Store.open(settings) as store:
        before = store.bytes_in_use
        store.put("b", "k", secret(size))
        behind = peek(data_of(store))
        assert behind.read() == secret(size)
        if way == "delete":
            store.delete("b", "k")
            assert store.bytes_in_use == before
        elif way == "overwrite":
            store.put("b", "k", b"another")
        if way != "end":
            assert behind.read() == bytes(size)
    assert behind.read() == bytes(size)


def test_what_is_dropped_is_zero(store: Store, peek: Callable[[str], Peek]) -> None:
    with store.create("b", "k") as writer:
        writer.write(secret(700_000))
        behind = peek(f"{store.session.directory}/tmp")
        assert SECRET in behind.read()
    assert behind.read() == bytes(700_000)


@pytest.mark.parametrize("size", [5_000, (6 << 20) + 1])
def test_what_is_still_read_stays_as_it_is_and_is_zero_with_the_next_operation(
    store: Store, peek: Callable[[str], Peek], size: int
) -> None:
    store.put("b", "k", secret(size))
    view = store.attach("b", "k").view
    behind = peek(data_of(store))
    store.delete("b", "k")
    store.put("b", "other", b"x")
    assert view == secret(size)
    assert store.bytes_in_use >= size, "it is memory still, and counted"
    del view
    gc.collect()
    assert behind.read() == secret(size)
    store.put("b", "other", b"y")
    assert behind.read() == bytes(size)


def test_a_view_outlives_its_session_and_what_was_shared_is_zero(
    settings: StoreSettings, peek: Callable[[str], Peek]
) -> None:
    views = []
    with Store.open(settings) as store:
        for number, size in enumerate(SIZES):
            store.put("b", str(number), secret(size))
            views.append(store.attach("b", str(number)).view)
        behind = peek(data_of(store))
        store.delete("b", "0")
    assert [bytes(view) for view in views] == [secret(size) for size in SIZES]
    assert set(behind.read()) == {0}
    assert not Path(str(settings.directory)).exists()
    assert all(view.readonly for view in views)


READER = """
import sys
from lithops_shm.config import StoreSettings
from lithops_shm.store import Store
store = Store.open(StoreSettings(directory=sys.argv[1], session=sys.argv[2] or None, confidential=True))
if sys.argv[3] == "writes":
    store.put("b", "k", sys.stdin.buffer.readline().strip() * 40_000)
view = store.attach("b", "k").view
unsealed = store.create("b", "unsealed")
unsealed.write(bytes(view[:100]))
print(store.session.id, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(settings: StoreSettings) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """A process that has the object mapped, and another half written; in a session that is given, or its own."""
    started: list[subprocess.Popen[bytes]] = []

    def start(session: str = "", does: str = "reads") -> "subprocess.Popen[bytes]":
        environment = {name: value for name, value in os.environ.items() if name != SESSION_VARIABLE}
        process = subprocess.Popen(
            [sys.executable, "-c", READER, str(settings.directory), session, does],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        started.append(process)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(SECRET + b"\n")
        process.stdin.flush()
        assert process.stdout.readline().strip().isalnum()
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


def test_what_another_process_reads_at_the_end_is_zeroed_by_who_reclaims_it(
    settings: StoreSettings, other: Callable[..., "subprocess.Popen[bytes]"], peek: Callable[[str], Peek]
) -> None:
    with Store.open(settings) as store:
        store.put("b", "k", secret(800_000))
        reader = other(store.session.id)
        behind = peek(data_of(store))
    assert behind.read() == secret(800_000)
    reclaim(settings)
    assert behind.read() == secret(800_000), "somebody reads it still"
    reader.kill()
    reader.wait()
    reclaim(settings)
    assert behind.read() == bytes(800_000)
    assert not Path(str(settings.directory)).exists()


def test_a_killed_session_is_zeroed_by_who_reclaims_it(
    settings: StoreSettings, other: Callable[..., "subprocess.Popen[bytes]"], peek: Callable[[str], Peek]
) -> None:
    owner = other(does="writes")
    behind = peek(f"{settings.directory}/sessions")
    assert SECRET.strip() in behind.read()
    os.kill(owner.pid, signal.SIGKILL)
    owner.wait()
    # Who reclaims it need not be confidential, nor know that it was.
    reclaimed = reclaim(replace(settings, confidential=None))
    assert reclaimed.segments == 1
    assert set(behind.read()) == {0}
    assert not Path(str(settings.directory)).exists()


def test_a_writer_killed_in_a_live_session_is_swept_and_zeroed(
    store: Store,
    settings: StoreSettings,
    other: Callable[..., "subprocess.Popen[bytes]"],
    peek: Callable[[str], Peek],
) -> None:
    store.put("b", "k", secret(800_000))
    writer = other(store.session.id)
    behind = peek(f"{store.session.directory}/tmp")
    assert SECRET in behind.read()
    writer.kill()
    writer.wait()
    reclaim(settings)
    assert set(behind.read()) == {0}
    assert store.read("b", "k") == secret(800_000)


def test_an_object_of_another_confidential_session_is_zeroed_when_it_is_deleted(
    store: Store,
    settings: StoreSettings,
    other: Callable[..., "subprocess.Popen[bytes]"],
    peek: Callable[[str], Peek],
) -> None:
    writer = other(does="writes")
    behind = peek(f"{settings.directory}/sessions")
    writer.kill()  # a dead reader is none; its session stays until somebody reclaims it
    writer.wait()
    assert store.delete("b", "k")
    assert SECRET.strip() * 10 not in behind.read()
    reclaim(settings)


@pytest.mark.parametrize("confidential", [True, False])
@pytest.mark.parametrize("way", ["delete", "overwrite"])
def test_what_a_writer_that_died_has_linked_into_the_pool_is_an_object_still(
    settings: StoreSettings, peek: Callable[[str], Peek], way: str, confidential: bool
) -> None:
    """It died between the link and the rename of an overwrite."""
    with Store.open(replace(settings, confidential=confidential)) as store:
        store.put("b", "k", secret(700_000))
        behind = peek(data_of(store))
        (path,) = (path for path in Path(data_of(store)).rglob("*") if path.is_file())
        status = path.stat()
        os.link(path, f"{store.session.directory}/pool/{status.st_size}-{status.st_ino}")
        store.put("b", "other", b"x")
        store.trim() if confidential else None
        assert store.read("b", "k") == secret(700_000)
        if way == "delete":
            assert store.delete("b", "k")
            assert store.keys("b") == ["other"]
        else:
            store.put("b", "k", b"another")
            assert store.read("b", "k") == b"another"
        assert set(behind.read()) == ({0} if confidential else set(SECRET))


def test_files_are_for_their_user_alone(store: Store, settings: StoreSettings) -> None:
    umask = os.umask(0)
    try:
        store.put("b", "a/b/c", b"x")
        store.put("b", "k" * 5_000, b"x")
        view = store.attach("b", "a/b/c").view
        store.delete("b", "a/b/c")
        with store.create("b", "k"):
            for path in [Path(str(settings.directory)), *Path(str(settings.directory)).rglob("*")]:
                wanted = 0o700 if path.is_dir() else 0o600
                assert stat.S_IMODE(path.stat().st_mode) == wanted, path
    finally:
        os.umask(umask)
    assert view == b"x"


def test_it_does_not_spill_and_says_what_to_do(settings: StoreSettings, tmp_path: Path) -> None:
    with Store.open(replace(settings, budget_bytes=1_000_000, spill=True)) as store:
        store.put("b", "fits", secret(900_000))
        with pytest.raises(StoreFullError, match="confidential data does not go to disk") as caught:
            store.put("b", "k", secret(900_000))
        assert caught.value.errno == errno.ENOSPC
        assert "work on less data at a time" in str(caught.value)
        assert "spill_directory" not in str(caught.value)
        store.delete("b", "fits")
        store.put("b", "k", secret(900_000))
    assert not (tmp_path / "spill").exists()


def test_a_base_directory_on_a_disk_is_refused(tmp_path: Path) -> None:
    if host.is_tmpfs(tmp_path):
        pytest.skip("temporary files are in memory here")
    with pytest.raises(ConfidentialityError, match=r"shm.directory.*tmpfs"):
        Store.open(StoreSettings(directory=str(tmp_path / "store"), confidential=True))
    assert not (tmp_path / "store").exists()


def test_keeping_is_refused(settings: StoreSettings) -> None:
    with pytest.raises(ConfidentialityError, match=r"shm.lifetime: kept"):
        Store.open(replace(settings, lifetime="kept"))
    assert not Path(str(settings.directory)).exists()


def test_other_sessions_do_not_see_it_and_it_sees_them(store: Store, settings: StoreSettings) -> None:
    with Store.open(replace(settings, confidential=False)) as plain:
        store.put("b", "secret", b"1")
        plain.put("b", "known", b"2")
        assert plain.session.id != store.session.id
        assert (plain.keys("b"), store.keys("b")) == (["known"], ["known", "secret"])
        assert store.read("b", "known") == b"2"
        with pytest.raises(SegmentNotFoundError):
            plain.attach("b", "secret")
        assert not plain.delete("b", "secret")
        plain.put("b", "secret", b"3")
        store.put("b", "known", b"4")
        assert plain.keys("b") == ["secret"], "what a confidential writer replaces is gone for others"
        assert (store.read("b", "known"), plain.read("b", "secret")) == (b"4", b"3")


def test_who_does_not_say_gets_the_confidential_session_of_the_process(
    settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    unsaid, plain = replace(settings, confidential=None), replace(settings, confidential=False)
    with Store.open(unsaid) as before:
        assert not before.session.confidential
        with Store.open(settings) as confidential:
            assert not before.is_open, "opened again, it is another one"
            assert os.environ[SESSION_VARIABLE] == confidential.session.directory
            with Store.open(unsaid) as after, Store.open(plain) as other:
                assert after.session.id == confidential.session.id
                assert other.session.id == before.session.id
                assert os.environ[SESSION_VARIABLE] == confidential.session.directory
        assert os.environ[SESSION_VARIABLE] == before.session.directory
        assert before.is_open
    monkeypatch.setenv(CONFIDENTIAL_VARIABLE, "1")
    with Store.open(plain) as forced:
        assert forced.session.confidential


CHILD = """
from lithops_shm.config import StoreSettings
from lithops_shm.store import Store
with Store.open(StoreSettings()) as store:
    print(store.session.id)
"""


def test_children_join_it(store: Store) -> None:
    child = subprocess.run([sys.executable, "-c", CHILD], check=True, capture_output=True, text=True)
    assert child.stdout.strip() == store.session.id


@pytest.mark.parametrize("size", SIZES)
def test_what_is_mapped_is_left_out_of_core_dumps(store: Store, size: int) -> None:
    store.put("b", "k", secret(size))
    view = store.attach("b", "k").view
    found = Path("/proc/self/smaps").read_text().split(store.session.directory, 1)[1]
    flags = next(line for line in found.splitlines() if line.startswith("VmFlags:"))
    assert "dd" in flags.split()
    assert view[:1] == SECRET[:1]


@pytest.mark.parametrize(
    ("areas", "says"),
    [
        ([], False),
        ([host.Swap("/dev/zram0", 1 << 30, 0)], False),
        ([host.Swap("/dev/sda2", 1 << 30, 0)], True),
        (None, True),
    ],
)
def test_swap_on_a_disk_is_warned_of(
    settings: StoreSettings,
    areas: list[host.Swap] | None,
    says: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(host, "swaps", lambda: areas)
    with Store.open(settings), Store.open(settings):
        warned = [record.getMessage() for record in caplog.records if "swapoff" in record.getMessage()]
    assert len(warned) == says
    if says and areas:
        assert "/dev/sda2" in warned[0]


def test_sessions_are_told_apart_by_their_ids(store: Store, settings: StoreSettings) -> None:
    (report,) = inspect(settings).sessions
    assert report.id == store.session.id
    assert report.id.startswith("confidential")
    assert report.alive
