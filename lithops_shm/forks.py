"""Nothing that talks to a server is used on both sides of a fork.

A forked process inherits the open connections of its parent. Requests of both then go down one socket, and each reads
what comes first: the other's answer, or, when that has eaten the bytes, nothing, which some readers take for an empty
body. Lithops 3.8 forks its workers with the connections of their storage, and so do many programs.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
import weakref
from collections.abc import Callable
from typing import Any, Generic, TypeVar

__all__ = ["PerProcess", "drop_inherited_connections", "protect_forks"]

Held = TypeVar("Held")

_live: weakref.WeakSet[PerProcess[Any]] = weakref.WeakSet()
# What a child must neither use nor tear down: to close an inherited event loop is to change the parent's epoll set.
_inherited: list[object] = []
_protected = False


class PerProcess(Generic[Held]):
    """Something made on first use in each process, and again in each child forked from it.

    Parameters
    ----------
    make:
        Makes it; runs once at a time.
    close:
        Ends it, in the process that made it.
    disown:
        What to do with it in a child that has inherited it, before it is put aside; must take no lock.
    """

    def __init__(
        self,
        make: Callable[[], Held],
        close: Callable[[Held], None],
        disown: Callable[[Held], None] = lambda _: None,
    ) -> None:
        self._make = make
        self._close = close
        self._disown = disown
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._held: Held | None = None
        _live.add(self)

    def get(self) -> Held:
        """This process's own."""
        if self._pid != os.getpid():  # forked by something that runs no Python hooks
            self.forget_inherited()
        held = self._held
        if held is None:
            with self._lock:
                if self._held is None:
                    self._held = self._make()
                held = self._held
        return held

    def close(self) -> None:
        """End this process's own, if there is one; the next :meth:`get` makes another."""
        if self._pid != os.getpid():
            self.forget_inherited()
        with self._lock:
            held, self._held = self._held, None
        if held is not None:
            self._close(held)

    def forget_inherited(self) -> None:
        """In a child, before anything else uses this: put aside what is the parent's, and start anew."""
        self._lock = threading.Lock()  # a thread of the parent may have held it
        held, self._held = self._held, None
        self._pid = os.getpid()
        if held is not None:
            self._disown(held)
            _inherited.append(held)


def drop_inherited_connections() -> None:
    """In a forked child: all clients of this package are made anew when they are needed. Runs after every fork."""
    for each in list(_live):
        each.forget_inherited()


os.register_at_fork(after_in_child=drop_inherited_connections)


def protect_forks() -> None:
    """From now on, botocore's clients of this process connect anew in children forked from it, whoever made them.

    Their pools of connections are emptied in the child, where they are found as objects: nothing of botocore or
    urllib3 is replaced. Takes a quarter of a millisecond a fork. Calling it twice is calling it once.
    """
    global _protected
    if not _protected:
        _protected = True
        os.register_at_fork(after_in_child=_empty_pools_of_botocore)


def _empty_pools_of_botocore() -> None:
    module = sys.modules.get("botocore.awsrequest")
    if module is None:
        return
    kinds = (module.AWSHTTPConnectionPool, module.AWSHTTPSConnectionPool)
    for pool in _instances(kinds):
        if pool.pool is not None:
            _empty(pool)


def _empty(pool: Any) -> None:
    """Give a urllib3 ``HTTPConnectionPool`` a queue without connections, of the same kind and size."""
    inherited = pool.pool
    fresh = type(inherited)(inherited.maxsize)
    for _ in range(inherited.maxsize):
        fresh.put(None)  # "make one when needed", as the pool itself fills it
    pool.pool = fresh
    # Not through the queue's methods: a thread of the parent may have held its lock. This closes the child's
    # descriptors alone; the connections stay the parent's.
    for connection in list(inherited.queue):
        if connection is not None:
            connection.close()


def _instances(kinds: tuple[type, ...]) -> list[Any]:
    """The living instances of these classes, found without reading the whole heap.

    urllib3 2 gives each of its pools a finalizer, and `weakref.finalize` keeps all of those: 0.2 ms. Going through the
    referrers of the classes takes 30 to 60 ms with pandas and pyarrow loaded, through all objects 150 ms, because it
    writes to every page of a forked heap.
    """
    registry = getattr(weakref.finalize, "_registry", None)
    if isinstance(registry, dict) and _finalizes_pools():
        found = [info.weakref() for info in list(registry.values())]
    else:
        found = [each for kind in kinds for each in gc.get_referrers(kind)]
    return [each for each in found if isinstance(each, kinds)]


def _finalizes_pools() -> bool:
    """Whether this urllib3 gives its pools finalizers: 1.26 does not, in all of its releases."""
    module = sys.modules.get("urllib3.connectionpool")
    return hasattr(module, "_close_pool_connections")
