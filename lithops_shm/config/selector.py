"""The section ``selector:``: what decides where jobs run."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from lithops_shm.config.values import parse_bytes, unknown_key
from lithops_shm.errors import ConfigError

__all__ = ["SELECTOR", "SelectorSettings"]

SELECTOR = "selector"
_PINS = ("local", "remote")
_OPTIONAL = ("backend", "storage", "pin", "calibration", "history_file")
_PATHS = ("calibration", "history_file")
_AMOUNTS = ("hour_usd", "machine_hour_usd")


@dataclass(frozen=True, slots=True)
class SelectorSettings:
    """How the selector decides.

    Parameters
    ----------
    policy:
        ``"model"``, ``"threshold"``, ``"always-local"``, ``"always-remote"``, ``"cheapest"``, ``"fastest"``; the name
        of a policy an installed package offers, or ``"module:function"``. In Python also a function.
    backend, storage:
        The compute and storage backend that are the remote choice, by their names in Lithops; ``None`` for those the
        configuration names under `lithops:`, if they are not this machine's.
    hour_usd:
        What an hour of waiting is worth to you, in US dollars: how `model` weighs time against money.
    machine_hour_usd:
        What an hour of this machine costs, in US dollars; 0 for one that is paid for anyway.
    threshold_bytes, threshold_functions:
        Up to which size of input, in bytes, and how many calls, `threshold` stays on this machine.
    pin:
        ``"local"`` or ``"remote"``: only there; ``None`` for either.
    calibration:
        The file that `lithops-shm calibrate` writes; ``None`` for ``lithops-shm/calibration.json`` in the user's
        directory for configurations.
    history:
        Whether predicted and actual times are kept, and predictions corrected by them.
    history_file:
        Where; ``None`` for ``lithops-shm/history.sqlite`` in the user's directory for state.
    """

    policy: str | Callable[..., Any] = "model"
    backend: str | None = None
    storage: str | None = None
    hour_usd: float = 60.0
    machine_hour_usd: float = 0.0
    threshold_bytes: int = 1_000_000_000
    threshold_functions: int = 64
    pin: str | None = None
    calibration: str | None = None
    history: bool = True
    history_file: str | None = None

    @classmethod
    def from_mapping(
        cls, section: Mapping[str, Any] | None, *, source: str = "the Lithops configuration"
    ) -> SelectorSettings:
        """Validate the ``selector:`` section of a configuration; ``None`` and ``{}`` give the defaults.

        Raises
        ------
        ConfigError
            For an unknown key (the nearest known one is named), a wrong type, or a value out of range.
        """
        if section is None:
            return cls()
        if not isinstance(section, Mapping):
            raise ConfigError(f"section `{SELECTOR}:` of {source} must be a mapping of keys to values, not {section!r}")
        known = {field.name for field in fields(cls)}
        for key in section:
            if key not in known:
                raise ConfigError(unknown_key(key, known, SELECTOR, source))
        return cls(**{key: _check(key, value, source) for key, value in section.items()})


def _check(key: str, value: Any, source: str) -> Any:
    def wrong(expected: str) -> ConfigError:
        return ConfigError(f"`{SELECTOR}: {{{key}: {value!r}}}` in {source}: {expected}")

    if value is None and key in _OPTIONAL:
        return None
    if key == "threshold_bytes":
        try:
            return parse_bytes(value)
        except ValueError as error:
            raise wrong(str(error)) from None
    if key == "threshold_functions":
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise wrong("must be a whole number from 0 up")
        return value
    if key in _AMOUNTS:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < math.inf:
            raise wrong("must be an amount in US dollars from 0 up")
        return float(value)
    if key == "history":
        if not isinstance(value, bool):
            raise wrong("must be true or false")
        return value
    if key == "policy" and callable(value):
        return value
    if not isinstance(value, str) or not value:
        raise wrong("must be a text that is not empty")
    if key == "pin" and value not in _PINS:
        raise wrong(f"must be one of {', '.join(_PINS)}")
    return os.path.abspath(os.path.expanduser(value)) if key in _PATHS else value
