"""Lithops' storages of a configuration, for a moment."""

from __future__ import annotations

import contextlib
import copy
import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

__all__ = ["storages_of"]


@contextlib.contextmanager
def storages_of(config: Mapping[str, Any]) -> Iterator[Callable[[str], Any]]:
    """Gives Lithops' `Storage` by the name of a backend, each made once; their connections are closed at the end."""
    made: list[Any] = []

    @functools.cache
    def storage_of(name: str) -> Any:
        from lithops.storage import Storage

        made.append(Storage(config=copy.deepcopy(dict(config)), backend=name))
        return made[-1]

    try:
        yield storage_of
    finally:
        for storage in made:
            client = storage.get_client()
            if hasattr(client, "get_paginator") and hasattr(client, "meta"):  # one of botocore's; ours are shared
                client.close()
