"""Reads a secret from the environment or from a file. It never comes from an option: a process list would show it."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from mailroom_runtime.errors import SettingError


def optional_secret(name: str, file: str | None, environ: Mapping[str, str]) -> str | None:
    """Return a secret from the variable `name` or from `file`, which `name`_FILE names; None if neither is set.

    Raises SettingError when both are set, or the file can't be read or is empty.
    """
    value = environ.get(name) or None
    if value and file:
        raise SettingError(f"{name} and {name}_FILE are both set", "set only one of them")
    if not file:
        return value
    try:
        value = Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingError(f"{name}_FILE: {file} can't be read: {reason}") from None
    if not value:
        raise SettingError(f"{name}_FILE: {file} is empty", f"write the value of {name} into it")
    return value


def required_secret(name: str, file: str | None, environ: Mapping[str, str], wanted: str) -> str:
    """Return a secret like optional_secret(). `wanted` describes its format.

    Raises SettingError also when neither is set.
    """
    value = optional_secret(name, file, environ)
    if value is None:
        raise SettingError(f"{name} is not set", f"set it, or {name}_FILE to a file that holds it: {wanted}")
    return value


def readable_by_all(name: str, file: str | None) -> str:
    """Return a warning if every user of this machine can read the file of `name`_FILE, else an empty text.

    A read-only mount gets no warning: Kubernetes and Docker mount secrets in this way, readable for all users, into
    containers that have no other users. There is no warning either if other users can't enter a folder of the path.
    """
    if not file:
        return ""
    try:
        path = Path(file).resolve()
        is_readable = bool(path.stat().st_mode & stat.S_IROTH)
        is_reached = all(folder.stat().st_mode & stat.S_IXOTH for folder in path.parents)
        is_mounted = bool(os.statvfs(path).f_flag & os.ST_RDONLY)
    except OSError:
        return ""  # the reader of the file reports what is wrong
    if not is_readable or not is_reached or is_mounted:
        return ""
    return f"{name}_FILE: every user of this machine can read {file}; chmod o-r {file}"
