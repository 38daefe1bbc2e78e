"""Where an executor runs: what its arguments, and the configuration, say of shared memory."""

from __future__ import annotations

import copy
import os
from typing import Any

from lithops.config import get_default_config_filename, load_config

from lithops_shm.config import SECTION
from lithops_shm.errors import ConfigError

__all__ = ["AUTO", "SHARED_MEMORY", "configured"]

SHARED_MEMORY = "shared_memory"
AUTO = "auto"
"""The backend that is not one yet: the selector chooses."""


def configured(
    config: dict[str, Any] | None,
    config_file: str | None,
    mode: str | None = None,
    backend: str | None = None,
    storage: str | None = None,
    *,
    confidential: bool = False,
) -> dict[str, Any]:
    """The configuration of an executor, in which the mode ``shared_memory`` is spelled out in words Lithops has.

    Arguments win over the configuration. Where neither names a mode or a backend, shared memory is chosen, unless one
    of them names another storage.

    Parameters
    ----------
    config, config_file, mode, backend, storage:
        As Lithops' executor takes them; `backend` may be ``"auto"``.
    confidential:
        Written into the section `shm`, which may say so already.

    Raises
    ------
    ConfigError
        When the mode is ``shared_memory`` and the backend another one.
    """
    found = copy.deepcopy(config) if config else load_config(config_file, log=False)
    if not (config or config_file or "LITHOPS_CONFIG" in os.environ or get_default_config_filename()):
        found["lithops"] = {}  # what Lithops makes up when there is no configuration is nobody's choice
    section = found["lithops"] = found.get("lithops") or {}
    if confidential:
        found[SECTION] = {**(found.get(SECTION) or {}), "confidential": True}
    if backend == AUTO:
        section["backend"] = AUTO
        section.pop("mode", None)
    if storage and section.get("backend") == AUTO:
        raise ConfigError(
            f"backend '{AUTO}' chooses the storage too: leave out storage='{storage}', or name the remote choice with "
            "`selector: {backend: ..., storage: ...}`"
        )
    if mode == SHARED_MEMORY:  # what the configuration says of these was meant for other executors
        section.update(mode=mode, backend=SECTION, storage=SECTION)
    undecided = not (backend or mode or section.get("mode") or section.get("backend"))
    if undecided and (storage or section.get("storage") or SECTION) == SECTION:
        section["mode"] = SHARED_MEMORY
    if section.get("mode") == SHARED_MEMORY:
        other = backend or section.get("backend") or SECTION
        if other != SECTION:
            raise ConfigError(
                f"mode '{SHARED_MEMORY}' runs functions in warm workers on this machine, and backend '{other}' does "
                "not: name one of them"
            )
        del section["mode"]
        section.update(backend=SECTION, storage=section.get("storage") or SECTION)
    return found
