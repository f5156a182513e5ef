"""A secret from the environment or from a file, never from an option, which a process list would show."""

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from mailroom_runtime.errors import SettingError


def optional_secret(name: str, file: str | None, environ: Mapping[str, str]) -> str | None:
    """Return a secret from the variable `name` or from the file that `name`_FILE names, if there is one.

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
        raise SettingError(f"{name}_FILE: {file} is empty", f"write what {name} would hold into it")
    return value


def required_secret(name: str, file: str | None, environ: Mapping[str, str], wanted: str) -> str:
    """Return a secret as optional_secret() does; `wanted` says what it looks like.

    Raises SettingError when there is none, too.
    """
    value = optional_secret(name, file, environ)
    if value is None:
        raise SettingError(f"{name} is not set", f"set it, or {name}_FILE to a file that holds it: {wanted}")
    return value


def readable_by_all(name: str, file: str | None) -> str:
    """Return a warning when every user of this machine can read the file that `name`_FILE names; else an empty text.

    There is no warning for a read-only mount: Kubernetes and Docker mount secrets so, readable for all users, into
    containers without other users. There is none either when a folder on the path keeps other users out.
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
