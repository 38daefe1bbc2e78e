"""What calls print, in the files where ``lithops logs`` looks for it."""

from __future__ import annotations

import logging
import os

from lithops.constants import FN_LOG_FILE, LOGS_DIR

__all__ = ["LogFiles"]

logger = logging.getLogger(__name__)

_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC


class LogFiles:
    """Appends to the file of a job and to that of all functions, open from one call of the job to the next.

    Lithops opens and closes both for each call, which costs the client more than anything else it does for one.
    """

    def __init__(self) -> None:
        self._job_key = ""
        self._fds: list[int] = []
        self._has_failed = False

    def append(self, job_key: str, runtime: str, activation: str, printed: str) -> None:
        """Write what one call has printed, as Lithops does; a disk that is full is a warning."""
        lines = "".join(f"    {line}\n" for line in printed.replace("\r", "").splitlines())
        entry = f"Activation: '{runtime}' ({activation})\n[\n{lines}]\n\n".encode(errors="replace")
        try:
            if job_key != self._job_key:
                self.close()
                os.makedirs(LOGS_DIR, exist_ok=True)
                for path in (os.path.join(LOGS_DIR, f"{job_key}.log"), FN_LOG_FILE):
                    self._fds.append(os.open(path, _FLAGS, 0o666))
                self._job_key = job_key
            for fd in self._fds:
                os.write(fd, entry)
        except OSError as error:
            self.close()
            if not self._has_failed:
                self._has_failed = True
                logger.warning("what functions print is not in Lithops' log files: %s", error)

    def close(self) -> None:
        """Let go of the files; the next call opens them again."""
        self._job_key = ""
        while self._fds:
            os.close(self._fds.pop())
