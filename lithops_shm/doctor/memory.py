"""Is there memory, how much of it may segments take, and how fast is it?"""

from __future__ import annotations

import re
from collections.abc import Sequence

from lithops_shm.doctor.finding import Finding, Severity
from lithops_shm.host import FileSystem, Swap
from lithops_shm.host.system import HugePages
from lithops_shm.sizes import size

__all__ = ["cgroup", "huge_pages", "machine", "shared_memory", "swap"]

_SMALL = 256 << 20  # Docker's default is 64 MiB, and a 500 MB object is an ordinary one
_NEARLY_FULL = 0.05  # of the whole
_COLLAPSES = (6, 1)  # the Linux that makes huge pages of a file on request (MADV_COLLAPSE)


def shared_memory(directory: str, where: FileSystem, container: str | None, *, spill: bool) -> Finding:
    """The tmpfs under the base directory: is it one, how large, how much is free."""
    facts = {
        "directory": directory,
        "type": where.type,
        "mount_point": where.mount_point,
        "total_bytes": where.total_bytes,
        "free_bytes": where.free_bytes,
    }
    name = "shared-memory"
    if not where.in_memory:
        return Finding(
            name,
            Severity.WARNING,
            f"{directory} is on {where.type or 'an unknown file system'}, not in memory",
            "Segments work there, at the speed of that file system, and their bytes reach its disk.",
            "Set `shm: {directory: ...}` to a directory on a tmpfs, such as one below /dev/shm.",
            facts,
        )
    total, free = where.total_bytes, where.free_bytes
    value = f"{directory}: {where.type} of {size(total)}, {size(free)} free"
    if total is not None and total < _SMALL:
        fate = "goes to disk" if spill else "is refused, because spilling is off"
        return Finding(
            name,
            Severity.WARNING if spill else Severity.PROBLEM,
            value,
            f"What does not fit {fate}.",
            _enlarge(where.mount_point or directory, container),
            facts,
        )
    if total is not None and free is not None and free < total * _NEARLY_FULL:
        return Finding(
            name,
            Severity.WARNING,
            value,
            "It is nearly full, and everything on it is memory, whoever put it there.",
            "See what is yours with `lithops-shm ls`, free what dead sessions left with `lithops-shm gc`, "
            f"and look for other files below {where.mount_point}.",
            facts,
        )
    return Finding(name, Severity.OK, value, facts=facts)


def _enlarge(mount_point: str, container: str | None) -> str:
    docker = "Start the container with `--shm-size=8g` (64 MiB is Docker's default)."
    kubernetes = "Mount an `emptyDir` with `medium: Memory` at /dev/shm in the pod; it counts against its memory limit."
    if container == "kubernetes":
        return kubernetes
    if container in ("docker", "podman"):
        return docker
    if container is not None:
        return f"In Docker or Podman: {docker} In Kubernetes: {kubernetes}"
    return f"Enlarge it: `mount -o remount,size=50% {mount_point}` as root, and the same in /etc/fstab."


def machine(available: int | None, total: int | None) -> Finding:
    """The memory of the machine."""
    facts = {"available_bytes": available, "total_bytes": total}
    if available is None or total is None:
        return Finding("memory", Severity.NOTE, "unknown", "There is no /proc/meminfo here to bound the budget.", "",
                       facts)  # fmt: skip
    value = f"{size(available)} available of {size(total)}"
    if available < total * _NEARLY_FULL:
        return Finding(
            "memory",
            Severity.WARNING,
            value,
            "New segments go to the spill directory when the machine has no memory left for them.",
            "End what else takes memory, or move to a larger machine.",
            facts,
        )
    return Finding("memory", Severity.OK, value, facts=facts)


