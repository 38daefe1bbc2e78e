"""A shuffle of a terasort-like table, through the code that real ones run, with a clock beside each of its steps.

The client plays the executor's part; mappers and reducers are calls of warm workers, one for each CPU, all at once.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv

from lithops_shm import codec, host
from lithops_shm.config import StoreSettings
from lithops_shm.shuffle.exchange import Exchange, ManifestRef
from lithops_shm.shuffle.manifest import MapOutput
from lithops_shm.shuffle.media import Medium
from lithops_shm.shuffle.media.objects import Buffer
from lithops_shm.shuffle.media.shared import SharedObjects
from lithops_shm.shuffle.spec import Shuffle
from lithops_shm.store import Store

__all__ = ["Stage", "prepare", "rates", "touch"]

_KEY, _ROW = 10, 100  # characters of a key, and of a line: terasort's
_LOOKS_S = 0.002  # between looks at a worker's memory
_LEAST_S = 1e-9

Run = Callable[[Any, list[dict[str, Any]]], list[Any]]
"""Calls a function in workers, once for each mapping of arguments."""


@dataclass(frozen=True, slots=True)
class Stage:
    """Where it happens: all that the workers have to know."""

    store: dict[str, Any]
    bucket: str
    prefix: str
    parts: int

    @classmethod
    def of(cls, store: Store, parts: int) -> Stage:
        """In an open store, in `parts` mappers and as many reducers."""
        medium = Medium.of_store(store)
        return cls(dict(medium.store or {}), medium.bucket, f"lithops-shm.calibration/{secrets.token_hex(4)}/", parts)

    @property
    def shuffle(self) -> Shuffle:
        return Shuffle(by="key", kind="range", sort=True, partitions=self.parts)

    def input(self, part: int) -> str:
        """The key of a part of the input."""
        return f"{self.prefix}input/{part}"

    def open(self) -> _TimedObjects:
        """The objects, from the process that asks for them."""
        return _TimedObjects(Store.open(StoreSettings.from_mapping(self.store)), self.bucket)


@dataclass(frozen=True, slots=True)
class Mapped:
    """What a mapper tells: its output, and the seconds and bytes of its steps."""

    output: MapOutput
    input_bytes: int
    read_s: float
    cut_s: float
    put_bytes: int
    put_s: float
    private_bytes: int


@dataclass(frozen=True, slots=True)
class Reduced:
    """What a reducer tells."""

    nbytes: int
    merge_s: float
    put_bytes: int
    put_s: float
    private_bytes: int


class _TimedObjects(SharedObjects):
    """Shared memory that knows how many bytes it was given, and how long it took to write them."""

    def __init__(self, store: Store, bucket: str) -> None:
        super().__init__(store, bucket)
        self.store = store
        self.put_bytes = 0
        self.put_s = 0.0

    def put(self, key: str, parts: Iterable[Buffer]) -> int:
        started = time.perf_counter()
        nbytes = super().put(key, parts)
        self.put_s += time.perf_counter() - started
        self.put_bytes += nbytes
        return nbytes


def touch(nbytes: int) -> None:
    """Make a virtual machine own as much memory as will be used, or half of what is free: the first time is slow."""
    free = host.memory_available()
    np.zeros(min(nbytes, nbytes if free is None else free // 2), np.uint8)[:: os.sysconf("SC_PAGESIZE")] = 1


def prepare(store: Store, stage: Stage, part_bytes: int) -> None:
    """Store the input: lines of a random key, a comma and a random text."""
    random = np.random.default_rng(7)
    rows = max(stage.parts, part_bytes // _ROW)
    for part in range(stage.parts):
        lines = random.integers(65, 91, (rows, _ROW), np.uint8)
        lines[:, _KEY], lines[:, -1] = ord(","), ord("\n")
        store.put(stage.bucket, stage.input(part), lines.reshape(-1))


def rates(stage: Stage, number: int, run: Run, *, recycled: bool) -> dict[str, float]:
    """One shuffle from its mappers to its results, which are deleted; its rates, by their names in `LocalRates`."""
    prefix = f"{stage.prefix}{number}"
    with closing(stage.open()) as objects:
        exchange = Exchange(stage.shuffle, objects, prefix)
        try:
            common = {"stage": stage, "prefix": prefix}
            mapped: list[Mapped] = run(cut, [{"part": part, **common} for part in range(stage.parts)])
            ref = exchange.commit(exchange.plan(prefix, [each.output for each in mapped], stage.parts))
            asked = [{"partition": partition, "ref": ref, **common} for partition in range(stage.parts)]
            reduced: list[Reduced] = run(join, asked)
        finally:
            exchange.clear()
    written: list[Mapped | Reduced] = [*mapped, *reduced]
    exchanged = sum(each.output.nbytes for each in mapped)
    put_bps = stage.parts * sum(each.put_bytes for each in written) / _some(sum(each.put_s for each in written))
    return {
        "read_bps": sum(each.input_bytes for each in mapped) / _some(sum(each.read_s for each in mapped)),
        "partition_bps": exchanged / _some(sum(each.cut_s for each in mapped)),
        "merge_bps": sum(each.nbytes for each in reduced) / _some(sum(each.merge_s for each in reduced)),
        "recycled_bps" if recycled else "fresh_bps": put_bps,
        "working_set": max(
            *(each.private_bytes / each.input_bytes for each in mapped),
            *(each.private_bytes / each.nbytes for each in reduced if each.nbytes),
        ),
    }


def cut(part: int, stage: Stage, prefix: str) -> Mapped:
    """A mapper: reads its part as bytes, makes a table of it, and leaves that in order, cut into partitions."""
    with _memory() as memory, closing(stage.open()) as objects:
        started = time.perf_counter()
        data = objects.store.read(stage.bucket, stage.input(part))
        read_s, nbytes = time.perf_counter() - started, len(data)
        options = pa.csv.ReadOptions(column_names=["key", "value"], use_threads=False)
        table = pa.csv.read_csv(pa.BufferReader(data), read_options=options)
        del data
        started = time.perf_counter()
        output = Exchange(stage.shuffle, objects, prefix).write(part, 0, table)
        cut_s = time.perf_counter() - started - objects.put_s
    return Mapped(output, nbytes, read_s, cut_s, objects.put_bytes, objects.put_s, memory.grown)


def join(partition: int, stage: Stage, prefix: str, ref: ManifestRef) -> Reduced:
    """A reducer: puts its partition together, in order, and leaves it as its result."""
    with _memory() as memory, closing(stage.open()) as objects:
        exchange = Exchange(stage.shuffle, objects, prefix)
        manifest = exchange.manifest(ref)
        started = time.perf_counter()
        table = exchange.read(manifest, partition)
        merge_s = time.perf_counter() - started
        objects.put(f"{prefix}/result/{partition}", codec.encode(table).parts)
    return Reduced(table.nbytes, merge_s, objects.put_bytes, objects.put_s, memory.grown)


class _Memory:
    """The most private memory of this process, in bytes, since this was made."""

    def __init__(self) -> None:
        self._first = self._most = host.private_bytes(os.getpid())

    def look(self) -> None:
        self._most = max(self._most, host.private_bytes(os.getpid()))

    @property
    def grown(self) -> int:
        return self._most - self._first


@contextmanager
def _memory() -> Iterator[_Memory]:
    """Looked at by a thread, while the block runs: sorting and copying do not hold the interpreter's lock."""
    memory, over = _Memory(), threading.Event()

    def watch() -> None:
        while not over.wait(_LOOKS_S):
            memory.look()

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield memory
        memory.look()
    finally:
        over.set()
        watcher.join()


def _some(seconds: float) -> float:
    return max(seconds, _LEAST_S)
