"""The Lithops configuration, found as Lithops finds it but without importing it."""

from __future__ import annotations

import os
from typing import Any

from lithops_shm.config import SECTION, StoreSettings
from lithops_shm.errors import ConfigError

__all__ = ["load", "store_settings"]

_VARIABLE = "LITHOPS_CONFIG"
_FILE_VARIABLE = "LITHOPS_CONFIG_FILE"


def load(file: str | None) -> tuple[dict[str, Any], str]:
    """The whole configuration, and where it is from, for messages.

    In the order of Lithops: `file`, the JSON in ``LITHOPS_CONFIG``, the file named by ``LITHOPS_CONFIG_FILE``,
    ``.lithops_config`` here, ``~/.lithops/config``, ``/etc/lithops/config``. Nothing found is an empty configuration.

    Raises
    ------
    ConfigError
        When what was found is not a mapping, or `file` does not exist.
    """
    if file is None and _VARIABLE in os.environ:
        return _mapping(_parsed_json(os.environ[_VARIABLE]), _VARIABLE), _VARIABLE
    if file is not None:
        path = os.path.expanduser(file)
        if not os.path.exists(path):
            raise ConfigError(f"there is no configuration file {path}")
    else:
        path = os.environ.get(_FILE_VARIABLE) or next(
            (name for name in (".lithops_config", os.path.expanduser("~/.lithops/config"), "/etc/lithops/config")
             if os.path.exists(name)), "")  # fmt: skip
        if not os.path.exists(path):
            return {}, "the Lithops configuration"
    return _mapping(_parsed_yaml(path), path), path


def store_settings(configuration: dict[str, Any], source: str, directory: str | None) -> StoreSettings:
    """The settings in its section ``shm:``, with the base directory of the command line if that names one."""
    section = configuration.get(SECTION)
    if directory is not None and (section is None or isinstance(section, dict)):
        section = {**(section or {}), "directory": os.path.abspath(os.path.expanduser(directory))}
    return StoreSettings.from_mapping(section, source=source)


def _parsed_yaml(path: str) -> Any:
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        raise ConfigError(f"reading {path} needs PyYAML, which Lithops brings: `pip install lithops`") from None
    try:
        with open(path, "rb") as file:
            return yaml.safe_load(file)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path} is not YAML: {' '.join(str(error).split())}") from None


def _parsed_json(text: str) -> Any:
    import json

    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f"the environment variable {_VARIABLE} is not JSON: {error}") from None


def _mapping(found: Any, source: str) -> dict[str, Any]:
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigError(f"{source} must hold a mapping of sections, not a {type(found).__name__}")
    return found
