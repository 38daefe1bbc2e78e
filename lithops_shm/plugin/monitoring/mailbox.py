"""Where statuses wait for the monitor of their executor: one queue each, as long as the executor lives."""

from __future__ import annotations

import os
import queue
import threading
from typing import Any

__all__ = ["forget", "mailbox"]

_lock = threading.Lock()
_boxes: dict[tuple[int, str], queue.SimpleQueue[dict[str, Any] | None]] = {}


def mailbox(executor_id: str) -> queue.SimpleQueue[dict[str, Any] | None]:
    """The queue of an executor of this process: statuses, or ``None`` to wake who waits."""
    with _lock:
        return _boxes.setdefault((os.getpid(), executor_id), queue.SimpleQueue())


def forget(executor_id: str) -> None:
    """The executor is done with."""
    with _lock:
        _boxes.pop((os.getpid(), executor_id), None)
