"""The loop of a worker: take a job, run its calls one at a time, and end with the channel."""

from __future__ import annotations

import faulthandler
import functools
import importlib
import os
import sys
from collections.abc import Callable
from typing import TypeAlias

from lithops_shm.workers.channel import Channel

__all__ = ["THREAD_CAPS", "Runner", "await_calls", "report", "serve"]

Report: TypeAlias = Callable[[bytes], None]
# Given the job's payload and a way to report, it gives what runs a call's payload.
Runner: TypeAlias = Callable[[bytes, Report], Callable[[bytes], None]]

# In a worker, how the call it runs reports to whoever follows its job; elsewhere ``None``.
report: Report | None = None
_channel: Channel | None = None

# One worker a core is enough for it: libraries that would start a thread a core each are told so.
_POOLS_OF_THREADS = """
    ARROW_IO_THREADS MKL_NUM_THREADS NUMEXPR_NUM_THREADS OMP_NUM_THREADS OPENBLAS_NUM_THREADS POLARS_MAX_THREADS
    VECLIB_MAXIMUM_THREADS"""
THREAD_CAPS = dict.fromkeys(_POOLS_OF_THREADS.split(), "1")


def await_calls(calls: list[tuple[str, str]]) -> None:
    """In a worker, wait until calls of its pool are over, by job and id; others may have its place meanwhile.

    Calls the pool does not know, of another pool for instance, are not waited for.
    """
    if _channel is not None:
        _channel.send("awaits", calls)
        _channel.receive()


def serve(channel: Channel) -> None:
    """Run what comes through the channel until it is closed."""
    global report, _channel
    _channel = channel
    report = functools.partial(channel.send, "report")
    faulthandler.enable()  # a segmentation fault leaves its stack in what the client shows
    _own_randomness()
    run: Callable[[bytes], None] | None = None
    while True:
        try:
            kind, *fields = channel.receive()
        except EOFError:
            return
        if kind == "job":
            runner, payload, environ, directory = fields
            _set_environment(environ)
            os.chdir(directory)
            module, _, name = runner.partition(":")
            run = getattr(importlib.import_module(module), name)(payload, report)
        else:
            assert run is not None, "a call came before its job"
            channel.send("begins")
            run(fields[0])
            channel.send("done")
        del fields  # what a call was given must not live until the next one comes


def _set_environment(environ: dict[str, str]) -> None:
    """Most variables are as they were when the zygote started: only the others are touched, which is dear."""
    before = os.environ.copy()
    for name in before.keys() - environ.keys():
        del os.environ[name]
    os.environ.update((name, value) for name, value in environ.items() if before.get(name) != value)


def _own_randomness() -> None:
    """Forks of one process would draw the same numbers; `random` sees to itself."""
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
