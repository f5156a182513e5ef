"""Whether the output folder is safe, for the sender and for the check before going live."""

import os
from pathlib import Path

import pytest

from mailroom_runtime.errors import SettingError
from mailroom_sender.check.finding import Status
from mailroom_sender.check.output_folder import output_folder
from mailroom_sender.output.folder import prepare_folder


def test_folder_that_others_can_change_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No other user may remove or replace its files. A volume of a container may be writable by all."""
    folder = tmp_path / "output"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(SettingError, match=r"MAILROOM_SES_OUTPUT_PATH: every user .* can write .*chmod o-w"):
        prepare_folder(folder)
    assert output_folder(folder).status is Status.TASK
    folder.chmod(0o1777)  # sticky, as /tmp: a user can't remove the files of another
    prepare_folder(folder)
    folder.chmod(0o777)
    monkeypatch.setattr(Path, "is_mount", lambda path: path == folder)
    prepare_folder(folder)
    assert output_folder(folder).status is Status.OK


@pytest.mark.parametrize("behind", [Path(), Path("a/b")])
def test_folder_behind_a_link_of_another_user_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behind: Path
) -> None:
    """The owner of a link can redirect it. Links of this user and of root are allowed."""
    (tmp_path / "real").mkdir()
    (tmp_path / "other").symlink_to("real")
    (tmp_path / "own").symlink_to(tmp_path / "other")
    prepare_folder(tmp_path / "own" / behind)
    real = Path.lstat

    def owned_by_another(path: Path) -> object:
        found = real(path)
        if path.name != "other":
            return found
        return os.stat_result([*found[:4], 12345, *found[5:]])

    monkeypatch.setattr(Path, "lstat", owned_by_another)
    with pytest.raises(SettingError, match="other is a symbolic link of another user"):
        prepare_folder(tmp_path / "own" / behind)
