"""A decision for a profile, from what the configuration, the calibration and the history say."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lithops.config import load_config

from lithops_shm.config import SECTION, SelectorSettings, StoreSettings
from lithops_shm.placement.inputs import sized
from lithops_shm.placement.outcome import Outcome
from lithops_shm.placement.remote import remote_of
from lithops_shm.placement.storages import storages_of
from lithops_shm.selector import Decision, HostProfile, JobProfile, Knowledge, decide
from lithops_shm.selector.calibration import load_calibration
from lithops_shm.selector.history import History

__all__ = ["as_profile", "decided", "outcome_of", "select", "settings_of"]

# Written into the section `shm` by the plugin, and not of the user.
_INJECTED = ("user_agent", "data_cleaner")


def select(
    profile: JobProfile | Mapping[str, Any],
    *,
    config: dict[str, Any] | None = None,
    config_file: str | None = None,
    **settings: Any,
) -> Decision:
    """Where a job should run, and why; nothing is run, and nothing written.

    Parameters
    ----------
    profile:
        Of the job, or its fields in a mapping. Inputs without a size are sized by asking their storage.
    config, config_file:
        Lithops' configuration, as Lithops' executor takes it; by default, where Lithops looks for its own.
    settings:
        Of the selector, in place of those in its section `selector:`; `policy` may be a function.

    Raises
    ------
    NoPlaceError
        When no candidate meets the hard constraints.
    ProfileError, ConfigError
        For a profile or a configuration that is wrong.
    """
    found = copy.deepcopy(config) if config else load_config(config_file, log=False)
    return decided(as_profile(profile), found, settings)


def as_profile(profile: JobProfile | Mapping[str, Any]) -> JobProfile:
    """A profile from its fields in a mapping, or as it is; raises ProfileError and ConfigError."""
    return profile if isinstance(profile, JobProfile) else JobProfile.from_mapping(profile)


def decided(job: JobProfile, config: dict[str, Any], overrides: Mapping[str, Any]) -> Decision:
    """As :func:`select`, from a configuration that has been loaded."""
    settings = settings_of(config, overrides)
    if (config.get(SECTION) or {}).get("confidential") is True:
        job = replace(job, confidential=True)
    store = StoreSettings.from_mapping(
        {key: value for key, value in (config.get(SECTION) or {}).items() if key not in _INJECTED}
    )
    calibration = load_calibration(settings.calibration)
    remote = remote_of(config, settings, calibration)
    correct, notes = None, calibration.notes
    if settings.history:
        history = History(settings.history_file)
        correct = history.corrections(*((remote.backend, remote.storage) if remote else (None, None)))
        notes += (history.trouble,) if history.trouble else ()
    host = HostProfile.of_this_machine(store, confidential=job.confidential)
    known = Knowledge(host, calibration.local, remote, settings, correct, notes)
    with storages_of(config) as storage_of:
        job = sized(job, storage_of)
    return decide(job, known, config)


def outcome_of(decision: Decision, config: Mapping[str, Any]) -> Outcome:
    """What follows a decision, as the configuration it was made from wants it."""
    settings = settings_of(config, {})
    return Outcome(decision, History(settings.history_file) if settings.history else None)


def settings_of(config: Mapping[str, Any], overrides: Mapping[str, Any]) -> SelectorSettings:
    """The section `selector:`, with what arguments say on top; raises ConfigError."""
    settings = SelectorSettings.from_mapping(config.get("selector"))
    if not overrides:
        return settings
    changed = SelectorSettings.from_mapping(overrides, source="the arguments")
    return replace(settings, **{key: getattr(changed, key) for key in overrides})
