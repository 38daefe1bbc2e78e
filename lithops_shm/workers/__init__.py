"""Warm workers on this machine: a pool of processes that run calls, know nothing of Lithops, and cannot be orphaned."""

from lithops_shm.workers.death import Death
from lithops_shm.workers.job import Call, Event, Job
from lithops_shm.workers.pool import Pool

__all__ = ["Call", "Death", "Event", "Job", "Pool"]
