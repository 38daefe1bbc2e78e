"""In a worker: one call of a Lithops job after the other, through Lithops' own JobRunner."""

from __future__ import annotations

import base64
import io
import json
import logging
import os
import pickle
import resource
import shutil
import sys
import time
import traceback
import uuid
import zlib
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from types import SimpleNamespace
from typing import Any

from lithops.config import extract_storage_config
from lithops.constants import MODULES_DIR, MONITORING_QUEUES_ENV, SESSION_ID_ENV, WORKER_ENV
from lithops.future import ResponseFuture
from lithops.monitoring import create_call_status
from lithops.storage import InternalStorage
from lithops.storage.utils import create_output_key
from lithops.worker.jobrunner import JobRunner
from lithops.worker.utils import get_function_and_modules, get_function_data

from lithops_shm.config import SECTION
from lithops_shm.plugin.compute.logs import log_into
from lithops_shm.plugin.monitoring.status import PRINTED, PRINTED_IN_CONFIDENCE, PushedCallStatus
from lithops_shm.plugin.pointers import results_of_call, store_large
from lithops_shm.plugin.section import confidential_settings
from lithops_shm.workers import pool, worker

__all__ = ["LithopsJob", "open_job"]

logger = logging.getLogger(__name__)


def open_job(payload: bytes, report: Callable[[bytes], None]) -> Callable[[bytes], None]:
    """Prepare a worker for a job; gives what runs one call."""
    return LithopsJob(SimpleNamespace(**pickle.loads(payload)))


class LithopsJob:
    """What runs the calls of a job, given the payload of one.

    Parameters
    ----------
    job:
        As the compute backend sends it.
    storage:
        Lithops' storage of the job; ``None`` to open it for the first call.
    """

    def __init__(self, job: SimpleNamespace, storage: Any = None) -> None:
        self._job = job
        self._confidential = confidential_settings(job.config.get(SECTION)).confidential
        self._storage = storage
        self._status: Any = None
        self._data: Any = None
        self._logs = io.StringIO()
        _give_environment_of_job(job)
        log_into(self._logs, job.log_level)

    def __call__(self, call: bytes) -> None:
        call_id, data_range = pickle.loads(call)
        task = SimpleNamespace(**vars(self._job))
        task.call_id, task.call_ids, task.data_byte_ranges = call_id, [call_id], [data_range]
        task.start_tstamp = time.time()
        self._logs.seek(0)
        self._logs.truncate()
        _give_environment(task)
        with redirect_stdout(self._logs), redirect_stderr(self._logs):
            self._run(task)
        # Calls of an executor the function made run in a pool of this process, and end with it.
        pool.join_all()

    def _run(self, task: SimpleNamespace) -> None:
        if self._storage is None:
            self._storage = InternalStorage(extract_storage_config(task.config))
        # Lithops looks for the kind of it in its configuration, which is that of the job.
        status = self._status(task, self._storage) if self._status else create_call_status(task, self._storage)
        self._status = type(status)
        status.send_init_event()
        before = resource.getrusage(resource.RUSAGE_SELF)
        try:
            if not hasattr(self._job, "func"):
                self._job.func = _function_and_modules(self._job, self._storage)
            task.func = self._job.func
            task.data = self._data_of(task)
            runner = _CallRunner(task, self._storage, status)
            with results_of_call(self._storage, runner.output_key):
                runner.run()
        except Exception:  # noqa: BLE001  (it is the client's to see)
            traceback.print_exc()
            status.add("exception", True)
            status.add("exc_info", str(pickle.dumps(sys.exc_info())))
        _add_usage(status, before, resource.getrusage(resource.RUSAGE_SELF))
        status.add("worker_end_tstamp", time.time())
        printed = self._logs.getvalue()
        if self._confidential:
            status.add(PRINTED_IN_CONFIDENCE, printed)
        elif isinstance(status, PushedCallStatus):
            status.add(PRINTED, printed)
        else:
            status.add("logs", base64.b64encode(zlib.compress(printed.encode(errors="replace"))).decode())
        status.send_finish_event()

    def _data_of(self, task: SimpleNamespace) -> bytes:
        """The arguments of one call; those of all calls are read at once, if they are few, and kept."""
        if task.data_bytes > _KEPT_BYTES:
            return bytes(*get_function_data(task, self._storage))
        if self._data is None:
            self._data = self._storage.get_data(task.data_key)
        ((first, last),) = task.data_byte_ranges
        return bytes(self._data[first : last + 1])


