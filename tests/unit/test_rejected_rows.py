"""Files for what could not be read or sent."""

import json
import os
import resource
from pathlib import Path

import pytest

from mailroom_runtime.errors import SettingError
from mailroom_sender.check.finding import Status
from mailroom_sender.check.output_folder import output_folder
from mailroom_sender.input.action import SHIPPED, MailAction, by_number
from mailroom_sender.input.line import decode_line
from mailroom_sender.input.row import BadRow, Row
from mailroom_sender.output.rejected_rows import OutputFiles
from mailroom_sender.output.responses import MOST
from tests.support.lines import activation

KNOWN = by_number(SHIPPED)


def quoted(*numbers: int) -> list[Row]:
    lines = [activation(n, login='"q""x,"') for n in numbers]
    return [row for line in lines for row in decode_line(line.encode(), KNOWN) if isinstance(row, Row)]


def test_replay_file_holds_lines_that_can_be_read_again(tmp_path: Path) -> None:
    """What goes to a replay file comes out of it as the same rows; nobody else may read it."""
    aside = OutputFiles(tmp_path / "a" / "b")
    aside.replay(quoted(1, 2), "no luck")
    aside.replay(quoted(3), "no luck")
    (file,) = (tmp_path / "a" / "b").iterdir()
    assert [row for line in file.read_bytes().splitlines() for row in decode_line(line, KNOWN)] == quoted(1, 2, 3)
    assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("raw", "entry"), [(b"bad", {"row": "bad"}), (b"\xff\x00", {"row_hex": "ff00"})])
def test_reject_file_keeps_bytes_and_reason(tmp_path: Path, raw: bytes, entry: dict[str, str]) -> None:
    """A rejected row is kept with its reason, also when it is no text."""
    OutputFiles(tmp_path).reject(raw, "its reason")
    (file,) = tmp_path.glob("rejected_*.jsonl")
    written = json.loads(file.read_text())
    assert written.pop("time")
    assert written == {"reason": "its reason"} | entry


@pytest.mark.parametrize("letter", ["x", "é", "€", "\U0001f600"])
def test_long_line_is_kept_in_parts(tmp_path: Path, letter: str) -> None:
    """Each is an object of its own, numbered; together they are the line, and no letter is cut."""
    OutputFiles(tmp_path).reject(("1" + letter * 70_000).encode(), "no CSV")
    (file,) = tmp_path.glob("rejected_*.jsonl")
    parts = [json.loads(line) for line in file.read_text().splitlines()]
    assert "".join(part["row"] for part in parts) == "1" + letter * 70_000
    assert [(part["part"], part["parts"]) for part in parts] == [(n, len(parts)) for n in range(1, len(parts) + 1)]
    assert max(len(part["row"].encode()) for part in parts) <= 65536


def test_many_bad_rows_are_one_line_in_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each row is in the file; the log counts them by reason."""
    aside = OutputFiles(tmp_path)
    aside.reject_all([BadRow(b"a", "empty")] * 3 + [BadRow(b"b", "no CSV")])
    (file,) = tmp_path.iterdir()
    assert [json.loads(line)["row"] for line in file.read_text().splitlines()] == ["a", "a", "a", "b"]
    said = [line.split("] ")[1] for line in capfd.readouterr().err.splitlines()]
    assert said == ["rejecting 3 rows or lines: empty", "rejecting 1 row or line: no CSV"]
    aside.replay(quoted(1), "no luck")
    assert aside.told == (
        f"4 rows or lines rejected: see {file}; 1 row not sent: "
        f"'mailroom-send < {next(tmp_path.glob('replay_*'))}' tries again"
    )


def response_files(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in sorted(folder.glob("ses_*.http"))]


def test_responses_of_one_moment_do_not_overwrite_each_other(tmp_path: Path) -> None:
    """However many answers come at once, each has its file."""
    aside = OutputFiles(tmp_path)
    for n in range(50):
        aside.response(MailAction.ACTIVATION, str(n).encode(), f"refusal {n}")
    assert sorted(map(int, response_files(tmp_path))) == list(range(50))


def test_same_refusal_is_kept_once_in_a_while(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same words for the same action are one file, until ten minutes are over."""
    now = 1000.0
    monkeypatch.setattr("mailroom_sender.output.responses.time.monotonic", lambda: now)
    aside = OutputFiles(tmp_path)
    for _ in range(3):
        aside.response(MailAction.ACTIVATION, b"a", "Throttling")
        aside.response(MailAction.PASSWORD_RECOVERY, b"r", "Throttling")
        aside.response(MailAction.ACTIVATION, b"o", "other")
    assert sorted(response_files(tmp_path)) == [b"a", b"o", b"r"]
    now += 601
    aside.response(MailAction.ACTIVATION, b"later", "Throttling")
    assert len(response_files(tmp_path)) == 4