def cgroup(limit: int | None, headroom: int | None, total: int | None) -> Finding:
    """The memory limit of the control group, as containers and services have one."""
    name, facts = "cgroup-memory", {"limit_bytes": limit, "headroom_bytes": headroom}
    if limit is None or (total is not None and limit >= total):
        return Finding(name, Severity.OK, "no limit below the machine's memory", facts=facts)
    value = f"limit of {size(limit)}, {size(headroom) if headroom is not None else 'unknown'} left"
    why = (
        "Segments count against the control group of the process that wrote them until they are deleted, "
        "and at the limit the kernel kills processes; the budget stays below it."
    )
    if headroom is not None and headroom < max(limit * _NEARLY_FULL, 64 << 20):
        change = "Raise the limit (`docker run --memory`, `resources.limits.memory`, `MemoryMax=`) or free memory."
        return Finding(name, Severity.WARNING, value, why, change, facts)
    return Finding(name, Severity.OK, value, why, facts=facts)


def swap(areas: Sequence[Swap] | None, where: FileSystem) -> Finding:
    """Whether the kernel may move segments to a disk."""
    on_disk = [area for area in areas or () if not area.in_memory]
    facts = {
        "total_bytes": sum(area.total_bytes for area in areas or ()),
        "used_bytes": sum(area.used_bytes for area in areas or ()),
        "on_disk": [area.path for area in on_disk],
        "noswap": where.option("noswap") is not None,
    }
    if areas is None:
        return Finding("swap", Severity.NOTE, "unknown", "There is no /proc/swaps here to read.", "", facts)
    if not on_disk:
        return Finding("swap", Severity.OK, "none on disk", facts=facts)
    total, used = sum(area.total_bytes for area in on_disk), sum(area.used_bytes for area in on_disk)
    value = f"{size(total)} on {', '.join(area.path for area in on_disk)}, {size(used)} in use"
    if facts["noswap"]:
        return Finding("swap", Severity.OK, f"{value}; {where.mount_point} is mounted noswap", facts=facts)
    return Finding(
        "swap",
        Severity.NOTE,
        value,
        "Under pressure the kernel writes segments to swap: slow to read back, and on disk in clear unless encrypted.",
        "For confidential data turn it off (`swapoff -a`), encrypt it, or set `shm: {directory: ...}` to a tmpfs "
        "mounted with `noswap` (Linux 6.4 and later).",
        facts,
    )


def huge_pages(setting: HugePages, where: FileSystem, release: str) -> Finding:
    """Whether large segments are on pages of 2 MiB or of 4 KiB, under a kernel of that release."""
    option = where.option("huge")
    facts = {"mount_option": option, "shmem_enabled": setting.shmem, "enabled": setting.enabled}
    name = "huge-pages"
    if setting.shmem is None or not where.in_memory:
        return Finding(name, Severity.OK, "not available here", facts=facts)
    # shmem_enabled rules memory without a mount; of mounts it only overrides the option, in these two cases.
    effective = {"deny": "never", "force": "always"}.get(setting.shmem, option or "never")
    if effective in ("always", "within_size"):
        return Finding(name, Severity.OK, f"{effective} on {where.mount_point}", facts=facts)
    if setting.shmem != "deny" and _version(release) >= _COLLAPSES:
        return Finding(
            name, Severity.OK, f"made by the store, for segments of 4 MiB and more (Linux {release})", facts=facts
        )
    cause = "refused by the kernel (shmem_enabled: deny)" if setting.shmem == "deny" else f"{effective}"
    allow = "`echo never > /sys/kernel/mm/transparent_hugepage/shmem_enabled`"
    remount = f"`mount -o remount,huge=within_size {where.mount_point}`"
    steps = [allow] if setting.shmem == "deny" else []
    steps += [remount] if _version(release) < _COLLAPSES else []
    change = f"{', then '.join(steps)} as root, on the host if this is a container."
    return Finding(
        name,
        Severity.NOTE,
        f"{cause} on {where.mount_point}",
        "With huge pages fresh segments were written about 2.5 times as fast where we measured it, "
        "and first reads took half as long.",
        change,
        facts,
    )


def _version(release: str) -> tuple[int, ...]:
    """The first two numbers of a kernel's release, such as ``6.1.0-18-amd64``; (0, 0) for other systems' names."""
    match = re.match(r"(\d+)\.(\d+)", release)
    return (int(match[1]), int(match[2])) if match else (0, 0)
