"""What workers have done before they get a job.

Once, in the process they are forked from, what each would make or look up for itself: importing this module does it.
And in each, while it waits, a call that does nothing. A forked process copies a page of memory when it first writes to
it, and using an object is writing, because it is counted: a thousand pages in its first call, half of the time of that.
"""

from __future__ import annotations

import contextlib
import os
import pickle
from types import SimpleNamespace

import cloudpickle
from lithops.config import extract_storage_config
from lithops.constants import REDUCE_JOB_ENV
from lithops.storage import InternalStorage

from lithops_shm import host
from lithops_shm.config import SECTION
from lithops_shm.errors import SegmentNotFoundError
from lithops_shm.plugin.compute.logs import prepare
from lithops_shm.plugin.compute.runner import LithopsJob
from lithops_shm.plugin.section import store_settings
from lithops_shm.store import Store, memory
from lithops_shm.store.layout import layout_of
from lithops_shm.store.owner import is_alive

__all__ = ["warm_up"]

prepare()
# Asked for what they remember of this machine: where control groups are mounted, how large its huge pages are.
host.cgroup_headroom()
memory.huge_page_bytes()

_FUNCTION = pickle.dumps({"func": cloudpickle.dumps(lambda value: value), "module_data": {}})
_ARGUMENTS = pickle.dumps({"value": None})
# Set by a user, or for a job: Lithops would run what they name, or wait for other calls.
_NOT_OURS = ("PRE_RUN", "POST_RUN", REDUCE_JOB_ENV)


def warm_up(payload: bytes) -> None:
    """In a worker without a job, run a call that does nothing the way the last job's were run.

    It stores nothing, and what it reads is given to it. It opens no session, and lets go of the one it has joined. The
    environment it leaves is a job's to set.

    Parameters
    ----------
    payload:
        Of the last job, whose storage is a store of ours.
    """
    job = SimpleNamespace(**pickle.loads(payload))
    settings = store_settings(job.config[SECTION])
    if settings.session is None or not is_alive(layout_of(settings), settings.session):
        return
    for name in _NOT_OURS:
        os.environ.pop(name, None)
    job.extra_env, job.data_bytes = {}, len(_ARGUMENTS)
    storage = InternalStorage(extract_storage_config(job.config))
    handler = storage.storage.storage_handler
    with handler.store as store:
        handler.store = _Given(store, {job.func_key: _FUNCTION, job.data_key: _ARGUMENTS})
        LithopsJob(job, storage)(pickle.dumps(("00000", (0, len(_ARGUMENTS) - 1))))


class _Given:
    """A store that looks for its objects, and has others."""

    def __init__(self, store: Store, objects: dict[str, bytes]) -> None:
        self._store = store
        self._objects = objects

    def read(self, bucket: str, key: str) -> bytes:
        with contextlib.suppress(SegmentNotFoundError):
            self._store.read(bucket, key)
        return self._objects[key]
