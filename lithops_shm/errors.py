"""Every error the project raises on purpose.

    ShmError
      ConfigError (ValueError)         a setting is unknown, of the wrong type or out of range
      UnsupportedError                 a combination, platform or version we refuse by name
      StoreError
        SegmentNotFoundError (LookupError)
        InvalidKeyError (ValueError)   a bucket or key that cannot be stored
        InvalidRangeError (ValueError) a byte range that is malformed or starts past the end
        SegmentCorruptError            the bytes are not what was sealed
        StoreFullError (OSError)       neither memory nor the spill directory has room
        SessionLostError               the process that owned the session has ended
        UnsafeDirectoryError           the base directory belongs to, or is open to, somebody else
      CodecError
        NotSerializableError (TypeError)
        LayoutVersionError             written by a newer release
      WorkerError
        WorkerPoolError                no worker can be had
        NotAdmittedError               a call asks for more memory than the machine has
        WorkerDiedError                the process of a call ended before the call did
          WorkerOutOfMemoryError
        CallTimeoutError (TimeoutError)
      ShuffleError
        PartitionerError (ValueError)  rows cannot be told apart by the key, or the partition function is wrong
        SchemaMismatchError (TypeError) two mappers disagree on a column
        StaleAttemptError              an attempt that does not count
        IncompleteShuffleError         some mapper has no attempt that counts
        ShuffleStorageError            the place where a shuffle keeps its objects fails
      SelectorError
        ProfileError (ValueError)      a profile is out of range, or in another unit than its name says
        NoPlaceError                   no candidate meets the hard constraints
        ConfidentialityError           confidential data would leave this machine, or touch a disk

Each class has a stable ``code``; codes are only ever added. The data of an error is in ``args``
and its sentence is made by ``__str__``, so that errors survive pickling between processes.
"""

from __future__ import annotations

import errno
from typing import ClassVar

__all__ = [
    "CallTimeoutError",
    "CodecError",
    "ConfidentialityError",
    "ConfigError",
    "IncompleteShuffleError",
    "InvalidKeyError",
    "InvalidRangeError",
    "LayoutVersionError",
    "NoPlaceError",
    "NotAdmittedError",
    "NotSerializableError",
    "PartitionerError",
    "ProfileError",
    "SchemaMismatchError",
    "SegmentCorruptError",
    "SegmentNotFoundError",
    "SelectorError",
    "SessionLostError",
    "ShmError",
    "ShuffleError",
    "ShuffleStorageError",
    "StaleAttemptError",
    "StoreError",
    "StoreFullError",
    "UnsafeDirectoryError",
    "UnsupportedError",
    "WorkerDiedError",
    "WorkerError",
    "WorkerOutOfMemoryError",
    "WorkerPoolError",
]


def _abridged(text: str, limit: int = 120) -> str:
    """`text` quoted for a message, its middle left out when it is longer than `limit` characters."""
    if len(text) > limit:
        half = limit // 2
        return f"{text[:half]!r}...{text[-half:]!r} ({len(text)} characters)"
    return repr(text)


class ShmError(Exception):
    """Base of every error of this project."""

    code: ClassVar[str] = "SHM"


class ConfigError(ShmError, ValueError):
    """A setting is wrong; the message names the section, the key and what would be right."""

    code = "SHM-CONFIG"


class UnsupportedError(ShmError):
    """A combination, platform or version that cannot work; the message says what to use."""

    code = "SHM-UNSUPPORTED"


class StoreError(ShmError):
    """Base of the errors of the segment store."""

    code = "SHM-STORE"


class SegmentNotFoundError(StoreError, LookupError):
    """No such key, or no such bucket when the key is empty. ``args``: bucket, key."""

    code = "SHM-NOT-FOUND"

    def __str__(self) -> str:
        bucket, key = self.args
        if not key:
            return f"no bucket {_abridged(bucket)} in shared memory; create it, or put an object in it first"
        return f"no segment {_abridged(key)} in bucket {_abridged(bucket)}"


