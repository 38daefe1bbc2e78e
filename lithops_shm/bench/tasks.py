"""The part ``tasks``: empty calls, many at once and one by one."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from lithops_shm import host
from lithops_shm.bench.contestants import RUNNERS
from lithops_shm.bench.plan import Plan, Step
from lithops_shm.bench.program import Client, ProgramError
from lithops_shm.bench.race import touch, turns
from lithops_shm.bench.results import Results
from lithops_shm.errors import ConfigError

__all__ = ["PART", "measure", "runner", "steps"]

PART = "tasks"
_SINGLE = 20  # calls one by one, for each map that counts
_PAUSE_S = 0.05  # before a call that comes alone: engines may get ready for the next one meanwhile
_SLOW = "lithops"  # starts an interpreter for each call
_SLOW_CALLS = 100  # that it is asked for at most: more take minutes, and tell no more
_SLOW_SINGLE = 1
_TOUCH = 200_000_000
_COPIES = 8  # of an argument, or less: in the client, on its way, in a worker, and the same back
_SHARE = 0.5  # of the memory that is available, which all calls of a map may take


def steps(plan: Plan) -> int:
    """How many there will be."""
    rounds = plan.repeat_of(PART) + 1
    names = [each.name for each in plan.chosen(PART, RUNNERS, None)]
    of_one = sum(rounds * sum(not _too_slow(name, calls) for calls in plan.calls) + 2 * rounds for name in names)
    return of_one * len(plan.sizes_of(PART))


def measure(plan: Plan, results: Results, step: Step) -> None:
    """Maps and single calls of every engine, all of them up at the same time and idle while another is measured.

    Raises
    ------
    ConfigError
        When the arguments of a map would take more than half of the memory.
    """
    names = [each.name for each in plan.chosen(PART, RUNNERS, results)]
    _require_memory(plan)
    with ExitStack() as stack:
        clients: dict[str, Client] = {}
        for name in names:
            try:
                clients[name] = stack.enter_context(runner(name))
            except ProgramError as error:
                results.fail(PART, name, str(error))
        for nbytes in plan.sizes_of(PART):
            for calls in plan.calls:
                _race(plan, "map", calls, nbytes, clients, results, step)
            for metric in ("one call", "one call after another"):
                _race(plan, metric, 1, nbytes, clients, results, step)
        for client in clients.values():
            client.ask("close")


def _race(
    plan: Plan, metric: str, calls: int, nbytes: int, clients: dict[str, Client], results: Results, step: Step
) -> None:
    running = {}
    for name, client in clients.items():
        if _too_slow(name, calls):
            results.skip(PART, f"{name}, {calls:,} calls", "it starts an interpreter for each: this would take minutes")
        else:
            running[name] = client
    samples: dict[str, list[float]] = {name: [] for name in running}
    for name, counts in turns(list(running), plan.repeat_of(PART), lambda: touch(_TOUCH + _COPIES * calls * nbytes)):
        if name not in running:
            continue
        step(f"{name}, {calls:,} calls" if calls > 1 else f"{name}, {metric}")
        times = 1 if calls > 1 else _SLOW_SINGLE if name == _SLOW else _SINGLE
        try:
            seconds = []
            for _ in range(times):
                time.sleep(_PAUSE_S if metric == "one call" else 0)
                seconds.append(running[name].ask("run", calls, nbytes))
        except ProgramError as error:
            results.fail(PART, name, str(error))
            del running[name], samples[name], clients[name]
            continue
        if counts:
            samples[name] += seconds
    for name, seconds in samples.items():
        case: dict[str, str | int] = {"calls": calls, "bytes": nbytes}
        results.add(PART, name, case, metric, "s", seconds)


def _require_memory(plan: Plan) -> None:
    available = host.memory_available()
    calls, nbytes = max(plan.calls), max(plan.sizes_of(PART))
    if available is not None and _COPIES * calls * nbytes > _SHARE * available:
        raise ConfigError(
            f"--size: {calls:,} calls that each get {nbytes / 1e6:,.1f} MB and give it back would take up to "
            f"{_COPIES * calls * nbytes / 1e9:,.0f} GB, and {available / 1e9:,.0f} GB are available; "
            "give a smaller size, or fewer calls (--calls)"
        )


def _too_slow(name: str, calls: int) -> bool:
    return name == _SLOW and calls > _SLOW_CALLS


@contextmanager
def runner(name: str, *, cpus: int | None = None) -> Iterator[Client]:
    """The program of an engine: ``run`` so many calls, ``first`` gives the seconds its first result took."""
    shared = "/dev/shm" if os.path.isdir("/dev/shm") else None
    with (
        # A short path: Ray makes sockets there.
        tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as scratch,
        tempfile.TemporaryDirectory(prefix="shm-bench-", dir=shared, ignore_cleanup_errors=True) as memory,
        Client(
            ["-m", "lithops_shm.bench.tasks_program", name, str(cpus or host.usable_cpus()), scratch, memory],
            environ={"TMPDIR": scratch},
        ) as client,
    ):
        yield client
