"""A table as frames one after the other, each readable by itself: what object stores are given to read ranges of."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
import pyarrow as pa

from lithops_shm.errors import ConfigError, SegmentCorruptError

__all__ = ["COMPRESSIONS", "FORMATS", "Encoding", "dump_frames", "load_frames"]

FORMATS = ("arrow", "parquet")
COMPRESSIONS = ("lz4", "zstd", "none")

Positions = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Encoding:
    """How frames are written.

    Parameters
    ----------
    format:
        ``"arrow"``: Arrow IPC streams. ``"parquet"``: smaller, and slower to write.
    compression:
        ``"lz4"``, ``"zstd"`` or ``"none"``.
    """

    format: str = "arrow"
    compression: str = "lz4"

    def __post_init__(self) -> None:
        if self.format not in FORMATS or self.compression not in COMPRESSIONS:
            raise ConfigError(f"frames are {' or '.join(FORMATS)}, compressed by {', '.join(COMPRESSIONS)}; not {self}")


def dump_frames(
    table: pa.Table, positions: Positions, encoding: Encoding
) -> tuple[list[pa.Buffer], Positions, Positions]:
    """Cut a table at `positions` and encode each part.

    Returns
    -------
    The frames, to be written one after the other; the bytes at which they begin and the last one ends, shape
    (frames + 1,); and the CRC-32 of each, shape (frames,). Parts without rows have frames without bytes.
    """
    frames = []
    for start, stop in itertools.pairwise(positions):
        part = table.slice(start, stop - start)
        frames.append(_dump(part, encoding) if stop > start else pa.py_buffer(b""))
    offsets = np.concatenate([[0], np.cumsum([frame.size for frame in frames])]).astype(np.int64)
    return frames, offsets, np.array([crc32(frame) for frame in frames], np.int64)


def load_frames(data: Any, offsets: Positions, checksums: Positions, where: str) -> Iterator[pa.Table]:
    """Decode neighbouring frames; uncompressed Arrow ones as views of `data`.

    Parameters
    ----------
    data:
        Their bytes.
    offsets, checksums:
        As :func:`dump_frames` gave them, for these frames.
    where:
        What they are of, for the error.

    Raises
    ------
    SegmentCorruptError
        When a frame is not what was written.
    """
    view = memoryview(data)
    begin = offsets[0]
    for start, stop, checksum in zip(offsets[:-1] - begin, offsets[1:] - begin, checksums, strict=True):
        if start == stop:
            continue
        frame = view[start:stop]
        if crc32(frame) != checksum:
            raise SegmentCorruptError(where, f"the checksum of bytes {start + begin:,} to {stop + begin:,} is wrong")
        yield _load(frame)


def _dump(part: pa.Table, encoding: Encoding) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    if encoding.format == "parquet":
        import pyarrow.parquet as pq

        pq.write_table(part, sink, compression=encoding.compression.replace("none", "NONE"))
    else:
        compression = None if encoding.compression == "none" else encoding.compression
        options = pa.ipc.IpcWriteOptions(compression=compression, use_threads=False)
        with pa.ipc.new_stream(sink, part.schema, options=options) as writer:
            writer.write_table(part)
    return sink.getvalue()


def _load(frame: memoryview) -> pa.Table:
    if bytes(frame[:4]) == b"PAR1":
        import pyarrow.parquet as pq

        return pq.read_table(pa.BufferReader(frame), use_threads=False)
    return pa.ipc.open_stream(pa.py_buffer(frame)).read_all()
