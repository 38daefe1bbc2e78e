"""What a decision is about: the job, and this machine. Sizes are bytes, times seconds, money US dollars."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from lithops_shm import host
from lithops_shm.config import StoreSettings, parse_bytes, unknown_key
from lithops_shm.errors import ProfileError
from lithops_shm.store.layout import layout_of

__all__ = ["PLACES", "HostProfile", "JobProfile"]

PLACES = ("local", "remote")

# Below these, a number is in the wrong unit more likely than meant: see `_refuse_wrong_units`.
_LEAST_MEMORY_BYTES = 16 << 20
_LEAST_INPUT_BYTES, _LEAST_PART_BYTES = 1_000, 16
_MOST_DEADLINE_S = 60 * 86_400


@dataclass(frozen=True, slots=True)
class JobProfile:
    """What is known of a job before it runs.

    Parameters
    ----------
    input_bytes:
        Size of the whole input, in bytes, or with a unit (``"5 GB"``); ``None`` for the size of `inputs`, or unknown.
    inputs:
        What it reads: ``s3://bucket/prefix``, ``shm://bucket/key*``, paths of files. Sized by listing, when there is
        no `input_bytes`.
    functions:
        How many calls the first stage makes; ``None`` to let the model choose.
    partitions:
        How many reducers; ``None`` for as many as functions.
    intermediate_ratio:
        Bytes exchanged between mappers and reducers, for each byte of input; 0 for a plain map, without a shuffle.
    output_ratio:
        Bytes written as results, for each byte of input.
    compute_s_per_gb:
        Seconds one core is busy with the functions' own work, for 10^9 bytes of input; ``None`` when unknown.
    input_place:
        ``"local"``: on this machine; ``"remote"``: in the remote storage. ``None``: where `inputs` are; local without.
    confidential:
        Whether the data must not leave this machine.
    deadline_s:
        Most seconds the job may take; ``None`` for any.
    budget_usd:
        Most it may cost, in US dollars; ``None`` for any.
    at_least_bytes:
        With an unknown size, what is known of it: that it is not less.

    Raises
    ------
    ProfileError
        For what is out of range, or in another unit than its name says.
    """

    input_bytes: int | None = None
    inputs: tuple[str, ...] = ()
    functions: int | None = None
    partitions: int | None = None
    intermediate_ratio: float = 1.0
    output_ratio: float = 1.0
    compute_s_per_gb: float | None = None
    input_place: str | None = None
    confidential: bool = False
    deadline_s: float | None = None
    budget_usd: float | None = None
    at_least_bytes: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "inputs", _texts(self.inputs))
        for name in ("input_bytes", "at_least_bytes"):
            object.__setattr__(self, name, _bytes(name, getattr(self, name)))
        for name in ("functions", "partitions"):
            _check_number(name, getattr(self, name), 1, 1_000_000, whole=True)
        for name in ("intermediate_ratio", "output_ratio"):
            _check_number(name, getattr(self, name), 0, 1_000, none=False)
        for name in ("compute_s_per_gb", "deadline_s", "budget_usd"):
            _check_number(name, getattr(self, name), 0, math.inf)
        if self.input_place not in (None, *PLACES):
            raise ProfileError("input_place", self.input_place, f"must be one of {', '.join(PLACES)}")
        if not isinstance(self.confidential, bool):
            # A text "no" would count as true, and a 0 as false: neither is a clear word about secrets.
            raise ProfileError("confidential", self.confidential, "must be True or False")
        self._refuse_wrong_units()

    def _refuse_wrong_units(self) -> None:
        calls = max(self.functions or 1, self.partitions or 1)
        least = _LEAST_INPUT_BYTES if calls == 1 else _LEAST_PART_BYTES * calls
        if self.input_bytes and self.input_bytes < least and not self.inputs:  # whose sizes are measured
            reason = "is in bytes, and hardly anything for each call; if megabytes are meant, write"
            raise ProfileError("input_bytes", self.input_bytes, f"{reason} '{self.input_bytes} MB'")
        if self.deadline_s is not None and self.deadline_s > _MOST_DEADLINE_S:
            raise ProfileError("deadline_s", self.deadline_s, "is in seconds from the start, and that is over 60 days")
        if self.compute_s_per_gb is not None and self.compute_s_per_gb > 1e7:
            raise ProfileError("compute_s_per_gb", self.compute_s_per_gb, "is in seconds for 10^9 bytes, not for one")

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], *, source: str = "the profile") -> JobProfile:
        """A profile from a configuration; raises ProfileError, and ConfigError for keys it does not have."""
        from lithops_shm.errors import ConfigError

        known = {field.name for field in fields(cls)}
        for key in values:
            if key not in known:
                raise ConfigError(unknown_key(key, known, "profile", source))
        return cls(**values)

    def to_mapping(self) -> dict[str, Any]:
        """JSON-ready, what is ``None`` left out; :meth:`from_mapping` reads it back."""
        found = {key: value for key, value in asdict(self).items() if value is not None}
        return {**found, "inputs": list(self.inputs)}


@dataclass(frozen=True, slots=True)
class HostProfile:
    """What this machine offers now.

    Parameters
    ----------
    cpus:
        CPUs this process may keep busy: affinity and control-group quota.
    memory_bytes:
        Memory that can be taken: the least of ``MemAvailable`` and the headroom of the control groups.
    segment_bytes:
        Memory for segments: the least of `memory_bytes`, the free space of the tmpfs and the budget of the settings.
    spill_bytes:
        Space on disk for segments beyond that; 0 when they may not spill.
    pool_bytes:
        Of the pool of recycled pages.

    Raises
    ------
    ProfileError
        For no CPUs, and for memory that was given in another unit than bytes.
    """

    cpus: int
    memory_bytes: int
    segment_bytes: int
    spill_bytes: int = 0
    pool_bytes: int = 0

    def __post_init__(self) -> None:
        _check_number("cpus", self.cpus, 1, 65_536, whole=True, none=False)
        for name in ("memory_bytes", "segment_bytes", "spill_bytes", "pool_bytes"):
            value = _bytes(name, getattr(self, name))
            if value is None:
                raise ProfileError(name, value, "must be a size in bytes")
            object.__setattr__(self, name, value)
        if 0 < self.memory_bytes < _LEAST_MEMORY_BYTES:
            reason = f"is in bytes, and a machine with less than {_LEAST_MEMORY_BYTES >> 20} MiB runs no function"
            raise ProfileError("memory_bytes", self.memory_bytes, reason)

    @classmethod
    def of_this_machine(cls, settings: StoreSettings, *, confidential: bool = False) -> HostProfile:
        """Read it off the kernel, for a store of these settings, in about a millisecond."""
        free = [each for each in (host.memory_available(), host.cgroup_headroom()) if each is not None]
        memory = min(free) if free else 0
        layout = layout_of(settings)
        bounds = [memory, host.filesystem(layout.base).free_bytes, settings.budget_bytes]
        segment = max(0, min(bound for bound in bounds if bound is not None))
        spill = 0
        if layout.spill is not None and not confidential:
            spill = host.filesystem(layout.spill).free_bytes or 0
        return cls(host.usable_cpus(), memory, segment, spill, min(settings.pool_bytes, segment))


def _texts(value: str | Iterable[str]) -> tuple[str, ...]:
    texts = (value,) if isinstance(value, (str, os.PathLike)) else tuple(value)
    if not all(isinstance(text, (str, os.PathLike)) and os.fspath(text) for text in texts):
        raise ProfileError("inputs", value, "must be texts such as 's3://bucket/prefix'")
    return tuple(os.fspath(text) for text in texts)


def _bytes(name: str, value: object) -> int | None:
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():  # 5e9
        value = int(value)
    try:
        return parse_bytes(value)
    except ValueError as error:
        raise ProfileError(name, value, str(error)) from None


def _check_number(
    name: str, value: object, least: float, most: float, *, whole: bool = False, none: bool = True
) -> None:
    if value is None and none:
        return
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not least <= value <= most:
        kind = "whole number" if whole else "number"
        bound = f" to {most:,}" if most < math.inf else " up"
        raise ProfileError(name, value, f"must be a {kind} from {least:,}{bound}")
