"""The log warns of a secret's file that other users can read, and only then."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from mailroom_runtime.settings.secret_setting import readable_by_all


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that others can read, in folders that they can enter."""
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


def warned(file: Path) -> str:
    return readable_by_all("MAILROOM_SECRET_KEY", str(file))


def test_file_that_all_can_read_is_named_with_advice(file: Path) -> None:
    """Links, as Kubernetes makes them, are followed."""
    link = file.with_name("link")
    link.symlink_to("key")
    for name in (file, link):
        assert warned(name) == f"MAILROOM_SECRET_KEY_FILE: every user of this machine can read {name}; chmod o-r {name}"


def test_file_that_others_cannot_reach_causes_no_warning(file: Path) -> None:
    """The mode of the file or of a folder prevents it. Without a file there is no warning."""
    file.chmod(0o640)
    assert not warned(file)
    file.chmod(0o644)
    file.parent.chmod(0o700)
    assert not warned(file)
    assert not warned(file.with_name("missing"))
    assert not readable_by_all("MAILROOM_SECRET_KEY", None)


def test_mounted_secret_that_all_can_read_is_allowed(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Docker and Kubernetes mount secrets read-only, with mode 0444 or 0644."""
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_flag=os.ST_RDONLY))
    assert not warned(file)
