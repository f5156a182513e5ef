"""The demo's window: the instruction stays in the window."""

import os

import pytest

from demo.window import Window, rows_taken

INSTRUCTION = "Sign up by hand:\n  psql"
LINK = "  " + "x" * 118


@pytest.mark.parametrize(("length", "columns", "rows"), [(0, 80, 1), (80, 80, 1), (81, 80, 2), (161, 80, 3), (5, 0, 5)])
def test_rows_of_a_line(length: int, columns: int, rows: int) -> None:
    """A line that is longer than the window is wide takes several rows; an empty one takes one."""
    assert rows_taken("x" * length, columns) == rows


def test_instruction_is_in_every_window_and_parts_no_mail() -> None:
    """Whatever 24 rows of 80 columns show, the instruction is among them, and a link follows its mail."""
    ours, theirs = os.pipe()  # a size that can't be asked for counts as 80 x 24
    window = Window(theirs, INSTRUCTION)
    window.instruct()
    for number in range(40):
        window.show(f"activation  user{number}@example.com")
        window.show(LINK)
    os.close(theirs)
    with os.fdopen(ours) as output:
        lines = output.read().splitlines()
    rows = [line[at : at + 80] for line in lines for at in range(0, max(1, len(line)), 80)]
    for top in range(len(rows) - 24):
        assert INSTRUCTION in "\n".join(rows[top : top + 24]), top
    mails = [at for at, line in enumerate(lines) if line.startswith("activation")]
    assert len(mails) == 40
    assert all(lines[at + 1] == LINK for at in mails)


def test_no_instruction_prints_mails_only() -> None:
    """As on a database of the user's own."""
    ours, theirs = os.pipe()
    window = Window(theirs, "")
    for _ in range(40):
        window.show("mail")
    os.close(theirs)
    with os.fdopen(ours) as output:
        assert output.read() == "mail\n" * 40
