"""Functions that a job file names, ``module:function``."""

from __future__ import annotations

import importlib
import operator
import os
import sys
from typing import Any

import cloudpickle

from seer_integration.jobfile.document import nearest

__all__ = ["function_named"]


def function_named(place: str, directory: str) -> Any:
    """What `place` names: a function, or anything else that a module defines.

    The module is imported, so its code runs. It is looked for in `directory` first, which stays on ``sys.path``; its
    functions travel to workers by value, since those of other machines have no such directory.

    Parameters
    ----------
    place:
        As ``module:function``, ``package.module:Class.method``.
    directory:
        That of the job file.

    Raises
    ------
    ValueError
        When it is not written so, there is no such module or name, or the module cannot be imported.
    """
    module, colon, name = place.partition(":")
    if not (colon and all(map(str.isidentifier, [*module.split("."), *name.split(".")]))):
        raise ValueError(f"{place!r} does not name a function; write module:function")
    if directory not in sys.path:
        sys.path.insert(0, directory)
        importlib.invalidate_caches()
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise ValueError(f"{module!r} cannot be imported: {error}") from error
        raise ValueError(f"there is no module {error.name!r} in {directory}, and none is installed") from None
    except Exception as error:  # whatever the module of a user raises
        raise ValueError(f"{module!r} cannot be imported: {type(error).__name__}: {error}") from error
    if _lies_in(found, directory):
        cloudpickle.register_pickle_by_value(sys.modules[module.partition(".")[0]])
    try:
        return operator.attrgetter(name)(found)
    except AttributeError:
        names = [each for each in vars(found) if not each.startswith("_")]
        raise ValueError(f"module {module!r} has no {name!r}; {nearest(name, names)}") from None


def _lies_in(module: Any, directory: str) -> bool:
    """Whether it is of the directory itself, not of an environment below it."""
    origin = getattr(module, "__file__", None)
    if origin is None:
        return False
    below = os.path.relpath(os.path.realpath(origin), os.path.realpath(directory))
    return not below.startswith("..") and "site-packages" not in below
