"""The section `shm` of a Lithops configuration, as settings."""

from __future__ import annotations

from typing import Any

from lithops_shm.config import ShuffleSettings, StoreSettings, WorkerSettings

__all__ = ["shuffle_settings", "store_settings", "worker_settings"]

# What is in the section besides settings, written by Lithops and by the storage backend's configuration.
_INJECTED = ("user_agent", "data_cleaner")


def store_settings(section: Any) -> StoreSettings:
    """Those of the store; raises ConfigError."""
    return StoreSettings.from_mapping(_settings(section))


def worker_settings(section: Any) -> WorkerSettings:
    """Those of the workers; raises ConfigError."""
    return WorkerSettings.from_mapping(_settings(section))


def shuffle_settings(section: Any) -> ShuffleSettings:
    """Those of shuffles; raises ConfigError."""
    return ShuffleSettings.from_mapping(_settings(section))


def _settings(section: Any) -> Any:
    if not isinstance(section, dict):
        return section
    return {key: value for key, value in section.items() if key not in _INJECTED}
