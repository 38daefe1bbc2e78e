"""The rates of this machine."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from lithops_shm import host
from lithops_shm.calibrate import child
from lithops_shm.calibrate.child import Step
from lithops_shm.calibrate.effort import Effort
from lithops_shm.calibrate.samples import Measured, Samples
from lithops_shm.calibrate.spilling import spill_bps
from lithops_shm.config import SECTION, StoreSettings
from lithops_shm.selector.rates import LocalRates
from lithops_shm.store.layout import layout_of

__all__ = ["measure_machine", "steps_of_machine"]

_PROGRAM = "lithops_shm.calibrate.near"
_TIMEOUT_S = 60.0  # of one program
_MOST_BYTES = 1 << 30  # of input of a rehearsal
_LEAST_PART = 1 << 20
_SHARE = 16  # of the free memory, one part in so many is input: it exists several times over
_ROOM = 6  # times the input, for the pool of recycled pages: all that a shuffle leaves

# Of the section `shm`: what a prediction has its own word for, or has no say in speed.
_LEFT_OUT = ("confidential", "trusted", "worker_processes", "max_workers", "session", "lifetime", "budget_bytes")


def measure_machine(section: Mapping[str, Any], effort: Effort, step: Step) -> Measured[LocalRates]:
    """Run jobs on this machine; gives its rates.

    Parameters
    ----------
    section:
        The section `shm` of the configuration: its directories are those that are measured.
    step:
        Told what is measured next, :func:`steps_of_machine` times.

    Raises
    ------
    SelectorError
        When a job does not run.
    """
    part = _part_bytes(effort)
    pool = max(StoreSettings().pool_bytes, _ROOM * part * host.usable_cpus())
    kept = {key: value for key, value in section.items() if key not in _LEFT_OUT}
    config = {
        "lithops": {"backend": SECTION, "storage": SECTION},
        SECTION: {**kept, "compute": SECTION, "pool_bytes": pool},
    }
    samples = Samples()
    for _ in range(effort.rounds):
        request = {"what": "first jobs", "config": config, "calls": effort.calls}
        samples.add(child.run(_PROGRAM, request, step, timeout_s=_TIMEOUT_S))
    request = {"what": "rehearse", "config": config, "rounds": effort.rounds, "part_bytes": part}
    for sample in child.run(_PROGRAM, request, step, timeout_s=_TIMEOUT_S):
        samples.add(sample)
    spill = layout_of(StoreSettings.from_mapping(section)).spill
    for _ in range(effort.rounds):
        step("disk")
        bps = spill_bps(os.path.dirname(spill), effort.spill_bytes) if spill is not None else None
        if bps is not None:
            samples.add({"spill_bps": bps})
    return Measured.of(LocalRates(), samples.medians(), samples.spread)


def steps_of_machine(effort: Effort) -> int:
    """How many steps :func:`measure_machine` tells of."""
    return effort.rounds + 1 + (2 * effort.rounds + 1) + effort.rounds


def _part_bytes(effort: Effort) -> int:
    cpus = host.usable_cpus()
    free = min(each for each in (host.memory_available(), host.cgroup_headroom(), 1 << 40) if each is not None)
    return max(_LEAST_PART, min(effort.part_bytes, _MOST_BYTES // cpus, free // _SHARE // cpus))
