"""Imported by the process that workers are forked from: has ready what they would each make, and look up."""

from __future__ import annotations

from lithops_shm import host
from lithops_shm.plugin.compute.logs import prepare
from lithops_shm.store import memory

prepare()
# Asked for what they remember of this machine: where control groups are mounted, how large its huge pages are.
host.cgroup_headroom()
memory.huge_page_bytes()
