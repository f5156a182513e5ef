"""Files for rows that could not be read or sent."""

import json
import resource
from pathlib import Path

import pytest

from mailroom_sender.input.action import SHIPPED, by_number
from mailroom_sender.input.line import decode_line
from mailroom_sender.input.row import BadRow, Row
from mailroom_sender.output.folder import prepare_folder
from mailroom_sender.output.unsent_rows import UnsentRows
from tests.support.lines import activation

KNOWN = by_number(SHIPPED)


def quoted(*numbers: int) -> list[Row]:
    lines = [activation(n, login='"q""x,"') for n in numbers]
    return [row for line in lines for row in decode_line(line.encode(), KNOWN) if isinstance(row, Row)]


def test_replay_file_holds_lines_that_can_be_read_again(tmp_path: Path) -> None:
    """A replay file is read as the same rows. No other user may read it."""
    unsent = UnsentRows(prepare_folder(tmp_path / "a" / "b"))
    unsent.replay(quoted(1, 2), "no luck")
    unsent.replay(quoted(3), "no luck")
    (file,) = (tmp_path / "a" / "b").iterdir()
    assert [row for line in file.read_bytes().splitlines() for row in decode_line(line, KNOWN)] == quoted(1, 2, 3)
    assert file.stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(("raw", "entry"), [(b"bad", {"row": "bad"}), (b"\xff\x00", {"row_hex": "ff00"})])
def test_reject_file_keeps_bytes_and_reason(tmp_path: Path, raw: bytes, entry: dict[str, str]) -> None:
    """A rejected row is kept with its reason, even if it is not text."""
    UnsentRows(tmp_path).reject(raw, "its reason")
    (file,) = tmp_path.glob("rejected_*.jsonl")
    written = json.loads(file.read_text())
    assert written.pop("time")
    assert written == {"reason": "its reason"} | entry


@pytest.mark.parametrize("letter", ["x", "é", "€", "\U0001f600"])
def test_long_line_is_kept_in_parts(tmp_path: Path, letter: str) -> None:
    """Each part is a numbered object. Together they are the line, and no character is split."""
    UnsentRows(tmp_path).reject(("1" + letter * 70_000).encode(), "no CSV")
    (file,) = tmp_path.glob("rejected_*.jsonl")
    parts = [json.loads(line) for line in file.read_text().splitlines()]
    assert "".join(part["row"] for part in parts) == "1" + letter * 70_000
    assert [(part["part"], part["parts"]) for part in parts] == [(n, len(parts)) for n in range(1, len(parts) + 1)]
    assert max(len(part["row"].encode()) for part in parts) <= 65536


def test_many_bad_rows_are_one_line_in_the_log(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Each row is in the file. The log counts them by reason."""
    unsent = UnsentRows(tmp_path)
    unsent.reject_all([BadRow(b"a", "empty")] * 3 + [BadRow(b"b", "no CSV")])
    (file,) = tmp_path.iterdir()
    assert [json.loads(line)["row"] for line in file.read_text().splitlines()] == ["a", "a", "a", "b"]
    said = [line.split("] ")[1] for line in capfd.readouterr().err.splitlines()]
    assert said == ["rejecting 3 rows or lines: empty", "rejecting 1 row or line: no CSV"]
    unsent.replay(quoted(1), "no luck")
    assert unsent.summary == (
        f"4 rows or lines rejected: see {file}; 1 row not sent: "
        f"'mailroom-send < {next(tmp_path.glob('replay_*'))}' tries again"
    )


def test_row_that_the_disk_refuses_is_kept_until_it_accepts_it(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A missing folder loses nothing: it is logged once, and the rows are written when it is back."""
    folder = tmp_path / "output"
    unsent = UnsentRows(folder)
    unsent.replay(quoted(1), "no luck")
    unsent.flush()
    assert unsent.unwritten == 1
    folder.mkdir()
    unsent.flush()
    assert unsent.unwritten == 0
    (file,) = folder.iterdir()
    assert file.read_bytes() == quoted(1)[0].raw + b"\n"
    err = capfd.readouterr().err
    assert err.count("can't be written: No such file or directory; no more input is read until it can be written") == 1
    assert err.count("can be written again") == 1


def test_full_disk_leaves_no_partial_row(tmp_path: Path) -> None:
    """A row that did not fit is removed from the file, kept, and written once there is room."""
    unsent = UnsentRows(tmp_path)
    unsent.replay(quoted(1), "no luck")
    (file,) = tmp_path.iterdir()
    before = file.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 10, hard))
    try:
        unsent.replay(quoted(2), "no luck")
        assert (unsent.unwritten, file.read_bytes()) == (1, before)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    unsent.flush()
    assert (unsent.unwritten, file.read_bytes()) == (0, before + quoted(2)[0].raw + b"\n")
