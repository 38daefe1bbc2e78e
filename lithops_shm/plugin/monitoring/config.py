"""What Lithops asks of a monitoring backend before it is made."""

from __future__ import annotations

from typing import Any

from lithops_shm.config import SECTION

__all__ = ["load_config"]


def load_config(config_data: dict[str, Any]) -> None:
    """Fall back to looking into the storage where functions run in workers that cannot push, in place."""
    lithops = config_data["lithops"]
    if lithops.get("backend") != SECTION:
        lithops["monitoring"] = f"{SECTION}_polling" if lithops.get("storage") == SECTION else "storage"
