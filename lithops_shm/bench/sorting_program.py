"""The program that sorts by one engine."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

from lithops_shm.bench.contestants import SORTERS, named
from lithops_shm.bench.program import serve
from lithops_shm.bench.terasort import check_sorted, small_file


def main() -> None:
    name, cpus, scratch, shared = sys.argv[1:]
    sorter = named(SORTERS, name).load()(int(cpus), scratch, shared)
    sorter.sort(small_file(scratch))
    tables: list[Any] = []

    def sort(path: str) -> float:
        started = time.perf_counter()
        tables[:] = sorter.sort(path)
        return time.perf_counter() - started

    def close() -> None:
        tables.clear()
        sorter.close()

    def check(rows: int, checksum: int) -> None:
        check_sorted(tables, rows, checksum)

    serve({"pid": os.getpid, "sort": sort, "check": check, "close": close})


if __name__ == "__main__":
    main()