def _function_and_modules(job: SimpleNamespace, storage: Any) -> bytes:
    """Lithops' own; but modules sent along appear whole, where another worker of the job may be importing them."""
    own = SimpleNamespace(**{**vars(job), "job_key": f"{job.job_key}.{os.getpid()}"})
    function: bytes = get_function_and_modules(own, storage)
    written, place = (os.path.join(MODULES_DIR, each.job_key) for each in (own, job))
    if written in sys.path:
        try:
            os.rename(written, place)
        except OSError:  # another worker was first
            shutil.rmtree(written, ignore_errors=True)
        sys.path[sys.path.index(written)] = place
    return function


class _CallRunner(JobRunner):  # type: ignore[misc]
    """Lithops' runner of one call, in this process: statistics go into the status, large results into memory."""

    def __init__(self, task: SimpleNamespace, storage: Any, status: Any) -> None:
        # In place of Lithops' own, which opens a file for the statistics.
        self.job = task
        self.jobrunner_conn = SimpleNamespace(send=lambda message: None)
        self.internal_storage = storage
        self.lithops_config = task.config
        self.output_key = create_output_key(task.executor_id, task.job_id, task.call_id)
        self.stats = SimpleNamespace(write=_writer(status), close=lambda: None)

    def _write_result(self, result: Any) -> bytes | None:
        pointer = None
        if result is not None and not _holds_futures(result):
            pointer = store_large(result, self.internal_storage, f"{self.output_key}.segment")
        if pointer is None:
            written: bytes | None = super()._write_result(result)
            return written
        # Not sent along with the status, from which Lithops would read the object into every future it passes on.
        self.stats.write("func_result_size", pointer.nbytes)
        return pickle.dumps(pointer)

    def _wait_futures(self, data: dict[str, Any]) -> None:
        """As Lithops' own, which looks into the storage once a second."""
        key = next(iter(data))
        futures = data[key]
        worker.await_calls([(future.job_key, future.call_id) for future in futures])
        found = [future.result(internal_storage=self.internal_storage, wait_dur_sec=_LOOKS_S) for future in futures]
        data[key] = [
            result for future, result in zip(futures, found, strict=True) if future.done and not future.futures
        ]


def _holds_futures(result: Any) -> bool:
    """Whether these are calls the function made, whose results Lithops gives in their place."""
    first = result[0] if isinstance(result, list) and result else result
    return isinstance(first, ResponseFuture)


_KEPT_BYTES = 1 << 20  # of arguments, in each worker
_LOOKS_S = 0.005  # between looks for the status of a call that this pool does not run


def _writer(status: Any) -> Callable[[str, Any], None]:
    """Statistics as Lithops reads them back from its file: numbers as numbers, all else as text."""

    def write(key: str, value: Any) -> None:
        if isinstance(value, bool):
            status.add(key, value)
            return
        try:
            status.add(key, float(value))
        except (TypeError, ValueError):
            status.add(key, str(value))

    return write


def _add_usage(status: Any, before: resource.struct_rusage, after: resource.struct_rusage) -> None:
    elapsed = max(1e-9, time.time() - status.status["worker_start_tstamp"])
    user, system = after.ru_utime - before.ru_utime, after.ru_stime - before.ru_stime
    rss = after.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    status.add("worker_func_cpu_usage", [round(100 * (user + system) / elapsed, 1)])
    status.add("worker_func_cpu_system_time", round(system, 8))
    status.add("worker_func_cpu_user_time", round(user, 8))
    status.add("worker_func_sent_net_io", 0)
    status.add("worker_func_recv_net_io", 0)
    status.add("worker_func_rss", rss)
    status.add("worker_func_vms", rss)
    status.add("worker_func_uss", rss)


def _give_environment_of_job(job: SimpleNamespace) -> None:
    """Set the variables Lithops gives a function that are the same for every call."""
    os.environ.update(
        {
            "__LITHOPS_BACKEND": "Shared memory",
            WORKER_ENV: "True",
            "PYTHONUNBUFFERED": "True",
            "LITHOPS_CONFIG": json.dumps(job.config),
            MONITORING_QUEUES_ENV: json.dumps(getattr(job, "monitoring_queues", None) or []),
            **{key: str(value) for key, value in job.extra_env.items()},
        }
    )


def _give_environment(task: SimpleNamespace) -> None:
    """Set those that are the call's."""
    os.environ["__LITHOPS_ACTIVATION_ID"] = uuid.uuid4().hex[:12]
    os.environ[SESSION_ID_ENV] = f"{task.job_key}-{task.call_id}"
