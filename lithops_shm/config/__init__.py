"""Our sections of the Lithops configuration, validated once and passed down.

Sizes are bytes. At this edge, and only here, they may be written with a unit: ``"2 GiB"``, ``"500 MB"``.
"""

from __future__ import annotations

from lithops_shm.config.selector import SelectorSettings
from lithops_shm.config.shm import (
    COMPUTES,
    LIFETIMES,
    SECTION,
    ConfidentialSettings,
    ShuffleSettings,
    StoreSettings,
    WorkerSettings,
)
from lithops_shm.config.values import parse_bytes, unknown_key

__all__ = [
    "COMPUTES",
    "LIFETIMES",
    "SECTION",
    "ConfidentialSettings",
    "SelectorSettings",
    "ShuffleSettings",
    "StoreSettings",
    "WorkerSettings",
    "parse_bytes",
    "unknown_key",
]
