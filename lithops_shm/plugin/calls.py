"""Calls of functions the way Lithops makes them: their arguments bound, and what it injects by name filled in."""

from __future__ import annotations

import inspect
import json
import os
from collections.abc import Callable
from functools import cached_property
from types import SimpleNamespace
from typing import Any

from lithops.config import extract_storage_config
from lithops.job.partitioner import create_partitions
from lithops.storage import InternalStorage
from lithops.utils import _user_signature, is_object_processing_function, verify_args
from lithops.worker.jobrunner import JobRunner, _prepare_args

__all__ = ["bound", "call", "repeated", "rest_bound", "storage_of_worker"]


def bound(
    function: Callable[..., Any],
    iterdata: Any,
    extra_args: Any,
    executor: Any,
    *,
    obj_chunk_size: int | None = None,
    obj_chunk_number: int | None = None,
    obj_newline: str | None = "\n",
) -> list[dict[str, Any]]:
    """The arguments of each call of a map, by name, objects of a storage cut into their parts.

    Parameters
    ----------
    function, iterdata, extra_args, obj_chunk_size, obj_chunk_number, obj_newline:
        As Lithops' ``map`` takes them.
    executor:
        The one the objects are looked up with.

    Raises
    ------
    ValueError, TypeError
        When the data do not fit the function's parameters.
    """
    arguments: list[dict[str, Any]] = verify_args(function, iterdata, extra_args)
    if is_object_processing_function(function):
        arguments, _ = create_partitions(
            executor.config, executor.internal_storage, arguments, obj_chunk_size, obj_chunk_number, obj_newline
        )
    return arguments


def rest_bound(function: Callable[..., Any], count: int, extra_args: Any) -> tuple[list[str], dict[str, Any]]:
    """The first `count` parameters of a function, which are to be given later, and the arguments of the others.

    Raises
    ------
    ValueError, TypeError
        When the function takes fewer, or others have no argument.
    """
    names = _first(function, count)
    if len(names) < count:
        raise TypeError(f"{getattr(function, '__name__', function)}() takes {len(names)} arguments, and {count} come")
    given: Any = dict.fromkeys(names) if isinstance(extra_args, dict) else (None,) * count
    (arguments,) = verify_args(function, [given], extra_args)
    return names, {name: value for name, value in arguments.items() if name not in names}


def call(function: Callable[..., Any], arguments: dict[str, Any], number: int, *, reduces: bool = False) -> Any:
    """In a worker, call a function with arguments from :func:`bound`, and with what it asks for by name.

    These are the parameters Lithops knows: ``storage``, ``id`` (here `number`), ``obj`` with its open ``data_stream``,
    ``ibm_cos`` and ``rabbitmq``. With `reduces` a parameter ``obj`` is one like any other.
    """
    positional, named = _as_passed(function, _filled(function, arguments, number, reduces=reduces))
    return function(*positional, **named)


def repeated(function: Callable[..., Any], arguments: dict[str, Any], number: int, count: int) -> Callable[..., Any]:
    """As :func:`call` with `reduces`, for calls that differ in their first arguments: the others are filled in once.

    Parameters
    ----------
    function, arguments, number:
        Of all calls.
    count:
        How many arguments are to come. They are for the parameters that :func:`rest_bound` leaves out: the first that
        Lithops does not inject, wherever it injects its own.

    Returns
    -------
    Callable
        Takes `count` values, and gives what `function` does.
    """
    later = _first(function, count)
    data = _filled(function, {**arguments, **dict.fromkeys(later)}, number, reduces=True)
    names = list(inspect.signature(function).parameters)
    leading = names[: names.index(later[-1]) + 1]
    begin = [data.pop(name) for name in leading]
    places = [leading.index(name) for name in later]
    positional, named = _as_passed(function, data)

    def called(*values: Any) -> Any:
        for place, value in zip(places, values, strict=True):
            begin[place] = value
        return function(*begin, *positional, **named)

    return called


def _first(function: Callable[..., Any], count: int) -> list[str]:
    """The names of the first `count` parameters that Lithops does not inject."""
    return list(_user_signature(function).parameters)[:count]


def _filled(function: Callable[..., Any], arguments: dict[str, Any], number: int, *, reduces: bool) -> dict[str, Any]:
    """Arguments by name, with what the function asks for."""
    runner = _Caller(number)
    data = dict(arguments)
    if not reduces and is_object_processing_function(function):
        runner._load_object(data)
    runner._fill_optional_args(function, data)
    return data


def _as_passed(function: Callable[..., Any], data: dict[str, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Arguments by name as those to pass by position, and the others."""
    positional, named = _prepare_args(function, data)
    parameters = inspect.signature(function).parameters.values()
    unnamed = [each.name for each in parameters if each.kind is each.POSITIONAL_ONLY]  # those of len, for one
    return [*(named.pop(name) for name in unnamed if name in named), *positional], named


class _Caller(JobRunner):  # type: ignore[misc]
    """As much of Lithops' runner as opens objects and fills in arguments."""

    def __init__(self, number: int) -> None:
        self.job = SimpleNamespace(call_id=number)
        self.lithops_config = _config_of_worker()

    @cached_property
    def internal_storage(self) -> Any:
        return storage_of_worker()


def storage_of_worker() -> Any:
    """In a worker, Lithops' storage of the job, opened anew: one from before a fork would share its connections."""
    return InternalStorage(extract_storage_config(_config_of_worker()))


def _config_of_worker() -> dict[str, Any]:
    config: dict[str, Any] = json.loads(os.environ["LITHOPS_CONFIG"])
    return config
