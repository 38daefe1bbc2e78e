"""What Lithops asks of a storage backend before it is made: check the section, fill in defaults."""

from __future__ import annotations

import os
import sys
from types import FrameType
from typing import Any

from lithops_shm.config import SECTION, StoreSettings
from lithops_shm.errors import UnsupportedError

__all__ = ["load_config", "require_local_compute", "settings_of"]

# Compute backends whose functions run on this machine and see its memory.
LOCAL_COMPUTE = ("localhost",)
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
# What Lithops writes into a backend's section by itself.
_INJECTED = ("user_agent",)
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
    """
    lithops = config_data.setdefault("lithops", {})
    if _functions_will_run():
        require_local_compute(config_data)
    section = config_data.get(SECTION)
    settings = settings_of(section)
    config_data[SECTION] = {**(section or {}), "storage_bucket": settings.storage_bucket}
    lithops.setdefault("monitoring", SECTION)
    lithops.setdefault("monitoring_interval", _MONITORING_INTERVAL_S)


def settings_of(section: Any) -> StoreSettings:
    """The settings in a section of a Lithops configuration, without what Lithops adds to it."""
    if isinstance(section, dict):
        section = {key: value for key, value in section.items() if key not in _INJECTED}
    return StoreSettings.from_mapping(section)


def _functions_will_run() -> bool:
    """Whether Lithops is configuring an executor, and not a `Storage` on its own.

    A `Storage` is always here, whatever compute its configuration names for other occasions. Lithops calls us from
    the same function for both, and no value tells them apart for sure: a user may have set each of those that
    `default_config` fills in, or pass an executor's whole configuration to a `Storage`. Who called does.
    """
    from lithops.config import default_config

    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if frame.f_code is default_config.__code__:
            return True
        frame = frame.f_back
    return False


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
            f"backend='{LOCAL_COMPUTE[0]}', or keep '{backend}' with {instead}"
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
