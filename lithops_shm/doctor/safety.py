"""Who else could get at the data, or take it away?"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from lithops_shm.doctor.finding import Finding, Severity
from lithops_shm.host import FileSystem, Swap
from lithops_shm.host.system import CoreDumps
from lithops_shm.sizes import size
from lithops_shm.store import StoreReport

__all__ = ["base_directory", "confidential", "core_dumps", "dead_sessions", "open_files", "removed_at_logout", "spill"]

_LITTLE_DISK = 1 << 30
_FEW_FILES = 4096


def base_directory(directory: str, *, exists: bool, refusal: str | None, writable: bool) -> Finding:
    """The base directory: private to this user, or to be made where this user may make it.

    Parameters
    ----------
    refusal:
        What the store says against it; ``None`` when it has nothing against it.
    writable:
        Whether it, or while it does not exist the directory it would be made in, can be written to.
    """
    name, facts = "base-directory", {"directory": directory, "exists": exists}
    if refusal is not None:
        why = "Whoever can read or replace it can read or replace your data, so the store does not open there."
        return Finding(name, Severity.PROBLEM, refusal, why, _elsewhere(directory), facts)
    if not writable:
        why = "The store cannot make its files there."
        return Finding(name, Severity.PROBLEM, f"{directory} cannot be written to", why, _elsewhere(directory), facts)
    value = f"{directory} is private to you" if exists else f"{directory} will be made on first use"
    return Finding(name, Severity.OK, value, facts=facts)


def _elsewhere(directory: str) -> str:
    return f"Remove {directory} if it is yours to remove, or set `shm: {{directory: ...}}` to another place in memory."


def spill(directory: str | None, where: FileSystem | None, *, refusal: str | None, writable: bool) -> Finding:
    """The directory for what does not fit in memory; `directory` is ``None`` when spilling is off."""
    name = "spill-directory"
    if directory is None or where is None:
        return Finding(
            name,
            Severity.NOTE,
            "off",
            "Objects that do not fit in memory are refused with StoreFullError.",
            "Leave it so for data that must not reach a disk; otherwise remove `shm: {spill: false}`.",
            {"directory": None},
        )
    facts = {
        "directory": directory,
        "type": where.type,
        "total_bytes": where.total_bytes,
        "free_bytes": where.free_bytes,
        "in_memory": where.in_memory,
    }
    if refusal is not None or not writable:
        why = "Objects that do not fit in memory could not be written anywhere."
        change = "Set `shm: {spill_directory: ...}` to a directory on disk that you can write to, or `spill: false`."
        return Finding(name, Severity.PROBLEM, refusal or f"{directory} cannot be written to", why, change, facts)
    value = f"{directory} on {where.type or 'an unknown file system'}, {size(where.free_bytes)} free"
    if where.in_memory:
        why = "It is in memory itself: spilling there frees nothing, and memory runs out all the same."
        change = "Set `shm: {spill_directory: ...}` to a directory on disk."
        return Finding(name, Severity.WARNING, value, why, change, facts)
    if where.free_bytes is not None and where.free_bytes < _LITTLE_DISK:
        why = "When memory and this disk are full, writing fails with StoreFullError."
        change = "Free space there, or set `shm: {spill_directory: ...}` to a larger disk."
        return Finding(name, Severity.WARNING, value, why, change, facts)
    return Finding(name, Severity.OK, value, facts=facts)


def core_dumps(setting: CoreDumps) -> Finding:
    """Whether a crash would write data to a file."""
    facts = {"limit_bytes": setting.limit_bytes, "pattern": setting.pattern, "filter": setting.filter}
    if not setting.enabled:
        return Finding("core-dumps", Severity.OK, "off", facts=facts)
    pattern = setting.pattern or "an unknown file"
    target = f"handed to {pattern[1:].split(' ')[0]}" if pattern.startswith("|") else f"written to {pattern}"
    # core(5): bit 3 is shared mappings of files that exist; deleted ones count as shared anonymous memory, bit 1.
    mapped = bool((setting.filter or 0) & 0b1000)
    what = "every segment it has mapped" if mapped else "deleted segments it has still mapped"
    return Finding(
        "core-dumps",
        Severity.NOTE,
        f"on, {target}",
        f"The core of a worker that crashes holds copies it made of your data, and {what}.",
        "For confidential data: `ulimit -c 0` before starting, and where cores go to systemd-coredump `Storage=none` "
        "in /etc/systemd/coredump.conf.",
        facts,
    )


def confidential(refusal: str, areas: Sequence[Swap] | None, where: FileSystem) -> Finding:
    """Whether confidential jobs get what the kernel can do for them.

    Parameters
    ----------
    refusal:
        Why their functions cannot have a network namespace of their own; empty when they can.
    areas:
        The swap areas in use; ``None`` when unknown.
    where:
        Of the base directory.
    """
    swapped = where.option("noswap") is None and (areas is None or any(not area.in_memory for area in areas))
    facts = {"network_namespace": not refusal, "refusal": refusal, "may_swap": swapped, "in_memory": where.in_memory}
    name = "confidential"
    value = "functions have the network of this machine" if refusal else "functions have no network"
    value += ", segments may be swapped to disk" if swapped else ", segments are not swapped to disk"
    why, change = [], []
    if not where.in_memory:
        why.append("Confidential jobs are refused: the base directory is not in memory.")
        change.append("Set `shm: {directory: ...}` to a directory on a tmpfs.")
    if refusal:
        why.append(f"Functions of confidential jobs can send data away: no namespace for them ({refusal}).")
        change.append("Allow user namespaces: `sysctl user.max_user_namespaces`, in a container its security profile.")
    if swapped:
        why.append("The kernel may write confidential data to a disk.")
        change.append("`swapoff -a`, an encrypted swap device, or a tmpfs mounted with `noswap`.")
    if not why:
        return Finding(name, Severity.OK, value, facts=facts)
    return Finding(name, Severity.NOTE, value, " ".join(why), " ".join(change), facts)


def removed_at_logout(directory: str, removes: bool | None) -> Finding:
    """Whether logind would delete the segments of this user at logout."""
    name, facts = "remove-ipc", {"removes": removes}
    inside = os.path.realpath(directory).startswith("/dev/shm/")  # logind looks nowhere else
    if removes is None and inside:
        return Finding(
            name,
            Severity.NOTE,
            "unknown: RemoveIPC in logind.conf is not a yes or a no",
            "With RemoveIPC=yes logind deletes your files in /dev/shm when you log out.",
            "Correct it in /etc/systemd/logind.conf or its drop-ins.",
            facts,
        )
    if removes and inside:
        return Finding(
            name,
            Severity.WARNING,
            "logind deletes your files in /dev/shm when you log out",
            "A job that outlives your login, as under nohup or tmux, loses its segments then.",
            "`loginctl enable-linger`, or RemoveIPC=no in /etc/systemd/logind.conf and a restart of systemd-logind.",
            facts,
        )
    return Finding(name, Severity.OK, "segments survive logging out", facts=facts)


def open_files(limit: int | None) -> Finding:
    """The descriptors this process may have open: a mapped segment keeps one."""
    facts = {"limit": limit}
    if limit is None or limit >= _FEW_FILES:
        return Finding("open-files", Severity.OK, "unlimited" if limit is None else f"{limit:,}", facts=facts)
    return Finding(
        "open-files",
        Severity.NOTE if limit >= 1024 else Severity.WARNING,
        f"{limit:,}",
        "Every segment a process holds a view of keeps a file open; past the limit attaching fails (EMFILE).",
        "`ulimit -n 65536` before starting, within the hard limit that `ulimit -Hn` shows.",
        facts,
    )


def dead_sessions(report: StoreReport | None) -> Finding:
    """What dead sessions have left; `report` is ``None`` when the store refused to be looked at."""
    name = "sessions"
    if report is None:
        return Finding(name, Severity.NOTE, "not looked at", "The base directory is not safe, see there.")
    dead = [session for session in report.sessions if not session.alive]
    memory, disk = sum(session.memory_bytes for session in dead), sum(session.spilled_bytes for session in dead)
    facts: dict[str, Any] = {
        "live": len(report.sessions) - len(dead),
        "dead": len(dead),
        "memory_bytes": report.memory_bytes,
        "spilled_bytes": report.spilled_bytes,
        "reclaimable_memory_bytes": memory,
        "reclaimable_spilled_bytes": disk,
    }
    value = f"{facts['live']} live, {size(report.memory_bytes)} in memory, {size(report.spilled_bytes)} on disk"
    if not dead:
        return Finding(name, Severity.OK, value, facts=facts)
    return Finding(
        name,
        Severity.NOTE,
        f"{value}; {len(dead)} dead with {size(memory + disk)} of that",
        "Processes that were killed have left segments; the next session to start removes them.",
        "`lithops-shm gc` removes them now.",
        facts,
    )
