"""Objects to buffers and back, without a copy on the way in or out."""

from __future__ import annotations

from lithops_shm.codec.codec import Encoded, decode, decode_with_report, encode
from lithops_shm.codec.report import CopyReport

__all__ = ["CopyReport", "Encoded", "decode", "decode_with_report", "encode"]
