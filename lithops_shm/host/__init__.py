"""This machine as it is now: memory, control groups, CPUs, file systems, and settings that matter to segments.

Facts only, no judgement: what they mean is for the budget, the selector and the doctor to say. Nothing is cached that
can change, and nothing raises: what cannot be read or understood is ``None``. The root of each tree that is read is an
argument, so that tests can bring their own. Sizes are bytes. Settings of the kernel, which only the doctor reads,
are in :mod:`lithops_shm.host.system`.
"""

from __future__ import annotations

from lithops_shm.host.cgroup import cgroup_headroom, cgroup_limit, oom_kills, usable_cpus
from lithops_shm.host.filesystem import FileSystem, filesystem, free_bytes, is_tmpfs
from lithops_shm.host.logind import removes_ipc
from lithops_shm.host.memory import (
    Swap,
    memory_available,
    memory_total,
    private_bytes,
    swap_total,
    swap_used,
    swaps,
)

__all__ = [
    "FileSystem",
    "Swap",
    "cgroup_headroom",
    "cgroup_limit",
    "filesystem",
    "free_bytes",
    "is_tmpfs",
    "memory_available",
    "memory_total",
    "oom_kills",
    "private_bytes",
    "removes_ipc",
    "swap_total",
    "swap_used",
    "swaps",
    "usable_cpus",
]
