"""The loop of a worker: take a job, run its calls one at a time, and end with the channel."""

from __future__ import annotations

import contextlib
import faulthandler
import functools
import importlib
import os
import sys
from collections.abc import Callable
from typing import TypeAlias

from lithops_shm.workers.channel import Channel
from lithops_shm.workers.output import note_begun

__all__ = ["THREAD_CAPS", "Runner", "await_calls", "report", "report_last", "serve"]

Report: TypeAlias = Callable[[bytes], None]
# Given the job's payload and a way to report, it gives what runs a call's payload.
Runner: TypeAlias = Callable[[bytes, Report], Callable[[bytes], None]]

# In a worker, how the call it runs reports to whoever follows its job; elsewhere ``None``.
report: Report | None = None
_channel: Channel | None = None
_last: bytes | None = None

# One worker a core is enough for it: libraries that would start a thread a core each are told so.
_POOLS_OF_THREADS = """
    ARROW_IO_THREADS MKL_NUM_THREADS NUMEXPR_NUM_THREADS OMP_NUM_THREADS OPENBLAS_NUM_THREADS POLARS_MAX_THREADS
    VECLIB_MAXIMUM_THREADS"""
THREAD_CAPS = dict.fromkeys(_POOLS_OF_THREADS.split(), "1")


def report_last(message: bytes) -> None:
    """As `report`, of a call that is about to end: it is told together with its end."""
    global _last
    _last = message


def await_calls(calls: list[tuple[str, str]]) -> None:
    """In a worker, wait until calls of its pool are over, by job and id; others may have its place meanwhile.

    Calls the pool does not know, of another pool for instance, are not waited for.
    """
    if _channel is not None:
        _channel.send("awaits", calls)
        _channel.receive()


def serve(channel: Channel, output: int) -> None:
    """Run what comes through the channel until it is closed; of `output` see :mod:`.output`."""
    global report, _channel, _last
    _channel = channel
    report = functools.partial(channel.send, "report")
    begun = 0
    faulthandler.enable()  # a segmentation fault leaves its stack in what the client shows
    _own_randomness()
    run: Callable[[bytes], None] | None = None
    while True:
        try:
            kind, *fields = channel.receive()
        except EOFError:
            return
        if kind == "warm-up":
            _warm_up(*fields)
            channel.send("warm")
        elif kind == "job":
            runner, payload, environ, directory = fields
            _set_environment(environ)
            os.chdir(directory)
            module, _, name = runner.partition(":")
            run = getattr(importlib.import_module(module), name)(payload, report)
        else:
            assert run is not None, "a call came before its job"
            begun += 1
            note_begun(output, begun)
            run(fields[0])
            last, _last = _last, None
            channel.send("done", last)
        del fields  # what a call was given must not live until the next one comes


def _warm_up(name: str, payload: bytes) -> None:
    """Without a job yet: nobody hears what is reported, and a failure is the next call's to find."""
    global report, _last
    heard, report = report, _unheard
    module, _, function = name.partition(":")
    with contextlib.suppress(Exception):
        getattr(importlib.import_module(module), function)(payload)
    report, _last = heard, None


def _unheard(_: bytes) -> None:
    """Reports nothing."""


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
