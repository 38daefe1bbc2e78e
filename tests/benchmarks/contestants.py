"""What is measured: our way and the others, on the same data. Each writes or reads once, and leaves nothing."""

from __future__ import annotations

import os
import pickle
import secrets
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import shared_memory
from pathlib import Path
from types import TracebackType
from unittest import mock

import pyarrow as pa
import pyarrow.ipc

from lithops_shm import codec
from lithops_shm.bench import race
from lithops_shm.bench.frames import terasort_table
from lithops_shm.bench.race import turns
from lithops_shm.config import StoreSettings
from lithops_shm.store import Store, memory

TEXT_BYTES = 98  # of a row


@dataclass(frozen=True)
class Times:
    """Seconds of the runs of one contestant."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    def speed(self, nbytes: int) -> str:
        """GB/s, median and spread."""
        low, high = nbytes / max(self.samples) / 1e9, nbytes / min(self.samples) / 1e9
        return f"{nbytes / self.median / 1e9:.2f} GB/s [{low:.2f}, {high:.2f}]"


class Stage:
    """The data, a store of its own on the tmpfs, and how things are timed.

    Parameters
    ----------
    size:
        Bytes of the table.
    repeat:
        Runs of each contestant, after one that does not count.
    run:
        The directory of a run of `lithops-shm bench`, for figures that need not be measured again.
    """

    def __init__(self, size: int, repeat: int, run: Path | None = None) -> None:
        self.size = size
        self.repeat = repeat
        self.run = run
        self.directory = f"/dev/shm/lithops-shm-bench-{secrets.token_hex(4)}"
        self.bare_path = f"{self.directory}-bare"
        self.store = Store.open(StoreSettings(directory=self.directory, pool_bytes=4 * size, spill=False))
        self.table = terasort_table(size // TEXT_BYTES)
        self.flat = ipc_bytes(self.table)

    def __enter__(self) -> Stage:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.store.close()

    def race(self, contestants: dict[str, Callable[[], float]], *, touch: int | None = None) -> dict[str, Times]:
        """Run each in turn, the order alternating; a contestant gives the seconds that count."""
        samples: dict[str, list[float]] = {name: [] for name in contestants}
        for name, counts in turns(list(contestants), self.repeat, lambda: self.touch(touch or 3 * self.size)):
            seconds = contestants[name]()
            if counts:
                samples[name].append(seconds)
        return {name: Times(tuple(each)) for name, each in samples.items()}

    @staticmethod
    def touch(size: int) -> None:
        """Make the virtual machine own as much memory as will be used."""
        race.touch(size)

    def write_bare(self) -> float:
        """write(2) of the finished IPC bytes to a new file on the tmpfs."""
        view = memoryview(self.flat)
        started = time.perf_counter()
        fd = os.open(self.bare_path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        try:
            while view:
                view = view[os.write(fd, view) :]
        finally:
            os.close(fd)
        seconds = time.perf_counter() - started
        os.unlink(self.bare_path)
        return seconds

    def write_fresh(self) -> float:
        """Encode and put the table, no page of it recycled."""
        self.drain()
        started = time.perf_counter()
        self.store.put("bench", "table", codec.encode(self.table).parts)
        seconds = time.perf_counter() - started
        self.drop("table")
        self.drain()
        return seconds

    def write_recycled(self) -> float:
        """Encode and put the table over the pages of one just deleted."""
        self.store.put("bench", "table", codec.encode(self.table).parts)
        inode = self.inode("table")
        self.drop("table")
        started = time.perf_counter()
        self.store.put("bench", "table", codec.encode(self.table).parts)
        seconds = time.perf_counter() - started
        assert self.inode("table") == inode, "the pages were not recycled"
        self.drop("table")
        self.drain()
        return seconds

    def write_fresh_small(self) -> float:
        """As `write_fresh`, on a kernel that makes no huge pages."""
        with mock.patch.object(memory, "huge_page_bytes", return_value=0):
            return self.write_fresh()

    def write_recycled_small(self) -> float:
        """As `write_recycled`, on a kernel that makes no huge pages."""
        with mock.patch.object(memory, "huge_page_bytes", return_value=0):
            return self.write_recycled()

    def write_study(self) -> float:
        """The study's way: size it with a mock stream, then write it again through a new shared memory mapping."""
        started = time.perf_counter()
        mock = pa.MockOutputStream()
        with pa.ipc.new_stream(mock, self.table.schema) as writer:
            writer.write_table(self.table)
        block = shared_memory.SharedMemory(create=True, size=mock.size())
        sink = pa.FixedSizeBufferWriter(pa.py_buffer(block.buf))
        with pa.ipc.new_stream(sink, self.table.schema) as writer:
            writer.write_table(self.table)
        seconds = time.perf_counter() - started
        sink.close()
        del sink, writer
        block.close()
        block.unlink()
        return seconds

    def inode(self, key: str) -> int:
        return os.stat(f"{self.store.session.directory}/data/bench/{key}@").st_ino

    def drop(self, key: str) -> None:
        self.store.delete("bench", key)

    def drain(self) -> None:
        """Give the pool's memory back, as the store itself does when it runs short."""
        self.store.trim()

    def read_arrow(self) -> float:
        started = time.perf_counter()
        table = codec.decode(self.store.attach("bench", "arrow").view)
        seconds = time.perf_counter() - started
        assert table.num_rows == self.table.num_rows
        return seconds

    def read_pickled(self) -> float:
        started = time.perf_counter()
        table = pickle.loads(self.store.attach("bench", "pickled").view)
        seconds = time.perf_counter() - started
        assert len(table) == self.table.num_rows
        return seconds


def ipc_bytes(table: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


def in_fresh_process(code: str, *arguments: str) -> str:
    """What a new interpreter prints."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
