"""Ways to turn a frame of pandas into buffers and back; declared in `contestants`."""

from __future__ import annotations

import pickle
from typing import Any, Protocol

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from lithops_shm import codec
from lithops_shm.bench.frames import to_frame

__all__ = ["Arrow", "Codec", "OutOfBand", "Parquet", "Pickle"]


class Codec(Protocol):
    """What all of them do."""

    def encode(self, frame: pd.DataFrame) -> list[Any]:
        """Buffers, to be stored one after the other."""
        ...

    def decode(self, data: Any, dtype: str) -> pd.DataFrame:
        """The frame from all its bytes; with views of them, where the codec can."""
        ...


class Arrow:
    """A table, as Arrow IPC in our layout."""

    def encode(self, frame: pd.DataFrame) -> list[Any]:
        return list(codec.encode(pa.Table.from_pandas(frame, preserve_index=False)).parts)

    def decode(self, data: Any, dtype: str) -> pd.DataFrame:
        return to_frame(codec.decode(data), dtype)


class OutOfBand:
    """The frame, as pickle 5 with its arrays out of band: what :func:`lithops_shm.put` does."""

    def encode(self, frame: pd.DataFrame) -> list[Any]:
        return list(codec.encode(frame, codec="pickle").parts)

    def decode(self, data: Any, dtype: str) -> pd.DataFrame:
        return codec.decode(data)


class Pickle:
    """The frame, as `pickle.dumps` has it: one stream."""

    def encode(self, frame: pd.DataFrame) -> list[Any]:
        return [pickle.dumps(frame, protocol=5)]

    def decode(self, data: Any, dtype: str) -> pd.DataFrame:
        return pickle.loads(data)


class Parquet:
    """A table, as Parquet with the defaults of Arrow (snappy)."""

    def encode(self, frame: pd.DataFrame) -> list[Any]:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.Table.from_pandas(frame, preserve_index=False), sink)
        return [sink.getvalue()]

    def decode(self, data: Any, dtype: str) -> pd.DataFrame:
        return to_frame(pq.read_table(pa.BufferReader(data)), dtype)
