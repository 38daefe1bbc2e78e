"""How one of the candidates is chosen.

A policy sees only those that meet the hard constraints, so none can break them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from importlib import import_module
from types import MappingProxyType
from typing import TypeAlias

from lithops_shm.config import SelectorSettings
from lithops_shm.errors import ConfigError
from lithops_shm.selector.candidates import Candidate
from lithops_shm.selector.profile import JobProfile

__all__ = ["ENTRY_POINTS", "POLICIES", "Policy", "policy_named"]

ENTRY_POINTS = "lithops_shm.policies"
"""The group in which installed packages offer policies of their own."""

Policy: TypeAlias = Callable[[Sequence[Candidate], JobProfile, SelectorSettings], "Candidate | None"]
"""Given the candidates that are allowed, the job and the settings, it gives one of them; ``None`` for none."""


def model(allowed: Sequence[Candidate], job: JobProfile, settings: SelectorSettings) -> Candidate | None:
    """The least of money plus time, an hour of which is worth `settings.hour_usd` dollars."""
    return min(allowed, key=lambda each: each.prediction.usd + each.prediction.seconds / 3600 * settings.hour_usd)


def fastest(allowed: Sequence[Candidate], job: JobProfile, settings: SelectorSettings) -> Candidate | None:
    """The least time; of equals the cheapest."""
    return min(allowed, key=lambda each: (each.prediction.seconds, each.prediction.usd))


def cheapest(allowed: Sequence[Candidate], job: JobProfile, settings: SelectorSettings) -> Candidate | None:
    """The least money; of equals the fastest."""
    return min(allowed, key=lambda each: (each.prediction.usd, each.prediction.seconds))


def threshold(allowed: Sequence[Candidate], job: JobProfile, settings: SelectorSettings) -> Candidate | None:
    """Here up to `threshold_bytes` of input and `threshold_functions` calls, elsewhere above; the fastest there."""
    nbytes = job.at_least_bytes if job.input_bytes is None else job.input_bytes
    small = nbytes <= settings.threshold_bytes and (job.functions or 0) <= settings.threshold_functions
    return _fastest_at("local" if small else "remote", allowed, job, settings) or fastest(allowed, job, settings)


def always_local(allowed: Sequence[Candidate], job: JobProfile, settings: SelectorSettings) -> Candidate | None:
    """Here, or nowhere."""
    return _fastest_at("local", allowed, job, settings)


def always_remote(allowed: Sequence[Candidate], job: JobProfile, settings: SelectorSettings) -> Candidate | None:
    """Elsewhere, or nowhere."""
    return _fastest_at("remote", allowed, job, settings)


POLICIES: Mapping[str, Policy] = MappingProxyType(
    {
        "model": model,
        "threshold": threshold,
        "always-local": always_local,
        "always-remote": always_remote,
        "cheapest": cheapest,
        "fastest": fastest,
    }
)


def policy_named(name: str | Policy) -> Policy:
    """A policy by its name here, by that of an entry point, or as ``module:function``; or one that is given as it is.

    Raises
    ------
    ConfigError
        When there is none of that name, or it cannot be imported.
    """
    if callable(name):
        return name
    if name in POLICIES:
        return POLICIES[name]
    if ":" in name:
        return _imported(name)
    from importlib.metadata import entry_points

    offered = {point.name: point for point in entry_points(group=ENTRY_POINTS)}
    if name in offered:
        found: Policy = offered[name].load()
        return found
    known = sorted({*POLICIES, *offered})
    near = get_close_matches(name, known, 1)
    hint = f"did you mean {near[0]!r}?" if near else f"known policies: {', '.join(known)}, or 'module:function'"
    raise ConfigError(f"`selector: {{policy: {name!r}}}`: no such policy; {hint}")


def _imported(name: str) -> Policy:
    module, _, function = name.partition(":")
    try:
        found: Policy = getattr(import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"`selector: {{policy: {name!r}}}` cannot be imported: {error}") from error
    return found


def _fastest_at(
    place: str, allowed: Sequence[Candidate], job: JobProfile, settings: SelectorSettings
) -> Candidate | None:
    there = [each for each in allowed if each.place == place]
    return fastest(there, job, settings) if there else None
