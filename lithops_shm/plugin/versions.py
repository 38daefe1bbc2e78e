"""Which releases of Lithops the backends are written against."""

from __future__ import annotations

from lithops_shm.errors import UnsupportedError

__all__ = ["SUPPORTED", "check_lithops"]

SUPPORTED = ((3, 8), (4, 0))  # from, up to but not including


def check_lithops(version: str | None = None) -> None:
    """Refuse a Lithops whose internals we do not know; raises UnsupportedError naming what is and what would be."""
    from lithops.version import __version__

    version = version or __version__
    numbers = tuple(int(part) for part in str(version).split(".")[:2] if part.isdigit())
    if not SUPPORTED[0] <= numbers < SUPPORTED[1]:
        low, high = (".".join(map(str, bound)) for bound in SUPPORTED)
        raise UnsupportedError(
            f"lithops-shm works with Lithops {low} up to, not including, {high}, and this is {version}: "
            f"install one with `pip install 'lithops>={low},<{high}'`, or a lithops-shm made for {version}"
        )
