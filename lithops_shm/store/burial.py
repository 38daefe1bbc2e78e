"""Removing what a session owns, when it ends or has died; of a confidential one, zeroed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil

from lithops_shm.config import StoreSettings
from lithops_shm.errors import ConfigError
from lithops_shm.store import erasure
from lithops_shm.store.layout import Layout, is_confidential, layout_of
from lithops_shm.store.owner import OWNER_FILE, read_owner

__all__ = ["bury", "clear_trash", "remove_if_empty", "spills_of"]


def bury(layout: Layout, session_id: str, *, patience_s: float = 0.0) -> None:
    """Remove a session's files; call with the base directory locked. Its names vanish at once, by one rename.

    Those of a confidential session that a process still has mapped stay in the trash, for :func:`clear_trash`.

    Parameters
    ----------
    patience_s:
        How long to wait for processes that have them mapped and are known to be ending.
    """
    spills = spills_of(layout, session_id)
    grave = os.path.join(layout.trash, f"{session_id}-{secrets.token_hex(4)}")
    with contextlib.suppress(FileNotFoundError):
        os.rename(layout.session(session_id), grave)
    _remove(grave, patience_s)
    for path in spills:
        shutil.rmtree(path, ignore_errors=True)


def clear_trash(layout: Layout) -> None:
    """Remove what a reclaimer that was killed has left there, and what readers held; call with the base locked."""
    with contextlib.suppress(FileNotFoundError):
        for name in os.listdir(layout.trash):
            _remove(os.path.join(layout.trash, name), 0.0)


def _remove(grave: str, patience_s: float) -> None:
    if is_confidential(os.path.basename(grave)):
        # Nobody reads what was being written; and the owner of a session that it ends has its own file open.
        erasure.erase_tree(grave, unread=("tmp", OWNER_FILE), patience_s=patience_s)
    else:
        shutil.rmtree(grave, ignore_errors=True)


def spills_of(layout: Layout, session_id: str) -> list[str]:
    """The directories on disk of a session: where this layout spills, and where its owner said it would."""
    places = {layout.session_spill(session_id)}
    owner = read_owner(layout, session_id)
    if owner is not None:
        # What another release wrote into the owner's settings is its own affair.
        with contextlib.suppress(ConfigError):
            settings = StoreSettings.from_mapping({**owner.settings, "directory": layout.base})
            places.add(layout_of(settings).session_spill(session_id))
    return sorted(place for place in places if place is not None)


def remove_if_empty(layout: Layout) -> None:
    """Remove the base directory when no session is left in it; call with it locked."""
    if layout.spill is not None:
        with contextlib.suppress(OSError):
            os.rmdir(layout.spill)
            os.rmdir(os.path.dirname(layout.spill))
    with contextlib.suppress(OSError):
        for directory in (layout.sessions, layout.trash):  # the first is gone if the second was in use last time
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(directory)
        # The lock goes last: whoever waits for it then finds that it is not the one at its path any more.
        for name in ("ledger", "locks", "lock"):
            os.unlink(os.path.join(layout.base, name))
        os.rmdir(layout.base)
