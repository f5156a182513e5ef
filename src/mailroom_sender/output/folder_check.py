"""Checks whether an output folder is safe. Its files contain secrets."""

import os
import stat
from pathlib import Path

_MOST_LINKS = 40  # Linux follows as many (path_resolution(7))


def problem_of(folder: Path) -> str:
    """Return why a folder is not safe for secrets; empty if it is safe, or does not exist. Raises OSError.

    A mount may be writable for all users. Volumes of containers are, and a container has no other users.
    """
    if link := _link_of_another(folder.absolute()):
        return f"{link} is a symbolic link of another user, and that user can change its target"
    mode = folder.stat().st_mode if folder.exists() else 0
    if stat.S_ISDIR(mode) and mode & stat.S_IWOTH and not mode & stat.S_ISVTX and not folder.is_mount():
        return f"every user of this machine can write into {folder} (chmod o-w {folder})"
    return ""


def _link_of_another(path: Path, followed: int = 0) -> Path | None:
    """Return the first symbolic link on the way that belongs neither to this user nor to root."""
    for part in (*reversed(path.parents), path):
        if not part.is_symlink():
            continue
        if part.lstat().st_uid not in {0, os.geteuid()}:
            return part
        if followed == _MOST_LINKS:
            return None
        target = part.parent / part.readlink() / path.relative_to(part)
        return _link_of_another(Path(os.path.normpath(target)), followed + 1)
    return None
