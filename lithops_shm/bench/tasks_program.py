"""The program that runs calls by one engine."""

from __future__ import annotations

import time

_BEGAN = time.perf_counter()

import sys  # noqa: E402 - the imports are part of what a first result takes
from typing import Any  # noqa: E402

from lithops_shm.bench.contestants import RUNNERS, named  # noqa: E402
from lithops_shm.bench.program import ProgramError, serve  # noqa: E402


def main() -> None:
    name, cpus, scratch, shared = sys.argv[1:]
    runner = named(RUNNERS, name).load()(int(cpus), scratch, shared)

    def run(count: int, nbytes: int) -> float:
        """Seconds of so many calls, each given so many bytes and giving them back; compared."""
        items: list[Any] = [(number, bytes(nbytes)) if nbytes else number for number in range(count)]
        started = time.perf_counter()
        found = runner.map(items)
        seconds = time.perf_counter() - started
        if found != items:
            raise ProgramError(f"{count:,} calls did not give back what they were given")
        return seconds

    run(1, 0)
    first = time.perf_counter() - _BEGAN
    serve({"run": run, "first": lambda: first, "close": runner.close})


if __name__ == "__main__":
    main()
