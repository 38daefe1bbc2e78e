"""What Lithops asks of a compute backend before it is made: check the section, fill in defaults."""

from __future__ import annotations

from typing import Any

from lithops_shm import host
from lithops_shm.config import SECTION
from lithops_shm.errors import ConfigError
from lithops_shm.plugin.section import confidential_settings, require_confidential, worker_settings

__all__ = ["load_config"]


def load_config(config_data: dict[str, Any]) -> None:
    """Complete a Lithops configuration whose compute is `shm`, in place, as Lithops wants it.

    Raises
    ------
    ConfigError
        For unknown keys, wrong types and values in the section `shm`.
    ConfidentialityError, UnsupportedError
        When it says that data is confidential, or workers have no network, and that cannot be.
    """
    section = config_data.get(SECTION)
    settings = worker_settings(section)
    processes = settings.worker_processes or host.usable_cpus()
    config_data[SECTION] = {
        **(section or {}),
        "worker_processes": processes,
        "max_workers": settings.max_workers or processes,
        "runtime_memory": settings.runtime_memory,
    }
    if settings.compute != SECTION:
        raise ConfigError(f"backend '{SECTION}' and `{SECTION}: {{compute: {settings.compute}}}` contradict each other")
    require_confidential(config_data, confidential_settings(section))
    config_data["lithops"].setdefault("monitoring", SECTION)
