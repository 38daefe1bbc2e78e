"""Bytes in the words of people; the other way is :func:`lithops_shm.config.parse_bytes`."""

from __future__ import annotations

__all__ = ["size"]


def size(count: int | None) -> str:
    """Bytes as people read them, such as ``1.5 GiB``; ``unlimited`` for ``None``."""
    if count is None:
        return "unlimited"
    if abs(count) < 1024:
        return f"{count} B"
    amount = float(count)
    for unit in ("KiB", "MiB", "GiB"):
        amount /= 1024
        if abs(amount) < 1023.95:
            return f"{amount:.1f} {unit}"
    return f"{amount / 1024:,.1f} TiB"
