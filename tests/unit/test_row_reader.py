"""From a pipe to rows that wait for a call, with the real parts."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from mailroom_sender.input.action import SHIPPED, KnownActions
from mailroom_sender.input.stdin import LineInput
from mailroom_sender.input.unknown_actions import UnknownActions
from mailroom_sender.output.unsent_rows import UnsentRows
from mailroom_sender.row_reader import RowReader
from mailroom_sender.schedule.call_schedule import CallSchedule
from mailroom_sender.schedule.pace import Pace
from mailroom_sender.ses import holds
from mailroom_sender.ses.verdict import Outcome, Verdict
from tests.support.lines import activation, recovery
from tests.support.sender_parts import Clock, rows
from tests.support.waiting import until

MOST = 3
_PIPE = 1 << 15  # bytes: less than a pipe holds


class Input:
    """A reader of a pipe with room for three rows."""

    def __init__(
        self,
        folder: Path,
        *,
        has_database: bool,
        rate: float = float("inf"),
        most: int = MOST,
        gives_back: bool = False,
    ) -> None:
        self.folder = folder
        self.clock = Clock()
        self.schedule = CallSchedule(Pace(rate), most, gives_back=gives_back)
        self._known = KnownActions()
        self._fd, self._writer = os.pipe()
        unknown = UnknownActions(self._known, self._read_actions if has_database else None)
        self.reader = RowReader(LineInput(self._fd), unknown, self.schedule, UnsentRows(folder), self.clock)

    def _read_actions(self) -> None:
        shipped = [(action.number, action.name, action.template, action.needs_code) for action in SHIPPED]
        self._known.replace([*shipped, ("9", "invitation", "invitationv1", False)])

    def write(self, *lines: str) -> None:
        os.write(self._writer, ("\n".join(lines) + "\n").encode())

    def read(self, *lines: str, end: str = "\n") -> None:
        data = ("\n".join(lines) + end).encode()
        for start in range(0, len(data), _PIPE):
            os.write(self._writer, data[start : start + _PIPE])
            self.reader.read()

    def close_writer(self) -> None:
        os.close(self._writer)
        self._writer = -1

    def close(self) -> None:
        os.close(self._fd)
        if self._writer >= 0:
            self.close_writer()

    @property
    def rejected(self) -> list[str]:
        """The reasons of the rejected rows."""
        lines = [line for file in self.folder.glob("rejected_*") for line in file.read_text().splitlines()]
        return [json.loads(line)["reason"] for line in lines]


@pytest.fixture
def given(tmp_path: Path) -> Iterator[Input]:
    made = Input(tmp_path, has_database=True)
    yield made
    made.close()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Input]:
    made = Input(tmp_path, has_database=False)
    yield made
    made.close()


def unknown(number: int) -> str:
    return activation(number).replace("1,", "9,", 1)


def test_rows_wait_for_a_call_and_bad_ones_are_rejected(given: Input) -> None:
    """Each bad row has its reason."""
    given.read(activation(1), "no row", activation(2))
    assert (len(given.schedule), given.reader.is_empty) == (2, True)
    assert given.rejected == ["the line has 1 field, which is not a multiple of 5"]


def test_input_that_ends_within_a_line_is_rejected(given: Input) -> None:
    """Its writer died in the middle of the line."""
    given.read(activation(1), activation(2)[:20], end="")
    given.close_writer()
    given.reader.read()
    assert (given.reader.has_ended, len(given.schedule)) == (True, 1)
    assert given.rejected == ["the input ended before the end of the line"]


def test_full_reader_stops_reading_until_a_row_leaves(given: Input) -> None:
    """Rows that it has already read are then taken first, at once."""
    given.read(*(activation(number) for number in range(MOST)))
    assert (given.reader.has_room, given.reader.wants_input) == (False, False)
    assert given.reader.deadline(100.0) == float("inf")
    given.schedule.take_all()
    assert given.reader.wants_input


def test_line_with_too_many_rows_is_taken_in_steps(given: Input) -> None:
    """A step is 500 rows. No input is read before the last step."""
    given.read(",".join(activation(number) for number in range(1100)))
    assert (len(given.schedule), given.reader.wants_input, given.reader.is_empty) == (500, False, False)
    assert given.reader.deadline(100.0) == float("inf")
    given.schedule.take_all()
    assert given.reader.deadline(100.0) == 100.0
    given.reader.take_rows(all_of_them=True)
    assert (len(given.schedule), given.reader.is_empty) == (600, True)


def test_row_of_an_unknown_action_waits_for_the_database(given: Input) -> None:
    """It takes a place meanwhile, and becomes a row once the action is known, or is rejected."""
    given.read(unknown(1), unknown(2).replace("9,", "8,", 1))
    assert (given.reader.unknown_count, len(given.schedule)) == (2, 0)
    with ThreadPoolExecutor(1) as pool:
        ended: list[bool] = []
        given.reader.poll_actions(pool, 100.0, lambda: ended.append(True), is_busy=False)
        until(lambda: ended, "the actions are read")
        given.reader.poll_actions(pool, 100.0, lambda: None, is_busy=False)
    assert (given.reader.unknown_count, len(given.schedule)) == (0, 1)
    assert given.rejected == ["its action, 8, is not in mailroom_actions"]


def test_row_of_an_unknown_action_is_rejected_without_a_database(alone: Input) -> None:
    """There is no database to ask."""
    alone.read(unknown(1))
    assert alone.rejected == ["its action, 9, is not known; without MAILROOM_DATABASE_URL only 1 and 2 are"]


def test_disk_that_does_not_take_a_row_stops_the_reading(given: Input) -> None:
    """The write is tried again after a second, and then the reading continues."""
    moved = given.folder.rename(given.folder.with_name("moved"))
    given.read("no row")
    assert (given.reader.has_room, given.reader.deadline(100.0), given.reader.is_empty) == (False, 101.0, False)
    moved.rename(given.folder)
    given.reader.flush()
    assert given.reader.wants_input


def test_little_is_read_where_the_rate_is_low(tmp_path: Path) -> None:
    """What is read is ahead of what comes later. Half a kilobyte at least is read, and a line is read to its end."""
    slow = Input(tmp_path, has_database=True, rate=2.0)
    slow.read(*(activation(number) for number in range(20)), ",".join(activation(number) for number in range(20, 30)))
    assert len(slow.schedule) in (3, 4, 5)
    taken = 0
    while taken < 30:
        taken += len(slow.schedule.take_all())
        assert slow.reader.wants_input == (taken < 30 or slow.reader.is_empty)
        if taken < 30:
            slow.reader.read()
    slow.close()


def test_rows_come_to_the_schedule_at_the_time_of_the_clock(given: Input) -> None:
    """A recovery that is read 2 s later overtakes an activation, and not one that is read later still."""
    given.read(activation(1))
    given.clock.advance(1.5)
    given.read(recovery(2))
    assert [row.login for row in given.schedule.take_batch(given.clock())] == ["u2"]
    given.clock.advance(1.0)
    given.read(recovery(3))
    assert [row.login for row in given.schedule.take_batch(given.clock())] == ["u1"]


@pytest.mark.parametrize("gives_back", [True, False])
def test_reader_of_a_held_account_reads_a_line_for_the_probe(tmp_path: Path, gives_back: bool) -> None:
    """Rows that it has read already go on to the schedule, which gives them back. Without a ledger they wait."""
    held = Input(tmp_path, has_database=True, gives_back=gives_back)
    held.read(",".join(activation(number) for number in range(1100)))
    assert held.schedule.take_batch(100.0)
    verdict = Verdict(Outcome.HOLD, "paused", hold=holds.ACCOUNT)
    held.schedule.answered("activation", [verdict], held.clock(), 0.0)
    given_back = 0
    while (rows := held.schedule.take_held()) or not held.reader.is_empty:
        given_back += len(rows.rows) if rows else 0
        if not rows and not held.reader.has_room:
            break
        held.reader.take_rows()
    assert given_back == (1049 if gives_back else 0)
    assert (held.reader.is_empty, held.reader.wants_input) == (gives_back, False)
    held.schedule.take_all()
    if gives_back:
        held.read(*(activation(number) for number in range(100)))
        assert 1 <= len(held.schedule) <= 6
    held.close()


def test_pipe_of_a_held_account_is_read_little_by_little(tmp_path: Path) -> None:
    """Its rows go back to the ledger. When calls are made again, it is read as always."""
    held = Input(tmp_path, has_database=True, most=100, gives_back=True)
    held.schedule.put(rows(1)[0], 0.0)
    held.schedule.answered("activation", [Verdict(Outcome.HOLD, "paused", hold=holds.ACCOUNT)], held.clock(), 0.0)
    held.write(*(activation(number) for number in range(100)))
    assert not held.reader.wants_input
    for _ in range(2):  # the second time is too early
        held.reader.read_held()
        assert 45 <= len(held.schedule) <= 55
    assert 0.5 < held.reader.deadline(held.clock()) - held.clock() <= 1.0
    while held.schedule.take_held():
        pass
    held.clock.advance(1.0)
    held.reader.read_held()
    assert 20 <= len(held.schedule) <= 30
    held.schedule.answered("activation", [Verdict(Outcome.SENT)], held.clock(), 0.0)
    held.reader.read_held()
    assert held.reader.deadline(held.clock()) == float("inf")
    held.close()
