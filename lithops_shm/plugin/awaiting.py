"""Wait for the first of several calls to end, and give up on others; without signals, so that any thread may."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from typing import Any

from lithops_shm.errors import WorkerDiedError
from lithops_shm.plugin.compute.backend import ShmComputeBackend
from lithops_shm.plugin.monitoring.monitor import PushMonitor

__all__ = ["abandon", "began_at", "error_of", "has_ended", "next_news", "take_result", "worker_died"]

_KILLED_S = 10.0  # in which a killed process is gone
_LOOKS_S = 0.05  # between looks at calls whose ends are not pushed


def has_ended(future: Any) -> bool:
    """Whether the status of a call is here."""
    return bool(future.ready or future.success or future.done)


def began_at(future: Any) -> float | None:
    """When a worker took up a call, in seconds since 1970; ``None`` before that is known."""
    status = future._call_status or {}
    began: float | None = status.get("worker_start_tstamp")
    return began


def next_news(executor: Any, futures: Sequence[Any], timeout_s: float) -> None:
    """Wait until one of the futures of an executor may have changed, at most for `timeout_s` seconds."""
    monitor = executor.job_monitor.monitor
    if monitor is None or not threading.Thread.is_alive(monitor):
        executor.job_monitor.start(fs=list(futures))
        monitor = executor.job_monitor.monitor
    if isinstance(monitor, PushMonitor):
        monitor.await_news(timeout_s)
    else:
        time.sleep(min(timeout_s, _LOOKS_S))


def take_result(future: Any, internal_storage: Any) -> Any:
    """What a call that has ended returned, ``None`` if nothing; the future, which Lithops keeps, holds it no longer."""
    result = future.result(throw_except=False, internal_storage=internal_storage)
    future._call_output = None
    return result


def error_of(future: Any) -> BaseException | None:
    """What a call that has ended raised, with its traceback in the worker; ``None`` when it returned."""
    if not future.error:
        return None
    found = future._exception
    error: BaseException = found[1] if isinstance(found, tuple) else Exception(str(found))
    return error


def worker_died(future: Any, error: BaseException) -> bool:
    """Whether a call ended because its process did, so that another attempt may go better."""
    if isinstance(error, WorkerDiedError):
        return True
    return bool(future._handler_exception) and not isinstance(error, TimeoutError)


def abandon(executor: Any, futures: Sequence[Any]) -> None:
    """End calls whose results nobody wants, whatever they are doing, and forget them.

    When this returns no process of theirs on this machine writes any longer; of functions elsewhere nobody can tell.
    """
    if not futures:
        return
    job_keys = {future.job_key for future in futures}
    executor.invoker.discard_pending(job_keys, {future.job_id for future in futures})
    executor.compute_handler.clear(job_keys, exception=RuntimeError("nobody waits for it any longer"))
    if isinstance(backend := getattr(executor.compute_handler, "backend", None), ShmComputeBackend):
        backend.await_end(job_keys, _KILLED_S)
    executor.job_monitor.remove(list(futures))
    for future in futures:
        future._set_exception()
