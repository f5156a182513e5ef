"""SES's responses to refused calls, in files."""

from pathlib import Path

import pytest

from mailroom_sender.output.responses import MOST, ResponseFiles
from tests.support.sender_parts import Clock


def response_files(folder: Path) -> list[bytes]:
    return [file.read_bytes() for file in sorted(folder.glob("ses_*.http"))]


def test_simultaneous_responses_do_not_overwrite_each_other(tmp_path: Path) -> None:
    """Each answer has its own file."""
    files = ResponseFiles(tmp_path)
    for n in range(50):
        files.keep("1", str(n).encode(), f"refusal {n}")
    assert sorted(map(int, response_files(tmp_path))) == list(range(50))


def test_same_refusal_is_kept_once_per_ten_minutes(tmp_path: Path) -> None:
    """The same text for the same action makes one file in ten minutes."""
    clock = Clock()
    files = ResponseFiles(tmp_path, clock)
    for _ in range(3):
        files.keep("1", b"a", "Throttling")
        files.keep("2", b"r", "Throttling")
        files.keep("1", b"o", "other")
    assert sorted(response_files(tmp_path)) == [b"a", b"o", b"r"]
    clock.advance(601)
    files.keep("1", b"later", "Throttling")
    assert len(response_files(tmp_path)) == 4


def test_responses_have_a_limit_that_is_logged(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The newest 200 of the last 30 days are kept. Files of other kinds are not deleted. The log says so once."""
    others = ["rejected_20200101T000000Z_1.jsonl", "replay_20200101T000000Z_1.csv", "ses_notes.http"]
    for name in [*others, "ses_20200101T000000.000000Z_1.http"]:
        (tmp_path / name).write_text("old")
    files = ResponseFiles(tmp_path)
    files.keep("1", b"first", "first")
    assert response_files(tmp_path) == [b"first", b"old"]  # the second is ses_notes.http
    for n in range(MOST + 5):
        files.keep("1", str(n).encode(), f"refusal {n}")
    left = [int(data) for data in response_files(tmp_path) if data != b"old"]
    assert left == list(range(5, MOST + 5))
    assert all((tmp_path / name).exists() for name in others)
    said = "1 old responses of SES were deleted"
    err = capfd.readouterr().err
    assert (err.count(said), err.count("were deleted")) == (1, 1)
    assert f"the newest {MOST} of the last 30 days are kept" in err
