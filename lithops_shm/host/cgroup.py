"""What the control groups of this process allow it: memory and CPUs; versions 1, 2 and both at once.

A limit binds everything below it, so each is looked for in the process's own group and in every ancestor that can be
seen. Inside a container the mount often begins at the container's own group; what lies above cannot be seen.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import lru_cache

from lithops_shm.host.files import Path, mounts, number, read

__all__ = ["cgroup_headroom", "cgroup_limit", "oom_kills", "usable_cpus"]

# Version 1 says "no limit" with the largest multiple of the page size that fits in 63 bits.
_UNLIMITED = 1 << 60


def cgroup_limit(proc: Path = "/proc") -> int | None:
    """Most memory this process's control groups may take together, in bytes; ``None`` without a limit."""
    return min((limit for _, _, limit in _limited(proc)), default=None)


def cgroup_headroom(proc: Path = "/proc") -> int | None:
    """Bytes that can be taken before a control group is at its limit; ``None`` without a limit.

    File cache that the kernel would drop first counts as free, as in the Kubernetes working set. The least over the
    process's group and its ancestors, never negative: an ancestor's memory is used by its other children too.
    """
    least = None
    for directory, version, limit in _limited(proc):
        used = number(f"{directory}/{_USED[version]}")
        if used is None:
            continue
        free = max(0, min(limit, limit - used + _reclaimable(directory, version)))
        least = free if least is None else min(least, free)
    return least


def usable_cpus(proc: Path = "/proc") -> int:
    """CPUs this process may keep busy: the lesser of its affinity and the quota of its control groups, rounded up."""
    try:
        count = len(os.sched_getaffinity(0))
    except (AttributeError, OSError):  # no such call on macOS
        count = os.cpu_count() or 1
    for directory, version in _groups("cpu", proc):
        if version == 1:
            quota, period = number(f"{directory}/cpu.cfs_quota_us"), number(f"{directory}/cpu.cfs_period_us")
        else:
            words = (read(f"{directory}/cpu.max") or "").split()
            quota, period = (int(word) if word.isdecimal() else None for word in (*words, "", "")[:2])
        if quota is not None and period and quota > 0:
            count = min(count, -(-quota // period))
    return max(1, count)


def oom_kills(proc: Path = "/proc") -> int:
    """How many processes the kernel has killed for lack of memory, in this process's control group, else in all."""
    for directory, version in _groups("memory", proc)[:1]:
        found = _counted(read(f"{directory}/{_KILLS[version]}"))
        if found is not None:
            return found
    return _counted(read(os.path.join(proc, "vmstat"))) or 0


def _counted(text: str | None) -> int | None:
    """The number after ``oom_kill`` in a table of counters."""
    _, found, rest = ("\n" + (text or "")).partition("\noom_kill ")
    return int(rest.split(maxsplit=1)[0]) if found else None


_KILLS = {1: "memory.oom_control", 2: "memory.events"}
_USED = {1: "memory.usage_in_bytes", 2: "memory.current"}
_INACTIVE_FILE = {1: "\ntotal_inactive_file ", 2: "\ninactive_file "}


def _limited(proc: Path) -> Iterator[tuple[str, int, int]]:
    """The groups with a memory limit: directory, version, bytes."""
    for directory, version in _groups("memory", proc):
        if version == 1:
            limits = [number(f"{directory}/memory.limit_in_bytes")]
        else:
            # Past memory.high nobody is killed, but whoever writes is stalled; segments cannot be reclaimed.
            limits = [number(f"{directory}/memory.max"), number(f"{directory}/memory.high")]
        known = [limit for limit in limits if limit is not None and 0 <= limit < _UNLIMITED]
        if known:
            yield directory, version, min(known)


def _reclaimable(directory: str, version: int) -> int:
    """Bytes of file cache not used lately. Not tmpfs: its pages are anonymous to the kernel."""
    _, found, rest = ("\n" + (read(f"{directory}/memory.stat") or "")).partition(_INACTIVE_FILE[version])
    value = rest.partition("\n")[0]
    return int(value) if found and value.isdecimal() else 0


def _groups(controller: str, proc: Path) -> tuple[tuple[str, int], ...]:
    """Directories of the process's group and its ancestors, nearest first, with the version of the hierarchy."""
    membership = read(os.path.join(proc, "self", "cgroup"))
    return () if membership is None else _groups_of(membership, controller, os.fspath(proc))


@lru_cache(maxsize=16)
def _groups_of(membership: str, controller: str, proc: str) -> tuple[tuple[str, int], ...]:
    """Cached, because mounts of the control groups do not move; a process that does brings another `membership`."""
    paths = {}
    for line in membership.splitlines():
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0" and not controllers:
            paths[2] = path
        elif controller in controllers.split(","):
            paths[1] = path
    # A controller is in one hierarchy at a time; a system with both lists it by name while version 1 has it.
    version = 1 if 1 in paths else 2
    if version not in paths:
        return ()
    return tuple((directory, version) for directory in _directories(paths[version], controller, version, proc))


def _directories(path: str, controller: str, version: int, proc: str) -> Iterator[str]:
    seen = [
        mount
        for mount in mounts(proc)
        if (mount.type == "cgroup2" if version == 2 else mount.type == "cgroup" and controller in mount.options)
    ]
    within = [mount for mount in seen if _below(path, mount.root) is not None]
    if not seen:
        return
    if within:
        mount = min(within, key=lambda mount: len(mount.root))  # the one with the most ancestors in sight
        relative = _below(path, mount.root) or ""
    else:
        # A group outside what is mounted, as after moving between namespaces: the top of the mount still binds.
        mount, relative = seen[-1], ""
    directory = f"{mount.point.rstrip('/')}/{relative}".rstrip("/")
    top = mount.point.rstrip("/")
    while len(directory) > len(top):
        yield directory
        directory = directory.rpartition("/")[0]
    yield top or "/"


def _below(path: str, root: str) -> str | None:
    """`path` relative to `root`; ``None`` when it is not below it, or climbs."""
    if ".." in path.split("/"):
        return None
    root = root.rstrip("/")
    if path == root or path.startswith(root + "/"):
        return path[len(root) :].strip("/")
    return None
