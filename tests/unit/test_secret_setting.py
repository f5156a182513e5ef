"""A secret's file that others can read is said, and nothing that is no danger."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from mailroom_runtime.settings.secret_setting import readable_by_all


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that others can read, in folders that they may pass."""
    folder = tmp_path / "etc"
    folder.mkdir(mode=0o755)
    (folder / "key").write_text("x")
    (folder / "key").chmod(0o644)
    real = Path.stat

    def passable(path: Path, *, follow_symlinks: bool = True) -> os.stat_result:
        found = real(path, follow_symlinks=follow_symlinks)
        is_above = path == tmp_path or path in tmp_path.parents  # which pytest makes for its user alone
        return os.stat_result([found.st_mode | 0o001, *found[1:]]) if is_above else found

    monkeypatch.setattr(Path, "stat", passable)
    return folder / "key"


def told(file: Path) -> str:
    return readable_by_all("MAILROOM_SECRET_KEY", str(file))


def test_file_that_all_can_read_is_named_with_what_to_do(file: Path) -> None:
    """Also by way of a link, as Kubernetes makes them."""
    link = file.with_name("link")
    link.symlink_to("key")
    for name in (file, link):
        assert told(name) == f"MAILROOM_SECRET_KEY_FILE: every user of this machine can read {name}; chmod o-r {name}"


def test_file_that_others_cannot_reach_is_none_of_them(file: Path) -> None:
    """By its mode, or by that of a folder on the way; no file, nothing to say."""
    file.chmod(0o640)
    assert not told(file)
    file.chmod(0o644)
    file.parent.chmod(0o700)
    assert not told(file)
    assert not told(file.with_name("missing"))
    assert not readable_by_all("MAILROOM_SECRET_KEY", None)


def test_mounted_secret_is_readable_by_all_and_fine(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker and Kubernetes mount secrets read-only, mode 0444 or 0644."""
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
    assert not told(file)
