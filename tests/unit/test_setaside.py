"""Files for what could not be read or sent."""

import json
import resource
from pathlib import Path

import pytest

from mailroom_sender.actions import SHIPPED, Action, by_number
from mailroom_sender.rows import Row
from mailroom_sender.setaside import SetAside
from mailroom_sender.wire import decode_line
from tests.support.lines import activation

KNOWN = by_number(SHIPPED)


def quoted(*numbers: int) -> list[Row]:
    lines = [activation(n, login='"q""x,"') for n in numbers]
    return [row for line in lines for row in decode_line(line.encode(), KNOWN) if isinstance(row, Row)]


def test_replay_file_holds_lines_that_can_be_read_again(tmp_path: Path) -> None:
    """What goes to a replay file comes out of it as the same rows; nobody else may read it."""
    aside = SetAside(tmp_path / "a" / "b")
    aside.replay(quoted(1, 2), "no luck")
    aside.replay(quoted(3), "no luck")
    (file,) = (tmp_path / "a" / "b").iterdir()
    assert [row for line in file.read_bytes().splitlines() for row in decode_line(line, KNOWN)] == quoted(1, 2, 3)
    assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("raw", "entry"), [(b"bad", {"row": "bad"}), (b"\xff\x00", {"row_hex": "ff00"})])
def test_reject_file_keeps_bytes_and_reason(tmp_path: Path, raw: bytes, entry: dict[str, str]) -> None:
    """A rejected row is kept with its reason, also when it is no text."""
    SetAside(tmp_path).reject(raw, "its reason")
    (file,) = tmp_path.glob("rejected_*.jsonl")
    written = json.loads(file.read_text())
    assert written.pop("time")
    assert written == {"reason": "its reason"} | entry


def test_responses_of_one_moment_do_not_overwrite_each_other(tmp_path: Path) -> None:
    """However many answers come at once, each has its file."""
    aside = SetAside(tmp_path)
    for n in range(50):
        aside.response(Action.ACTIVATION, str(n).encode())
    assert sorted(int(file.read_text()) for file in tmp_path.glob("ses_*_1*.http")) == list(range(50))


def test_what_the_disk_does_not_take_is_owed_until_it_does(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A folder that went away loses nothing: it is said once, and written when it is back."""
    folder = tmp_path / "output"
    aside = SetAside(folder)
    folder.rmdir()
    aside.replay(quoted(1), "no luck")
    aside.flush()
    assert aside.owes == 1
    folder.mkdir()
    aside.flush()
    assert aside.owes == 0
    (file,) = folder.iterdir()
    assert file.read_bytes() == quoted(1)[0].raw + b"\n"
    err = capfd.readouterr().err
    assert err.count("can't be written: No such file or directory; nothing more is read until it can") == 1
    assert err.count("can be written again") == 1


def test_full_disk_leaves_no_half_row(tmp_path: Path) -> None:
    """What did not fit is not left half in the file, stays owed, and is written once there is room."""
    aside = SetAside(tmp_path)
    aside.replay(quoted(1), "no luck")
    (file,) = tmp_path.iterdir()
    before = file.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, hard))
    try:
        aside.replay(quoted(2), "no luck")
        assert (aside.owes, file.read_bytes()) == (1, before)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    aside.flush()
    assert (aside.owes, file.read_bytes()) == (0, before + quoted(2)[0].raw + b"\n")
