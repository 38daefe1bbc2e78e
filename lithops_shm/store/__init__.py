"""Segments: immutable files in shared memory, by bucket and key. Knows nothing of Lithops or Arrow."""

from lithops_shm.store.segment import Segment, SegmentInfo
from lithops_shm.store.store import Store
from lithops_shm.store.upkeep import Reclaimed, SessionReport, StoreReport, inspect, reclaim
from lithops_shm.store.writer import InPlace, SegmentWriter

__all__ = [
    "InPlace",
    "Reclaimed",
    "Segment",
    "SegmentInfo",
    "SegmentWriter",
    "SessionReport",
    "Store",
    "StoreReport",
    "inspect",
    "reclaim",
]
