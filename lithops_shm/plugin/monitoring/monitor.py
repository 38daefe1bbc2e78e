"""The thread that applies pushed statuses to the futures of an executor."""

from __future__ import annotations

import contextlib
import queue
import sys
import threading
import time
from typing import Any

from lithops.monitoring.job_monitor import JobMonitor
from lithops.monitoring.monitor import MessageMonitor
from lithops.storage.utils import create_job_key, create_status_key

from lithops_shm.plugin import running
from lithops_shm.plugin.callers import local_of
from lithops_shm.plugin.leftovers import leftovers
from lithops_shm.plugin.monitoring.logs import LogFiles
from lithops_shm.plugin.monitoring.mailbox import forget, mailbox
from lithops_shm.plugin.monitoring.status import PRINTED, PRINTED_IN_CONFIDENCE

__all__ = ["PushMonitor"]

# Between looks for what nobody tells of: calls that are over their timeout all the same, results that have been read.
_LOOKS_S = 2.0
_NEWS_S = 5.0
# Lithops' loop looks at all its calls each time round, and wakes a thread for each that has ended. So it is told of
# several at once: after so long for each call there is, but not later than this, and at once when a job is over.
_LOOP_S = 100e-6
_LATEST_S = 0.1
# Waking this thread for a status takes longer than applying it. So where many are to come, it sleeps for a moment.
_MANY = 100
_NAP_S = 0.01


class PushMonitor(MessageMonitor):  # type: ignore[misc]
    """Waits in the executor's mailbox; a status is applied as soon as it is there."""

    backend_name = "shm"

    def __init__(self, *arguments: Any, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._mailbox = mailbox(self.executor_id)
        self._news = threading.Event()
        self._over = threading.Event()
        self._leftovers = leftovers(self.executor_id)
        self._log_files = LogFiles()

    def add_futures(self, fs: Any) -> None:
        """Lithops' own; called when a job starts."""
        fs = list(fs)
        super().add_futures(fs)
        self._leftovers.track(fs)

    def remove_futures(self, fs: Any) -> None:
        """Lithops' own; called when calls have been waited for, or when waiting for them has failed."""
        fs = list(fs)
        super().remove_futures(fs)
        if local_of("wait", "e") is not None:
            running.cancel({future.job_key for future in fs})
        self._sweep()

    def _sweep(self) -> None:
        if self.config.get("data_cleaner"):
            self._leftovers.sweep(self.internal_storage)

    def run(self) -> None:
        """Apply statuses until :meth:`stop`."""
        looked = time.monotonic()
        while self.should_run:
            messages = self._next_messages()
            if not messages:
                self._log_files.close()
            for message in messages:
                if self.should_run:
                    self._apply(message)
                else:
                    self._mailbox.put(message)  # for the monitor that takes over
            if time.monotonic() - looked >= _LOOKS_S:
                looked = time.monotonic()
                self._print_status_log()
                self._future_timeout_checker()
                self._sweep()
        self._log_files.close()
        self._print_status_log(force=True)

    def _next_messages(self) -> list[dict[str, Any]]:
        """What is in the mailbox, after a moment in which more of many may come; nothing when it stays empty."""
        messages = []
        with contextlib.suppress(queue.Empty):
            messages.append(self._mailbox.get(timeout=_LOOKS_S))
            if len(self.futures) >= _MANY:
                self.sleep(_NAP_S)
            while True:
                messages.append(self._mailbox.get_nowait())
        return [message for message in messages if message is not None]

    def _apply(self, message: dict[str, Any]) -> None:
        self._apply_status_message(message)
        self._apply_held_status()
        if message["type"] == "__end__":
            executor_id, job_id, call_id = (message[name] for name in ("executor_id", "job_id", "call_id"))
            running.applied(create_status_key(executor_id, job_id, call_id))
            if not running.is_running(create_job_key(executor_id, job_id)):
                self._over.set()
            self._news.set()

    def _mark_ready(self, future: Any, call_status: dict[str, Any], outcome: Any = None) -> None:
        """Lithops' own, of a call that has ended."""
        self._take_printed(future, call_status)
        super()._mark_ready(future, call_status, outcome)

    def _check_new_futures(self, call_status: dict[str, Any], f: Any) -> bool:
        """Lithops' own, of a call that may have given calls in place of a result."""
        self._take_printed(f, call_status)
        return bool(super()._check_new_futures(call_status, f))

    def _take_printed(self, future: Any, call_status: dict[str, Any]) -> None:
        """What a call printed goes to its future and to Lithops' files; of a confidential one, to its future alone."""
        if (printed := call_status.pop(PRINTED, None)) is not None:
            self._log_files.append(future.job_key, future.runtime_name, call_status["activation_id"], printed)
            future.logs = printed
        elif (printed := call_status.pop(PRINTED_IN_CONFIDENCE, None)) is not None:
            future.logs = printed

    def stop(self) -> None:
        """Ask the thread to end, which it does at once."""
        super().stop()
        self._mailbox.put(None)
        self._over.set()
        self._news.set()

    def await_news(self, timeout_s: float) -> None:
        """Wait until a call has ended since this was last asked, at most for `timeout_s` seconds."""
        self._news.wait(timeout_s)
        self._news.clear()

    def is_alive(self) -> bool:
        """As any thread's; asked by Lithops' loop that waits for futures, it answers when there is something new.

        That loop sleeps for a tenth of a second whenever it finds nothing to do. It asks this first, every time round,
        and then looks at every call there is; where there are many, it is given news of several at once.
        """
        if sys._getframe(1).f_code is JobMonitor.is_alive.__code__ and not self._all_ready():
            self._news.wait(_NEWS_S)
            self._over.wait(min(_LATEST_S, _LOOP_S * len(self.futures)))
        self._over.clear()
        self._news.clear()
        return bool(super().is_alive())

    def _delete_resources(self) -> None:
        forget(self.executor_id)
