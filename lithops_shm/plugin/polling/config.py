"""The monitoring backend has no settings of its own."""

from __future__ import annotations

from typing import Any

__all__ = ["load_config"]


def load_config(config_data: dict[str, Any]) -> None:
    """Nothing to fill in: the section `shm` is checked by the storage backend."""
