"""setuptools' build backend, and one file more in the wheel.

``lithops_shm.pth`` has to lie beside the packages in site-packages, in wheels and editable installs alike, so that
Python reads it at start-up. setuptools has no setting for that: it is added to the finished wheel here.
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import zipfile
from pathlib import Path

from setuptools import build_meta
from setuptools.build_meta import (
    build_sdist,
    get_requires_for_build_editable,
    get_requires_for_build_sdist,
    get_requires_for_build_wheel,
    prepare_metadata_for_build_editable,
    prepare_metadata_for_build_wheel,
)

__all__ = [
    "build_editable",
    "build_sdist",
    "build_wheel",
    "get_requires_for_build_editable",
    "get_requires_for_build_sdist",
    "get_requires_for_build_wheel",
    "prepare_metadata_for_build_editable",
    "prepare_metadata_for_build_wheel",
]

_PTH = Path(__file__).with_name("lithops_shm.pth")

# setuptools copies the packages here and packs what it finds, modules of an earlier build that are gone included.
_STALE = _PTH.parent / "build" / "lib"

_Settings = dict[str, str | list[str] | None] | None


def build_wheel(wheel_directory: str, config_settings: _Settings = None, metadata_directory: str | None = None) -> str:
    shutil.rmtree(_STALE, ignore_errors=True)
    name = build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    return _with_pth(wheel_directory, name)


def build_editable(
    wheel_directory: str, config_settings: _Settings = None, metadata_directory: str | None = None
) -> str:
    name = build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
    return _with_pth(wheel_directory, name)


def _with_pth(directory: str, name: str) -> str:
    """Write the wheel anew with the .pth file in it, and in its RECORD (binary distribution format, PyPA)."""
    wheel = Path(directory, name)
    data = _PTH.read_bytes()
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    rewritten = wheel.with_suffix(".rewritten")
    with zipfile.ZipFile(wheel) as source, zipfile.ZipFile(rewritten, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            content = source.read(entry)
            if entry.filename.endswith(".dist-info/RECORD"):
                content += f"{_PTH.name},sha256={digest},{len(data)}\n".encode()
                # Of the same date, and readable by all: an interpreter that may not read the file goes without it.
                pth = zipfile.ZipInfo(_PTH.name, entry.date_time)
                pth.external_attr = 0o100644 << 16
                target.writestr(pth, data, zipfile.ZIP_DEFLATED)
            target.writestr(entry, content)
    os.replace(rewritten, wheel)
    return name
