"""Where a job runs, and why: the answer of the selector."""

from __future__ import annotations

import json
import math
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lithops_shm.config import SelectorSettings
from lithops_shm.errors import ConfigError, NoPlaceError
from lithops_shm.selector.candidates import Candidate, Correct, Remote, candidates
from lithops_shm.selector.explain import explained
from lithops_shm.selector.policy import Policy, policy_named
from lithops_shm.selector.profile import HostProfile, JobProfile
from lithops_shm.selector.rates import LocalRates

__all__ = ["Decision", "Knowledge", "decide"]

# A job of unknown size is judged over these sizes, in bytes; none less than is known of it.
_UNKNOWN_SIZES = tuple(10**power for power in range(6, 13))
_IMPOSSIBLE = 100.0  # how many times worse than the best a place counts that cannot run a size


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What a decision is made from, besides the job.

    Parameters
    ----------
    host:
        This machine.
    rates:
        Its speeds.
    remote:
        The other choice; ``None`` when there is none.
    settings:
        Of the selector.
    correct:
        What the history says of predictions.
    notes:
        Sentences about where this comes from, such as that the calibration is old.
    """

    host: HostProfile
    rates: LocalRates
    remote: Remote | None
    settings: SelectorSettings
    correct: Correct | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decision:
    """One place for one job, which does not change while the job runs.

    Parameters
    ----------
    chosen:
        The candidate.
    considered:
        All candidates, those that were rejected among them.
    job:
        What was asked.
    config:
        The Lithops configuration to use.
    policy:
        What chose, by name.
    notes:
        What else a person should know.
    id:
        Unique; the job's log and the history have it.
    """

    chosen: Candidate
    considered: tuple[Candidate, ...]
    job: JobProfile
    config: dict[str, Any]
    policy: str
    notes: tuple[str, ...] = ()
    id: str = field(default_factory=lambda: uuid.uuid4().hex[:12])

    @property
    def place(self) -> str:
        """``"local"`` or ``"remote"``."""
        return self.chosen.place

    def explain(self) -> str:
        """The candidates as a table, with the reason for the choice and for each rejection."""
        return explained(self.chosen, self.considered, self.job, self.policy, self.notes)

    def to_mapping(self) -> dict[str, Any]:
        """JSON-ready: bytes, seconds, US dollars; without `config`, which may hold keys of your accounts."""
        return {
            "id": self.id,
            "policy": self.policy,
            "job": self.job.to_mapping(),
            "chosen": self.considered.index(self.chosen),
            "candidates": [each.to_mapping() for each in self.considered],
            "notes": list(self.notes),
        }

    def to_json(self) -> str:
        """:meth:`to_mapping` as JSON."""
        return json.dumps(self.to_mapping(), indent=2)


def decide(job: JobProfile, knowledge: Knowledge, config: dict[str, Any] | None = None) -> Decision:
    """Choose, in well under 5 ms; nothing is run, read or written.

    Parameters
    ----------
    job:
        With its size, or without: then the choice is the one whose worst case, over sizes from a megabyte to a
        terabyte, is the least far from the best.
    config:
        The user's Lithops configuration, which the decision's is made from; not changed.

    Raises
    ------
    NoPlaceError
        When no candidate meets the hard constraints.
    ConfigError
        For a policy that does not exist, or that gives what it was not offered.
    """
    settings = knowledge.settings
    policy = policy_named(settings.policy)
    sizes = [job.input_bytes] if job.input_bytes is not None else _possible_sizes(job)
    found = [_pinned(_considered(nbytes, job, knowledge), settings) for nbytes in sizes]
    notes = list(knowledge.notes)
    if job.input_bytes is None:
        notes.append(
            "the size of the input is not known: the choice is the one whose worst case is the least far from the best"
        )
        place, at = _least_regret(found, policy, job, settings)
    else:
        place, at = None, 0
    considered = found[at]
    allowed = [each for each in considered if not each.rejected and place in (None, each.place)]
    chosen = policy(allowed, job, settings) if allowed else None
    if chosen is None:
        raise _nowhere(considered, settings, knowledge)
    if chosen not in allowed:
        raise ConfigError(f"the policy {_name(settings.policy)} chose what it was not offered: {chosen!r}")
    return Decision(
        chosen,
        tuple(considered),
        job,
        _config_for(chosen, config or {}, job),
        _name(settings.policy),
        tuple(notes),
    )


def _considered(nbytes: int, job: JobProfile, knowledge: Knowledge) -> list[Candidate]:
    more = {} if knowledge.correct is None else {"correct": knowledge.correct}
    usd_hour = knowledge.settings.machine_hour_usd
    return candidates(nbytes, job, knowledge.host, knowledge.rates, knowledge.remote, usd_hour=usd_hour, **more)


def _pinned(considered: Sequence[Candidate], settings: SelectorSettings) -> list[Candidate]:
    if settings.pin is None:
        return list(considered)
    why = f"pinned to {settings.pin} by `selector: {{pin: ...}}`"
    return [each if each.place == settings.pin or each.rejected else replace(each, rejected=why) for each in considered]


def _possible_sizes(job: JobProfile) -> list[int]:
    more = [nbytes for nbytes in _UNKNOWN_SIZES if nbytes > job.at_least_bytes]
    return [job.at_least_bytes, *more] if job.at_least_bytes else more


def _least_regret(
    found: list[list[Candidate]], policy: Policy, job: JobProfile, settings: SelectorSettings
) -> tuple[str | None, int]:
    """The place whose time, over all sizes, is at worst the least multiple of the best; and the size to show."""
    times: dict[str, list[float]] = {}
    for considered in found:
        for place in {each.place for each in considered}:
            allowed = [each for each in considered if each.place == place and not each.rejected]
            best = policy(allowed, job, settings) if allowed else None
            times.setdefault(place, []).append(best.prediction.seconds if best else math.inf)
    best_of = [min(at) for at in zip(*times.values(), strict=True)]
    runs_at = [number for number, best in enumerate(best_of) if best < math.inf]
    if not runs_at:
        return None, 0

    def worst(place: str) -> float:
        return float(max(min(times[place][number] / best_of[number], _IMPOSSIBLE) for number in runs_at))

    place = min(times, key=lambda place: (worst(place), times[place][0]))
    possible = [number for number in runs_at if times[place][number] < math.inf]
    return place, possible[len(possible) // 2] if possible else 0


def _nowhere(considered: Sequence[Candidate], settings: SelectorSettings, knowledge: Knowledge) -> NoPlaceError:
    reasons = {f"{each.backend}: {each.rejected}": None for each in considered if each.rejected}
    if not any(each.rejected == "" for each in considered):
        todo = "give it more memory, a later deadline or a larger budget"
    else:
        todo = f"the policy {_name(settings.policy)} takes none of the places that are left"
        reasons |= {f"{each.backend}: possible, and not chosen": None for each in considered if not each.rejected}
    if knowledge.remote is None:
        todo += "; name a remote choice with `selector: {backend: ..., storage: ...}`"
    return NoPlaceError(tuple(reasons), todo)


def _config_for(chosen: Candidate, config: dict[str, Any], job: JobProfile) -> dict[str, Any]:
    section = {
        key: value for key, value in (config.get("lithops") or {}).items() if key not in ("mode", "backend", "storage")
    }
    made = {**config, "lithops": {**section, "backend": chosen.backend, "storage": chosen.storage}}
    made.pop("selector", None)
    if chosen.place == "local":
        own = {**(config.get("shm") or {})}
        if chosen.plan.workers:
            own["worker_processes"] = chosen.plan.workers
        if job.confidential:
            own["confidential"] = True
        made["shm"] = own
    elif chosen.plan.memory_mb:
        made[chosen.backend] = {**(config.get(chosen.backend) or {}), "runtime_memory": chosen.plan.memory_mb}
    return made


def _name(policy: str | Callable[..., Any]) -> str:
    return policy if isinstance(policy, str) else getattr(policy, "__qualname__", repr(policy))