class InvalidKeyError(StoreError, ValueError):
    """A bucket or key that cannot be stored. ``args``: what ("bucket" or "key"), its text, the reason."""

    code = "SHM-INVALID-KEY"

    def __str__(self) -> str:
        what, text, reason = self.args
        return f"invalid {what} {_abridged(str(text))}: {reason}"


class InvalidRangeError(StoreError, ValueError):
    """A byte range that is malformed or unsatisfiable. ``args``: the range, the reason."""

    code = "SHM-INVALID-RANGE"

    def __str__(self) -> str:
        byte_range, reason = self.args
        return f"invalid range {_abridged(str(byte_range))}: {reason}"


class SegmentCorruptError(StoreError):
    """The bytes of a segment are not what was sealed. ``args``: where, what is wrong."""

    code = "SHM-CORRUPT"

    def __str__(self) -> str:
        where, what = self.args
        return f"{where} is corrupt: {what}; write it again"


class StoreFullError(StoreError, OSError):
    """No room for a segment; everything stored before is untouched. ``args``: ENOSPC, the sentence."""

    code = "SHM-FULL"

    def __init__(self, error_number: int = errno.ENOSPC, sentence: str = "the store is full") -> None:
        super().__init__(error_number, sentence)

    def __str__(self) -> str:
        return str(self.args[1])


class SessionLostError(StoreError):
    """The process that owned the session has ended and its data is gone. ``args``: session id."""

    code = "SHM-SESSION-LOST"

    def __str__(self) -> str:
        return (
            f"the session {self.args[0]} has ended, and what it stored went with it: the process that opened "
            "it exited or was killed. Open a new executor or storage and put the data again"
        )


class UnsafeDirectoryError(StoreError):
    """The base directory could be read or replaced by somebody else. ``args``: path, reason."""

    code = "SHM-UNSAFE-DIRECTORY"

    def __str__(self) -> str:
        path, reason = self.args
        return (
            f"refusing to keep data in {path}: {reason}. Remove it, or set another place "
            "with `shm: {directory: ...}` in the Lithops configuration"
        )


class CodecError(ShmError):
    """Base of the errors of encoding and decoding."""

    code = "SHM-CODEC"


class NotSerializableError(CodecError, TypeError):
    """An object that no codec can carry. ``args``: type name, the reason."""

    code = "SHM-NOT-SERIALIZABLE"

    def __str__(self) -> str:
        type_name, reason = self.args
        return f"cannot store a {type_name}: {reason}"


class LayoutVersionError(CodecError):
    """A segment written by a newer release. ``args``: version found, newest version known."""

    code = "SHM-LAYOUT-VERSION"

    def __str__(self) -> str:
        found, known = self.args
        return f"the segment has layout version {found}, this release reads up to {known}; upgrade lithops-shm"


class WorkerError(ShmError):
    """Base of the errors of workers."""

    code = "SHM-WORKER"


class WorkerPoolError(WorkerError):
    """No worker can be had for a call. ``args``: call, reason."""

    code = "SHM-WORKER-POOL"

    def __str__(self) -> str:
        call, reason = self.args
        return f"call {call} was not run: {reason}"


class NotAdmittedError(WorkerError):
    """The calls of a job each ask for more memory than there is in all. ``args``: job, wanted, total; in bytes."""

    code = "SHM-NOT-ADMITTED"

    def __str__(self) -> str:
        job, wanted, total = self.args
        return (
            f"job {job}: each of its calls asks for {wanted} bytes of memory (`runtime_memory`), and this machine has "
            f"{total} in all: ask for less, or run the job elsewhere"
        )


class WorkerDiedError(WorkerError):
    """The process of a call ended before the call did; other calls are untouched. ``args``: call, reason, output."""

    code = "SHM-WORKER-DIED"

    def __str__(self) -> str:
        call, reason, output = self.args
        said = f"\nThe last it wrote:\n{output}" if output else ""
        return f"call {call} was lost: {reason}{said}"


