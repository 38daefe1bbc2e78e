"""What Lithops asks of a storage backend before it is made: check the section, fill in defaults."""

from __future__ import annotations

import os
import sys
from typing import Any

from lithops_shm.config import SECTION, StoreSettings
from lithops_shm.errors import UnsupportedError

__all__ = ["load_config", "settings_of"]

# Compute backends whose functions run on this machine and see its memory.
LOCAL_COMPUTE = ("localhost",)
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
    # Lithops sets `chunksize` while it prepares the compute backend: without it, this is a `Storage` on its own,
    # which is always here, whatever compute the configuration names for other occasions.
    if "chunksize" in lithops:
        _require_local_compute(config_data)
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


def _require_local_compute(config_data: dict[str, Any]) -> None:
    backend = config_data["lithops"].get("backend")
    if backend not in LOCAL_COMPUTE:
        raise UnsupportedError(
            f"storage 'shm' is the memory of this machine, and functions on '{backend}' run on another: use it with "
            f"backend='{LOCAL_COMPUTE[0]}', or keep '{backend}' with the object storage of its cloud (storage='aws_s3')"
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
