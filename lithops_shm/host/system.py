"""Settings of the system that decide where the bytes of a segment may end up, and how fast they move."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass

from lithops_shm.host.files import Path, read
from lithops_shm.host.logind import removes_ipc

__all__ = [
    "CoreDumps",
    "HugePages",
    "container",
    "core_dumps",
    "file_descriptor_limit",
    "huge_pages",
    "kernel_release",
    "removes_ipc",
]


@dataclass(frozen=True, slots=True)
class CoreDumps:
    """What happens to the memory of a process that crashes.

    Parameters
    ----------
    limit_bytes:
        Largest core file (soft limit); ``None`` for no limit.
    pattern:
        The file name, or after ``|`` the program that is given the core whatever the limit; ``None`` when unknown.
    filter:
        Bits that say which mappings are written, see core(5); ``None`` when unknown.
    """

    limit_bytes: int | None
    pattern: str | None
    filter: int | None

    @property
    def enabled(self) -> bool:
        """Whether a core may be written. A program behind ``|`` is run for a limit of 0 too, but not for 1."""
        piped = (self.pattern or "").startswith("|")
        return self.limit_bytes != 1 if piped else self.limit_bytes != 0 and self.pattern != ""


def core_dumps(proc: Path = "/proc") -> CoreDumps:
    """The settings of this process."""
    pattern = read(os.path.join(proc, "sys", "kernel", "core_pattern"))
    mask = read(os.path.join(proc, "self", "coredump_filter"))
    try:
        bits = None if mask is None else int(mask, 16)
    except ValueError:
        bits = None
    return CoreDumps(_soft_limit("RLIMIT_CORE"), None if pattern is None else pattern.strip(), bits)


def file_descriptor_limit() -> int | None:
    """How many files this process may have open at once (soft limit); ``None`` for no limit."""
    return _soft_limit("RLIMIT_NOFILE")


def _soft_limit(name: str) -> int | None:
    import resource

    soft = resource.getrlimit(getattr(resource, name))[0]
    return None if soft == resource.RLIM_INFINITY else soft


@dataclass(frozen=True, slots=True)
class HugePages:
    """Transparent huge pages: the chosen word for anonymous memory (`enabled`) and for shared memory (`shmem`).

    A mounted tmpfs follows its own ``huge=`` option instead, unless `shmem` is ``deny`` or ``force``.
    """

    enabled: str | None
    shmem: str | None


def huge_pages(sys: Path = "/sys") -> HugePages:
    """The settings of the machine; ``None`` where the kernel has none."""
    home = os.path.join(sys, "kernel", "mm", "transparent_hugepage")
    return HugePages(_chosen(os.path.join(home, "enabled")), _chosen(os.path.join(home, "shmem_enabled")))


def _chosen(path: str) -> str | None:
    """The word in brackets, as in ``always [madvise] never``."""
    match = re.search(r"\[(\w+)\]", read(path) or "")
    return match[1] if match else None


def kernel_release() -> str:
    """Such as ``6.1.0-18-amd64``."""
    return os.uname().release


# How the common runtimes name the control groups they make.
_RUNTIMES = (
    (r"/kubepods", "kubernetes"),
    (r"\bdocker[-/][0-9a-f]{12}", "docker"),
    (r"\blibpod-[0-9a-f]{12}", "podman"),
    (r"\bcontainerd[-/:][0-9a-f]{12}", "containerd"),
    (r"/lxc(\.payload\.|/)", "lxc"),
)


def container(root: Path = "/", environ: dict[str, str] | None = None) -> str | None:
    """The kind of container this process runs in, by the traces that runtimes leave; ``None`` when there is none."""
    environ = dict(os.environ) if environ is None else environ
    if "AWS_LAMBDA_FUNCTION_NAME" in environ:
        return "lambda"
    if "KUBERNETES_SERVICE_HOST" in environ:
        return "kubernetes"
    if os.path.exists(os.path.join(root, ".dockerenv")):
        return "docker"
    if os.path.exists(os.path.join(root, "run", ".containerenv")):
        return "podman"
    if named := environ.get("container") or (read(os.path.join(root, "run", "systemd", "container")) or "").strip():
        return named
    groups = read(os.path.join(root, "proc", "self", "cgroup")) or ""
    return next((name for pattern, name in _RUNTIMES if re.search(pattern, groups)), None)
