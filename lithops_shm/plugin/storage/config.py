"""What Lithops asks of a storage backend before it is made: check the section, fill in defaults."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import Any

from lithops.constants import LOCALHOST, SERVERLESS

from lithops_shm.config import LIFETIMES, SECTION
from lithops_shm.errors import UnsupportedError
from lithops_shm.plugin.callers import local_of
from lithops_shm.plugin.compute.config import load_config as load_compute_config
from lithops_shm.plugin.section import (
    confidential_settings,
    require_confidential,
    store_settings,
    worker_settings,
)

__all__ = ["load_config", "require_local_compute"]

# Compute backends whose functions run on this machine and see its memory.
LOCAL_COMPUTE = (SECTION, "localhost")
# The storage that belongs to a compute backend elsewhere, by how its name begins.
_STORAGE_OF = {
    "aws_": "aws_s3",
    "aliyun_": "aliyun_oss",
    "azure_": "azure_storage",
    "code_engine": "ibm_cos",
    "gcp_": "gcp_storage",
    "ibm_": "ibm_cos",
    "oracle_": "oracle_oss",
}
_POLLING = "shm_polling"
# Seconds between two looks at the storage for finished calls. Listing a job's directory in memory takes well under
# a millisecond; Lithops' default for storage in general is 2, for localhost 0.1.
_MONITORING_INTERVAL_S = 0.05


def load_config(config_data: dict[str, Any]) -> None:
    """Complete a Lithops configuration whose storage is `shm`, in place, as Lithops wants it.

    Raises
    ------
    ConfigError
        For unknown keys, wrong types and values in the section `shm`.
    UnsupportedError
        When the functions would run where this machine's memory is not.
    ConfidentialityError
        When the section says that data is confidential, and it could leave.
    """
    lithops = config_data.setdefault("lithops", {})
    section = config_data.get(SECTION)
    settings = store_settings(section)
    config_data[SECTION] = {**(section or {}), "storage_bucket": settings.storage_bucket}
    overwrite = _overwrite_of_executor()
    if overwrite is not None:
        if _warm_workers_apply(config_data, overwrite):
            lithops.update(mode=SERVERLESS, backend=SECTION)
            config_data[SECTION].update(overwrite.get("backend") or {})
            load_compute_config(config_data)
        require_local_compute(config_data)
    _keep_confidential(config_data, overwrite)
    lithops.setdefault("monitoring", SECTION if lithops.get("backend") == SECTION else _POLLING)
    if lithops["monitoring"] == SECTION and settings.lifetime == LIFETIMES[0]:
        # Ours deletes what a job leaves (see `leftovers`), so that Lithops need not start a process for it.
        config_data[SECTION].setdefault("data_cleaner", lithops.get("data_cleaner", True))
        lithops.setdefault("data_cleaner", False)
    lithops.setdefault("monitoring_interval", _MONITORING_INTERVAL_S)


def _keep_confidential(config_data: dict[str, Any], overwrite: dict[str, Any] | None) -> None:
    """If data is confidential, refuse what would take it away, and leave no job to Lithops' cleaner."""
    settings = confidential_settings(config_data[SECTION])
    if ((overwrite or {}).get("backend") or {}).get("confidential"):  # also where no warm workers take the argument
        settings = replace(settings, confidential=True)
    if not settings.confidential:
        return
    lithops = config_data["lithops"]
    # A `Storage` is here, whatever compute is configured for other occasions.
    compute = {} if overwrite is not None else {"backend": SECTION, "mode": SERVERLESS}
    require_confidential({**config_data, "lithops": {**lithops, **compute}}, replace(settings, network=None))
    # It is told what to delete in files, which hold names.
    config_data[SECTION].setdefault("data_cleaner", lithops.get("data_cleaner", True))
    lithops["data_cleaner"] = False


def _warm_workers_apply(config_data: dict[str, Any], overwrite: dict[str, Any]) -> bool:
    """Whether functions that would run on Lithops' localhost, because nobody said otherwise, get warm workers."""
    asked_for = (overwrite.get("lithops") or {}).get("backend")
    opted_out = worker_settings(config_data[SECTION]).compute != SECTION
    return config_data["lithops"].get("backend") == LOCALHOST and asked_for != LOCALHOST and not opted_out


def _overwrite_of_executor() -> dict[str, Any] | None:
    """What an executor that Lithops is configuring was called with; ``None`` for a `Storage` on its own.

    A `Storage` is always here, whatever compute its configuration names for other occasions. Lithops calls us from
    the same function for both, and no value tells them apart for sure: a user may have set each of those that
    `default_config` fills in, or pass an executor's whole configuration to a `Storage`. Who called does, and it alone
    knows what was an argument, and what a default.
    """
    overwrite: dict[str, Any] | None = local_of("default_config", "config_overwrite")
    return overwrite


def require_local_compute(config_data: dict[str, Any]) -> None:
    """Refuse functions that would run where this machine's memory is not, and let localhost's workers run this Python.

    Parameters
    ----------
    config_data:
        A configuration whose compute backend Lithops has completed; its `localhost.runtime` may be replaced.

    Raises
    ------
    UnsupportedError
        For another machine's compute, and for containers on this one.
    """
    backend = config_data["lithops"].get("backend")
    if backend not in LOCAL_COMPUTE:
        theirs = next((name for begin, name in _STORAGE_OF.items() if str(backend).startswith(begin)), None)
        instead = f"storage='{theirs}'" if theirs else "an object storage that they reach, such as storage='minio'"
        raise UnsupportedError(
            f"storage 'shm' is the memory of this machine, and functions on '{backend}' run on another: use it with "
            f"backend='{SECTION}', or keep '{backend}' with {instead}"
        )
    section = config_data.get("localhost") or {}
    runtime = section.get("runtime")
    if not runtime:
        return
    from lithops.localhost.config import LocalhostEnvironment, get_environment

    if get_environment(runtime) is LocalhostEnvironment.CONTAINER:
        raise UnsupportedError(
            f"the runtime '{runtime}' is a container image, and a container does not see this machine's shared "
            "memory: leave `localhost: {runtime: ...}` out, or use storage='localhost' with it"
        )
    # By default Lithops runs the first `python` in PATH, which need not be this one nor have what it has installed.
    if runtime == os.path.basename(sys.executable):
        section["runtime"] = sys.executable