def test_responses_have_a_cap_that_says_so(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The newest 200 of the last 30 days stay, and no file of another kind goes; the log tells it once."""
    others = ["rejected_20200101T000000Z_1.jsonl", "replay_20200101T000000Z_1.csv", "ses_notes.http"]
    for name in [*others, "ses_20200101T000000.000000Z_1.http"]:
        (tmp_path / name).write_text("old")
    aside = OutputFiles(tmp_path)
    aside.response(MailAction.ACTIVATION, b"first", "first")
    assert response_files(tmp_path) == [b"first", b"old"]  # the second is ses_notes.http
    for n in range(MOST + 5):
        aside.response(MailAction.ACTIVATION, str(n).encode(), f"refusal {n}")
    kept = [int(data) for data in response_files(tmp_path) if data != b"old"]
    assert kept == list(range(5, MOST + 5))
    assert all((tmp_path / name).exists() for name in others)
    said = "1 old responses of SES were deleted"
    err = capfd.readouterr().err
    assert (err.count(said), err.count("were deleted")) == (1, 1)
    assert f"the newest {MOST} of the last 30 days are kept" in err


def test_folder_that_others_can_change_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else may take away or exchange what it holds; a volume of a container is writable by all, and fine."""
    folder = tmp_path / "output"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(SettingError, match=r"MAILROOM_SES_OUTPUT_PATH: every user .* can write .*chmod o-w"):
        OutputFiles(folder)
    assert output_folder(folder).status is Status.TASK
    folder.chmod(0o1777)  # sticky, as /tmp is: nobody can take away another's files
    OutputFiles(folder)
    folder.chmod(0o777)
    monkeypatch.setattr(Path, "is_mount", lambda path: path == folder)
    OutputFiles(folder)
    assert output_folder(folder).status is Status.OK


@pytest.mark.parametrize("behind", [Path(), Path("a/b")])
def test_folder_behind_a_link_of_another_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, behind: Path
) -> None:
    """Whoever owns a link on the way can lead it elsewhere; one's own, and root's, are fine."""
    (tmp_path / "real").mkdir()
    (tmp_path / "other").symlink_to("real")
    (tmp_path / "own").symlink_to(tmp_path / "other")
    OutputFiles(tmp_path / "own" / behind)
    real = Path.lstat

    def owned_by_another(path: Path) -> object:
        found = real(path)
        if path.name != "other":
            return found
        return os.stat_result([*found[:4], 12345, *found[5:]])

    monkeypatch.setattr(Path, "lstat", owned_by_another)
    with pytest.raises(SettingError, match="other is a symbolic link of another user"):
        OutputFiles(tmp_path / "own" / behind)


def test_what_the_disk_does_not_take_is_owed_until_it_does(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """A folder that went away loses nothing: it is said once, and written when it is back."""
    folder = tmp_path / "output"
    aside = OutputFiles(folder)
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
    aside = OutputFiles(tmp_path)
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
