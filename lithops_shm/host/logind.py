"""What systemd-logind does to the files of a user who logs out."""

from __future__ import annotations

import os
import re

from lithops_shm.host.files import Path, read

__all__ = ["removes_ipc"]

# In order of precedence: the main file is the first that exists, a drop-in hides those of its name further down.
_CONFIG_HOMES = ("etc", "run", "usr/local/lib", "usr/lib", "lib")
_WORDS = dict.fromkeys(("1", "yes", "y", "true", "t", "on"), True)
_WORDS |= dict.fromkeys(("0", "no", "n", "false", "f", "off"), False)


def removes_ipc(uid: int | None = None, root: Path = "/") -> bool | None:
    """Whether logind deletes all the files of a user in ``/dev/shm`` when their last login session ends.

    ``RemoveIPC=`` of logind.conf, where logind runs, for a user who is neither a system user nor lingers.

    Parameters
    ----------
    uid:
        The user; this process's by default.
    root:
        The root of the file system whose configuration is read.

    Returns
    -------
    bool | None
        ``None`` when logind runs but its configuration cannot be understood.
    """
    uid = os.getuid() if uid is None else uid
    if not os.path.isdir(os.path.join(root, "run", "systemd", "seats")):  # made by logind when it starts
        return False
    if uid <= _system_uid_max(root) or _lingers(uid, root):
        return False
    return _remove_ipc_setting(root)


def _system_uid_max(root: Path) -> int:
    match = re.search(r"^\s*SYS_UID_MAX\s+(\d+)", read(os.path.join(root, "etc", "login.defs")) or "", re.MULTILINE)
    return int(match[1]) if match else 999  # systemd's own default


def _lingers(uid: int, root: Path) -> bool:
    for line in (read(os.path.join(root, "etc", "passwd")) or "").splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[2] == str(uid) and "/" not in fields[0]:
            return os.path.exists(os.path.join(root, "var", "lib", "systemd", "linger", fields[0]))
    return False


def _remove_ipc_setting(root: Path) -> bool | None:
    homes = [os.path.join(root, home, "systemd") for home in _CONFIG_HOMES]
    main = next((text for home in homes if (text := read(os.path.join(home, "logind.conf"))) is not None), "")
    # Distributions that changed the default (RHEL: no) say so in the commented line they ship.
    default = re.search(r"^#\s*RemoveIPC=(\w+)", main, re.MULTILINE)
    value = _WORDS.get(default[1].lower()) if default else True
    drop_ins: dict[str, str] = {}
    for home in reversed(homes):
        directory = os.path.join(home, "logind.conf.d")
        drop_ins |= {name: os.path.join(directory, name) for name in _names(directory) if name.endswith(".conf")}
    texts = [main, *(read(drop_ins[name]) or "" for name in sorted(drop_ins))]
    unset = value
    for text in texts:
        for word in _assignments(text):
            value = _WORDS.get(word.lower()) if word else unset
    return value


def _assignments(text: str) -> list[str]:
    """The values given to RemoveIPC in section [Login], in order."""
    values, section = [], ""
    for raw in text.splitlines():
        line = raw.strip()
        if line.startswith("["):
            section = line
        elif section == "[Login]" and line.partition("=")[0].strip() == "RemoveIPC":
            values.append(line.partition("=")[2].strip())
    return values


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except OSError:
        return []
