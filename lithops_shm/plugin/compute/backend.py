"""Lithops' jobs on the pool of warm workers."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import pickle
import pkgutil
import sys
import threading
from collections.abc import Collection, Hashable
from dataclasses import replace
from typing import Any

from lithops.constants import COMPUTE_CLI_MSG, TOTAL_EXECUTORS_ENV
from lithops.utils import BackendType
from lithops.version import __version__

from lithops_shm.config import SECTION, ConfidentialSettings, StoreSettings, WorkerSettings
from lithops_shm.errors import NotAdmittedError
from lithops_shm.plugin import running
from lithops_shm.plugin.callers import local_of
from lithops_shm.plugin.compute.statuses import Statuses
from lithops_shm.plugin.pointers import store_of
from lithops_shm.plugin.section import confidential_settings, store_settings, worker_settings
from lithops_shm.store import Store, reclaim
from lithops_shm.store.layout import KEPT, is_confidential
from lithops_shm.store.process import CONFIDENTIAL_VARIABLE
from lithops_shm.store.session import SESSION_VARIABLE
from lithops_shm.workers import Call, Job, Pool
from lithops_shm.workers.seclusion import HOST, IF_POSSIBLE, NONE, Seclusion

__all__ = ["ShmComputeBackend"]

logger = logging.getLogger(__name__)

_RUNNER = "lithops_shm.plugin.compute.runner:open_job"
_WARM_UP = "lithops_shm.plugin.compute.warm:warm_up"
_LAST_WILL = "lithops_shm.plugin.compute.backend:reclaim_segments"
_PRELOAD = (
    _RUNNER.partition(":")[0],
    _WARM_UP.partition(":")[0],
    "lithops.storage.backends.shm",
    "lithops.monitoring.backends.shm",
    "lithops_shm.refs",
)
# What the codec and shuffles load when they meet a library, for those that workers have loaded anyway.
_PRELOAD_WITH = {
    "numpy": ("lithops_shm.codec.arrays",),
    "pandas": ("lithops_shm.codec.frames",),
    "pyarrow": ("lithops_shm.codec.arrow", "lithops_shm.executor.tasks"),
}
# What a client will run in workers that has loaded this: packages that stand on this one.
_PRELOAD_IF_LOADED = {"seer_integration": ("seer_integration.runner.tasks",)}
# Lithops ends a call five seconds before its runtime ends; this one never does.
_RUNTIME_TIMEOUT_S = 10 * 365 * 86_400
_MB = 1_000_000

_lock = threading.Lock()
_pools: dict[Hashable, Pool] = {}


def shared_pool(workers: WorkerSettings, store: StoreSettings, seclusion: Seclusion) -> Pool:
    """The pool of this process with those settings: executors share it. Killed, the process leaves no segments."""
    with _lock:
        key = (workers, store.directory, store.spill_directory, seclusion)
        if key not in _pools:
            ours = [each for name in workers.preload for each in _PRELOAD_WITH.get(name, ())]
            ours += [each for name, those in _PRELOAD_IF_LOADED.items() if name in sys.modules for each in those]
            preloading = replace(workers, preload=(*workers.preload, *ours))
            last_will = f"{_LAST_WILL} {json.dumps(store.to_mapping())}"
            _pools[key] = Pool(preloading, _PRELOAD, last_will, seclusion)
        return _pools[key]


def seclusion_of(settings: ConfidentialSettings) -> Seclusion:
    """What workers are kept from by these settings."""
    network = {"none": NONE, "host": HOST, None: IF_POSSIBLE if settings.confidential else HOST}[settings.network]
    return Seclusion(settings.confidential, network)


def reclaim_segments(settings: str) -> None:
    """In the zygote of a process that was killed: reclaim its session, and whichever others are dead."""
    reclaim(StoreSettings.from_mapping(json.loads(settings)))


class ShmComputeBackend:
    """Functions in warm workers on this machine, through the methods Lithops calls.

    Parameters
    ----------
    config:
        The section `shm`.
    internal_storage:
        Lithops' storage of the executor, whichever backend it has.
    """

    name = SECTION
    type = BackendType.BATCH.value

    def __init__(self, config: dict[str, Any], internal_storage: Any) -> None:
        self.config = config
        self._storage = internal_storage
        self._settings = worker_settings(config)
        self._confidential = confidential_settings(config)
        store = replace(store_settings(config), session=None)
        self._pool = shared_pool(self._settings, store, seclusion_of(self._confidential))
        self._pool.start()
        self._job_keys: set[str] = set()
        logger.info(COMPUTE_CLI_MSG.format("Shared memory workers"))

    def invoke(self, runtime_name: str, runtime_memory: int, payload: dict[str, Any]) -> str:
        """Run the calls of a job; gives its key at once.

        Raises
        ------
        NotAdmittedError
            When its calls ask for more memory each than there is.
        """
        shared = {key: value for key, value in payload.items() if key not in ("call_ids", "data_byte_ranges")}
        ranges = payload["data_byte_ranges"]
        shared["data_bytes"] = ranges[-1][1] + 1  # of the arguments of all calls, which are one object
        if self._confidential.confidential:
            from lithops_shm.selector.confidential import shown_to_functions

            shared["config"] = shown_to_functions(shared["config"], self._confidential.trusted)
        calls = tuple(Call(call_id, pickle.dumps((call_id, ranges[int(call_id)]))) for call_id in payload["call_ids"])
        job_key: str = payload["job_key"]
        ours = store_of(self._storage) is not None
        shared["client_keeps_status"] = ours
        statuses = Statuses(payload, self._storage, keeps=ours)
        self._job_keys = {job_key, *filter(running.is_running, self._job_keys)}
        running.begin(job_key, statuses.keys, lambda: self._pool.cancel([job_key], kill=True), self._storage.put_data)
        job = Job(
            job_key,
            _RUNNER,
            pickle.dumps(shared),
            calls,
            statuses,
            group=payload["executor_id"],
            environ=self._environ(),
            directory=_directory(),
            timeout_s=payload["execution_timeout"],
            memory_bytes=(payload["runtime_memory"] or 0) * _MB,
            warm_up=_WARM_UP if ours else "",
            retries=self._settings.retries,
        )
        try:
            self._pool.submit(job)
        except NotAdmittedError:
            running.cancel([job_key])
            raise
        return job_key

    def _environ(self) -> dict[str, str]:
        """The environment of workers: this process's, and in it the session of this executor where there are two."""
        environ = {name: value for name, value in os.environ.items() if name != TOTAL_EXECUTORS_ENV}
        confidential = self._confidential.confidential
        if confidential or is_confidential(os.path.basename(environ.get(SESSION_VARIABLE, ""))):
            store = getattr(self._storage.storage.storage_handler, "store", None)
            environ.pop(SESSION_VARIABLE, None)
            if isinstance(store, Store) and store.session.id != KEPT:
                environ[SESSION_VARIABLE] = store.session.directory
        if confidential:
            environ[CONFIDENTIAL_VARIABLE] = "1"
        return environ

    def clear(self, job_keys: Collection[str] | None = None) -> None:
        """End the calls of jobs nobody waits for any longer: all of the executor's, or those of a job that failed.

        After a job that went well Lithops calls this too, also when it was waited for in part; its other calls go on.
        """
        if job_keys is None:
            running.cancel(self._job_keys)
        elif local_of("clear", "exception") is not None:
            running.cancel(job_keys)

    def await_end(self, job_keys: Collection[str], timeout_s: float) -> bool:
        """Wait until no process of these jobs is left that could still write; gives whether that was in time."""
        return self._pool.await_end(job_keys, timeout_s)

    def clean(self, **options: Any) -> None:
        """Nothing is deployed, so there is nothing to remove."""

    def deploy_runtime(self, runtime_name: str, memory: int, timeout: int) -> dict[str, Any]:
        """What workers can import, and which Python and Lithops they run: those of this process."""
        return {
            "preinstalls": _installed(),
            "python_version": f"{sys.version_info[0]}.{sys.version_info[1]}",
            "lithops_version": __version__,
        }

    def build_runtime(self, runtime_name: str, file: str, extra_args: Any = ()) -> None:
        """Nothing is built: workers run this Python."""

    def delete_runtime(self, runtime_name: str, memory: int, version: str = __version__) -> None:
        """Nothing is deployed."""

    def list_runtimes(self, runtime_name: str = "all") -> list[Any]:
        """Nothing is deployed."""
        return []

    def get_runtime_key(self, runtime_name: str, memory: int, version: str = __version__) -> str:
        """A name for this Python and what is installed for it: Lithops keeps what it learns of a runtime on disk."""
        # A directory of packages changes when one is installed; that of a script whenever anything is written there.
        places = [f"{path} {_modified_ns(path) if 'site-packages' in path else ''}" for path in sys.path]
        environment = hashlib.sha256("\0".join([sys.executable, *places]).encode()).hexdigest()[:12]
        return f"{SECTION}/{version}/{runtime_name}-{environment}"

    def calc_cost(self, runtimes: Any, memory: Any, *arguments: Any, **options: Any) -> float:
        """USD for calls that took `runtimes` seconds each with `memory` MB each: a machine of one's own bills none."""
        return 0.0

    def get_runtime_info(self) -> dict[str, Any]:
        """The limits the executor reports."""
        return {
            "runtime_name": f"python{sys.version_info[0]}.{sys.version_info[1]}",
            "runtime_memory": self._settings.runtime_memory,
            "runtime_timeout": _RUNTIME_TIMEOUT_S,
            "max_workers": self._pool.slots,
        }


def _directory() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:
        return "/"


def _modified_ns(path: str) -> int:
    """When a directory of modules was last added to; 0 for what is none."""
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0


def _installed() -> list[list[Any]]:
    """The modules workers find by themselves; those that lie beside the script are shipped with the job instead."""
    named = [os.path.abspath(path) for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    roots = tuple(os.path.abspath(path) + os.sep for path in (sys.prefix, sys.base_prefix, sys.exec_prefix))
    absolute = [os.path.abspath(path) for path in sys.path if path]
    paths = [path for path in absolute if path in named or (path + os.sep).startswith(roots)]
    # Our own package they run, wherever it is: an editable install, or a checkout that is the working directory.
    return sorted([["lithops_shm", True], *([name, package] for _, name, package in pkgutil.iter_modules(paths))])
