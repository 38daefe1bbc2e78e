"""The section `shm` of a Lithops configuration, as settings; and what it forbids in the rest of it."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

from lithops_shm.config import SECTION, ConfidentialSettings, ShuffleSettings, StoreSettings, WorkerSettings
from lithops_shm.errors import UnsupportedError
from lithops_shm.store.process import CONFIDENTIAL_VARIABLE

__all__ = [
    "confidential_settings",
    "require_asked",
    "require_confidential",
    "shuffle_settings",
    "store_settings",
    "worker_settings",
]

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


def confidential_settings(section: Any) -> ConfidentialSettings:
    """What is confidential; all is in a process that a confidential job has started. Raises ConfigError."""
    settings = ConfidentialSettings.from_mapping(_settings(section))
    return replace(settings, confidential=settings.confidential or CONFIDENTIAL_VARIABLE in os.environ)


def require_confidential(config_data: dict[str, Any], settings: ConfidentialSettings) -> None:
    """Refuse what these settings forbid in a Lithops configuration, before anything is written.

    Raises
    ------
    ConfidentialityError
        When confidential data could leave, or touch a disk.
    UnsupportedError
        When workers are to have no network, and the kernel does not allow that here.
    """
    if settings.confidential:
        from lithops_shm.selector.confidential import require_local

        require_local(config_data, settings.trusted)
    if settings.network == "none":
        from lithops_shm.workers.seclusion import network_refusal

        if refusal := network_refusal():
            raise UnsupportedError(
                f"`shm: {{network: none}}` is not possible here: {refusal}. Allow user namespaces "
                "(`sysctl user.max_user_namespaces`, in a container its security profile), or leave `network` out"
            )


def require_asked(config_data: dict[str, Any], **arguments: str | None) -> None:
    """In an executor of ours, before Lithops has it: refuse a confidential job whose storage is not `shm`.

    Of the others Lithops asks us by itself; of these not at all, or after it has looked at the other storage.

    Parameters
    ----------
    config_data:
        Of the executor, as it will be given to Lithops.
    arguments:
        What the executor is called with in place of keys of the section `lithops`.

    Raises
    ------
    ConfidentialityError
    """
    given = {key: value for key, value in arguments.items() if value is not None}
    lithops = {**(config_data.get("lithops") or {}), **given}
    settings = confidential_settings(config_data.get(SECTION))
    asked_by_lithops = SECTION in (lithops.get("backend"), lithops.get("storage"))
    if settings.confidential and not (asked_by_lithops and lithops.get("storage", SECTION) == SECTION):
        from lithops_shm.selector.confidential import require_local

        require_local({**config_data, "lithops": lithops}, settings.trusted)


def _settings(section: Any) -> Any:
    if not isinstance(section, dict):
        return section
    return {key: value for key, value in section.items() if key not in _INJECTED}
