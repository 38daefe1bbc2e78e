"""What this process holds of each base directory: its sessions and the shared state, opened once.

Stores come and go; the session they write to stays until the last of them is closed or the process ends. A process may
have a confidential session beside another; then the confidential one is that of who does not say which.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
from dataclasses import dataclass, field, replace

from lithops_shm import host
from lithops_shm.config import StoreSettings
from lithops_shm.errors import ConfidentialityError
from lithops_shm.store import memory, upkeep
from lithops_shm.store.layout import KEPT, Layout, is_confidential, layout_of
from lithops_shm.store.locks import SharedState
from lithops_shm.store.owner import is_alive, read_owner
from lithops_shm.store.session import SESSION_VARIABLE, Session

__all__ = ["CONFIDENTIAL_VARIABLE", "Membership", "enter", "is_confidential_by", "is_usable", "leave"]

CONFIDENTIAL_VARIABLE = "LITHOPS_SHM_CONFIDENTIAL"
"""In the environment of a process all of whose sessions are confidential, whatever their settings say."""


@dataclass(slots=True)
class Membership:
    """This process in a session: the settings its owner gave it, and how many stores here use it."""

    settings: StoreSettings
    session: Session
    state: SharedState
    users: int = 0


@dataclass(slots=True)
class _Registry:
    lock: threading.RLock = field(default_factory=threading.RLock)
    memberships: dict[tuple[str, bool, bool], Membership] = field(default_factory=dict)
    states: dict[str, SharedState] = field(default_factory=dict)


_registry = _Registry()


def enter(settings: StoreSettings) -> Membership:
    """Join the session these settings lead to, or open one; pair with :func:`leave`.

    In this order: the session this process is in already, the one named by ``settings.session``, the one of the
    process that started this one, a new one. Dead ones are passed over, and reclaimed when a new one is opened.

    Raises
    ------
    ConfidentialityError
        When the session is to be confidential, and the settings would take its data to a disk, or let it stay.
    """
    inherited = os.environ.get(SESSION_VARIABLE)
    confidential = is_confidential_by(settings)
    if settings.directory is None and inherited is not None:
        base = os.path.dirname(os.path.dirname(inherited))
        if os.path.isdir(inherited):
            settings = replace(settings, directory=base)
    kept = settings.lifetime == KEPT
    if confidential:
        settings = replace(settings, confidential=True, spill=False)
    layout = layout_of(settings)
    with _registry.lock:
        membership = _registry.memberships.get((layout.base, kept, confidential))
        if membership is not None and not is_usable(membership):
            _forget(membership)
            membership = None
        if membership is None:
            if confidential:
                _require_memory(settings)
            membership = _join(layout, settings, inherited, confidential) if not kept else None
        if membership is None:
            upkeep.reclaim(settings)
            session = Session.create(layout, settings)
            membership = Membership(settings, session, _state(layout.base))
            membership.state.advance_generation()  # there is a new tree
            membership.state.correct_bytes(upkeep.memory_of(layout), membership.state.bytes_in_use)
            if not kept and (confidential or not _is_confidential_path(inherited)):
                os.environ[SESSION_VARIABLE] = session.directory
        _registry.memberships[layout.base, kept, confidential] = membership
        membership.users += 1
        return membership


def is_confidential_by(settings: StoreSettings) -> bool:
    """Whether what these settings lead to is confidential: what they say counts, then the process they are used in."""
    if settings.confidential or CONFIDENTIAL_VARIABLE in os.environ:
        return True
    if settings.session is not None:
        return is_confidential(settings.session)
    return settings.confidential is None and _is_confidential_path(os.environ.get(SESSION_VARIABLE))


def _is_confidential_path(session_directory: str | None) -> bool:
    return session_directory is not None and is_confidential(os.path.basename(session_directory))


def _require_memory(settings: StoreSettings) -> None:
    """Refuse what confidential data may not touch, before anything is made, and keep it out of core dumps."""
    if settings.lifetime == KEPT:
        todo = "it goes with the process that has it; leave `lifetime` out"
        raise ConfidentialityError("shm.lifetime", KEPT, todo)
    base = layout_of(settings).base
    where = host.filesystem(base)
    if not where.in_memory:
        todo = f"that is on {where.type or 'an unknown file system'}; name a directory on a tmpfs, such as /dev/shm"
        raise ConfidentialityError("shm.directory", base, todo)
    memory.keep_out_of_dumps()


def leave(membership: Membership) -> None:
    """One store less; the last one ends the session, if it is this process's."""
    with _registry.lock:
        membership.users -= 1
        if membership.users == 0:
            _forget(membership)


def _join(layout: Layout, settings: StoreSettings, inherited: str | None, confidential: bool) -> Membership | None:
    candidates = [settings.session] if settings.session else []
    if inherited is not None and inherited == layout.session(os.path.basename(inherited)):
        candidates.append(os.path.basename(inherited))
    for candidate in candidates:
        owner = read_owner(layout, candidate)
        if owner is None or is_confidential(candidate) != confidential:
            continue
        # The owner's settings count, or this process would not find what others have spilled.
        adopted = StoreSettings.from_mapping({**owner.settings, "directory": layout.base})
        session = Session.join(layout_of(adopted), candidate)
        if session is not None:
            return Membership(replace(adopted, storage_bucket=settings.storage_bucket), session, _state(layout.base))
    return None


def is_usable(membership: Membership) -> bool:
    """Whether the session still lives."""
    session = membership.session
    if session.owned or session.id == KEPT:
        return os.path.isdir(session.directory)
    return is_alive(session.layout, session.id)


def _state(base: str) -> SharedState:
    state = _registry.states.get(base)
    if state is not None and not state.is_current():
        state.close()
        state = None
    if state is None:
        state = _registry.states[base] = SharedState(base)
    return state


def _forget(membership: Membership) -> None:
    session = membership.session
    base = session.layout.base
    for key, other in list(_registry.memberships.items()):
        if other is membership:
            del _registry.memberships[key]
    if session.owned and os.environ.get(SESSION_VARIABLE) == session.directory:
        del os.environ[SESSION_VARIABLE]
        others = [each.session for each in _registry.memberships.values() if each.session.owned]
        if others and session.confidential:  # it had taken the place of another
            os.environ[SESSION_VARIABLE] = others[0].directory
    session.end()
    if not any(key[0] == base for key in _registry.memberships) and base in _registry.states:
        _registry.states.pop(base).close()


def _end_all() -> None:
    with _registry.lock:
        for membership in list(_registry.memberships.values()):
            with contextlib.suppress(OSError):
                _forget(membership)


def _after_fork_in_child() -> None:
    _registry.lock = threading.RLock()
    for membership in _registry.memberships.values():
        membership.session.abandon()


# Registered on import, so before any Lithops executor registers its own clean-up, and therefore run after it.
atexit.register(_end_all)
os.register_at_fork(after_in_child=_after_fork_in_child)
