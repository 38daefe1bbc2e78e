"""The program that writes and reads frames: each question is answered by a fork of it that has no data yet.

A fork begins with everything imported and nothing else: what its memory grows by is what the measured line took.
"""

from __future__ import annotations

import ctypes
import gc
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from typing import Any

# What contestants use is here before any of them is measured.
import boto3  # noqa: F401
import lithops  # noqa: F401
import pandas as pd
import pyarrow as pa
import s3fs  # noqa: F401

from lithops_shm.bench.codecs import Codec
from lithops_shm.bench.contestants import CODECS, PLACES, named
from lithops_shm.bench.frames import make_frame
from lithops_shm.bench.memory import Usage
from lithops_shm.bench.places import Place, Site
from lithops_shm.bench.program import ProgramError, serve
from lithops_shm.bench.race import touch, turns
from lithops_shm.codec import CopyReport
from lithops_shm.config import StoreSettings
from lithops_shm.store import Store

_TOUCH = 6  # sizes of the data, for the frame, its encoded form, what is stored and what is read
_PAGE = 4096
LINES = ("write", "read", "read through")
_SMALL_ROWS = 1000


def _ready(codec: str, place: str, site: Site, dtype: str) -> tuple[Codec, Place]:
    """A codec and a place that have been used once, so that imports, pools and connections are there."""
    how, where = named(CODECS, codec).load()(), named(PLACES, place).load()(site)
    where.put("small", how.encode(make_frame(dtype, _SMALL_ROWS)))
    how.decode(where.get("small"), dtype)
    where.delete("small")
    return how, where


def _settled() -> Usage:
    """What is in memory after all that is free has gone back: otherwise data goes where something else was before."""
    gc.collect()
    pa.default_memory_pool().release_unused()
    with suppress(AttributeError):  # of glibc
        ctypes.CDLL(None).malloc_trim(0)
    return Usage.now()


def times(site: Site, dtype: str, rows: int, repeat: int, pairs: list[list[str]]) -> dict[str, Any]:
    """Write and read the frame in turn by each pair of codec and place; every frame that is read is compared.

    Returns
    -------
    ``frame``, its bytes in memory as pandas counts them; ``pairs``, for each of them: ``write``, ``read`` and ``read
    through``, seconds, ``stored``, bytes, and ``failed``, why it is out, or empty.
    """
    frame = make_frame(dtype, rows)
    nbytes = int(frame.memory_usage(index=False, deep=True).sum())
    codecs = {name: named(CODECS, name).load()() for name, _ in pairs}
    found: list[dict[str, Any]] = [{**{line: [] for line in LINES}, "stored": 0, "failed": ""} for _ in pairs]
    with ExitStack() as stack:
        places = {name: stack.enter_context(closing(named(PLACES, name).load()(site))) for _, name in pairs}
        for number, counts in turns(range(len(pairs)), repeat, lambda: touch(_TOUCH * nbytes)):
            if found[number]["failed"]:
                continue
            codec, place = pairs[number]
            try:
                seconds, stored = _once(dtype, frame, codecs[codec], places[place])
            except Exception as error:  # noqa: BLE001 - whatever a codec or a client raises puts it out of the race
                found[number]["failed"] = f"{type(error).__name__}: {error}"
                continue
            found[number]["stored"] = stored
            if counts:
                for line in LINES:
                    found[number][line].append(seconds[line])
    return {"frame": nbytes, "pairs": found}


def _once(dtype: str, frame: pd.DataFrame, how: Codec, where: Place) -> tuple[dict[str, float], int]:
    where.prepare(lambda: how.encode(frame))
    started = time.perf_counter()
    parts = how.encode(frame)
    where.put("frame", parts)
    written = time.perf_counter() - started
    stored = sum(memoryview(part).nbytes for part in parts)
    del parts
    started = time.perf_counter()
    data = where.get("frame")
    again = how.decode(data, dtype)
    read = time.perf_counter() - started
    len(bytes(memoryview(data).cast("B")[::_PAGE]))  # what is mapped comes page by page, as it is looked at
    through = time.perf_counter() - started
    del data
    if not again.equals(frame):
        raise ProgramError("what was read is not what was written")
    del again
    where.delete("frame")
    return {"write": written, "read": read, "read through": through}, stored


def write_memory(site: Site, dtype: str, rows: int, codec: str, place: str) -> dict[str, list[int]]:
    """Bytes, private and shared, by which this process grows at each line of a write; leaves the object."""
    how, where = _ready(codec, place, site, dtype)
    frame = make_frame(dtype, rows)
    with closing(where):
        before = _settled()
        parts = how.encode(frame)
        encoded = Usage.now().since(before)
        where.put("frame", parts)
        stored = Usage.now().since(before)
    return {"encode": encoded, "put": stored}


def read_memory(site: Site, dtype: str, rows: int, codec: str, place: str) -> dict[str, Any]:
    """The same of a read, of every page; and what of the frame is a view of stored memory. Deletes the object."""
    how, where = _ready(codec, place, site, dtype)
    with closing(where):
        before = _settled()
        data = where.get("frame")
        got = Usage.now().since(before)
        frame = how.decode(data, dtype)
        report = CopyReport.measure(frame, data)
        len(bytes(memoryview(data).cast("B")[::_PAGE]))
        del data
        decoded = Usage.now().since(before)
        if len(frame) != rows:
            raise ProgramError(f"{len(frame):,} rows were read, not {rows:,}")
        where.delete("frame")
    return {"get": got, "decode": decoded, "zero_copy": where.maps and report.zero_copy}


def in_fork(work: Callable[..., Any], *arguments: Any) -> Any:
    """What a function gives in a fork of this process, which has ended when this returns."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(reader)
            try:
                said = (True, work(*arguments))
            except Exception as error:  # noqa: BLE001 - it is the caller's
                traceback.print_exc()
                said = (False, f"{type(error).__name__}: {error}")
            with os.fdopen(writer, "wb") as pipe:
                pickle.dump(said, pipe)
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    try:
        with os.fdopen(reader, "rb") as pipe:
            told = pipe.read()
    except BaseException:  # an interrupt is not for us alone
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(child, 0)
    if not told:
        raise ProgramError(f"the process that measured it ended with {os.waitstatus_to_exitcode(status)}")
    done, what = pickle.loads(told)
    if not done:
        raise ProgramError(what)
    return what


def main() -> None:
    directory, pool_bytes, *section = sys.argv[1:]
    settings = StoreSettings(directory=directory, pool_bytes=int(pool_bytes), spill=False)
    keys = ("endpoint", "access_key_id", "secret_access_key")
    with Store.open(settings) as store:
        site = Site(store, dict(zip(keys, section, strict=True)) if section else None)
        commands = {work.__name__: work for work in (times, write_memory, read_memory)}

        def forked(name: str) -> Callable[..., Any]:
            return lambda *arguments: in_fork(commands[name], site, *arguments)

        serve({name: forked(name) for name in commands})


if __name__ == "__main__":
    main()