class WorkerOutOfMemoryError(WorkerDiedError):
    """The kernel killed the process of a call for lack of memory, or so it seems. ``args``: call, reason, output."""

    code = "SHM-WORKER-OOM"

    def __str__(self) -> str:
        return (
            f"{super().__str__()}\nGive calls less data each, run fewer at once (`shm: {{worker_processes: ...}}`), or "
            "say how much memory they need (`runtime_memory`, in MB), so that they wait for it"
        )


class CallTimeoutError(WorkerError, TimeoutError):
    """A call took longer than its timeout and was killed. ``args``: call, seconds."""

    code = "SHM-CALL-TIMEOUT"

    def __str__(self) -> str:
        call, seconds = self.args
        return (
            f"call {call} exceeded its timeout of {seconds} seconds and was killed; give it more time with `timeout=` "
            "or `lithops: {execution_timeout: ...}`"
        )


class ShuffleError(ShmError):
    """Base of the errors of shuffles."""

    code = "SHM-SHUFFLE"


class PartitionerError(ShuffleError, ValueError):
    """Rows cannot be given to partitions. ``args``: what by (a column, or the partition function), the reason."""

    code = "SHM-PARTITIONER"

    def __str__(self) -> str:
        what, reason = self.args
        return f"cannot partition by {what}: {reason}"


class SchemaMismatchError(ShuffleError, TypeError):
    """Two mappers disagree on a column. ``args``: mapper, column, what it has, first mapper, what that has."""

    code = "SHM-SCHEMA"

    def __str__(self) -> str:
        mapper, column, found, first, expected = self.args
        return (
            f"mapper {mapper} gives column {column!r} as {found}, mapper {first} as {expected}: all mappers must "
            "return the same columns of the same types; cast it in the map function"
        )


class StaleAttemptError(ShuffleError):
    """An attempt that does not count, because another was first. ``args``: what, the attempt, the one that counts."""

    code = "SHM-STALE-ATTEMPT"

    def __str__(self) -> str:
        what, attempt, counts = self.args
        return f"attempt {attempt} of {what} does not count: {counts} does"


class IncompleteShuffleError(ShuffleError):
    """A shuffle was to be committed or read before all its mappers had finished. ``args``: shuffle, mappers."""

    code = "SHM-INCOMPLETE-SHUFFLE"

    def __str__(self) -> str:
        shuffle, mappers = self.args
        named = ", ".join(map(str, mappers[:5])) + (", ..." if len(mappers) > 5 else "")
        return f"shuffle {shuffle} has not one output that counts of mapper {named}"


class ShuffleStorageError(ShuffleError):
    """Where a shuffle keeps its objects something failed. ``args``: where, the reason, what to do."""

    code = "SHM-SHUFFLE-STORAGE"

    def __str__(self) -> str:
        where, reason, todo = self.args
        return f"{where}: {reason}; {todo}"


class SelectorError(ShmError):
    """Base of the errors of choosing where a job runs."""

    code = "SHM-SELECTOR"


class ProfileError(SelectorError, ValueError):
    """A profile says what cannot be. ``args``: field, its value, the reason."""

    code = "SHM-PROFILE"

    def __str__(self) -> str:
        field, value, reason = self.args
        return f"profile: {field}={_abridged(str(value))} {reason}"


class NoPlaceError(SelectorError):
    """No candidate meets the hard constraints. ``args``: a sentence for each rejected candidate, what to change."""

    code = "SHM-NO-PLACE"

    def __str__(self) -> str:
        rejections, todo = self.args
        return "\n  ".join(["this job can run nowhere:", *rejections]) + f"\n{todo}"


class ConfidentialityError(SelectorError):
    """Confidential data would leave this machine, or touch a disk. ``args``: key, its value, what to do."""

    code = "SHM-CONFIDENTIAL"

    def __str__(self) -> str:
        key, value, todo = self.args
        return f"confidential data stays in this machine's memory, and `{key}: {value}` would take it elsewhere: {todo}"
