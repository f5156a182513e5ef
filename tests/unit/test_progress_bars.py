"""The progress bar of a backlog."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailroom_collector.report.progress_bar import BacklogProgress, bar


def test_bar_shows_count_rate_and_time_left() -> None:
    """It shows rows, rows per second and the time left while rows are printed."""
    line = bar(90_000, 200_000, 12_345.0, 80)
    assert re.fullmatch(r"\[#{7}-{9}\]  45 %  90,000/200,000  0:09  12,345/s", line), line
    assert bar(0, 100_000, 0.0, 80).endswith("0 %  0/100,000  -:--  0/s")
    assert bar(0, 1_000_000, 100.0, 80).endswith("  2:46:40  100/s")


@given(
    st.integers(0, 10**9), st.integers(0, 10**9), st.floats(0, 1e6), st.integers(1, 300)
)  # fmt: skip
def test_bar_fits_any_terminal(done: int, total: int, rate: float, columns: int) -> None:
    """It never wraps, and is never wider than a log line."""
    line = bar(min(done, total), total, rate, columns)
    assert len(line) <= min(80, max(0, columns - 1))
    assert line.isprintable()
    assert len(set(re.findall(r"\[([#-]+)\]", line))) <= 1


def test_short_work_shows_no_bar() -> None:
    """Work of a moment is not counted. Work of a second is counted and not shown."""
    progress = BacklogProgress()
    assert not progress.is_count_due(10.0, 0)
    assert not progress.is_count_due(10.4, 3000)
    assert progress.is_count_due(10.5, 5000)
    progress.counted(10.5, 5000, 9000)
    assert progress.draw_at == float("inf")
    assert not progress.is_count_due(10.6, 6000)
    progress.ended()
    assert not progress.is_count_due(30.0, 14_000)


@pytest.mark.parametrize("printed", [0, 5000])
def test_backlog_shows_a_bar_until_it_ends(printed: int) -> None:
    """It is drawn five times per second from the first count on.

    The next count includes the work of other collectors.
    """
    progress = BacklogProgress()
    progress.is_count_due(10.0, 1000)
    assert progress.is_count_due(10.5, 1000 + printed)
    progress.counted(10.5, 1000 + printed, 100_000)
    assert progress.draw_at == 10.5
    assert f" {printed:,}/{100_000 + printed:,} " in progress.line(10.5, 1000 + printed, 80)
    assert progress.draw_at == 10.7
    assert not progress.is_count_due(20.0, 60_000)
    assert progress.is_count_due(20.5, 61_000)
    progress.counted(20.5, 61_000, 10_000)
    assert " 60,000/70,000 " in progress.line(20.5, 61_000, 80)
    progress.ended()
    assert progress.draw_at == float("inf")


@pytest.mark.parametrize(
    ("done", "total", "rate", "columns", "line"),
    [
        (0, 0, 0.0, 80, "[###############################]  100 %  0/0  -:--  0/s"),
        (1, 3, 0.01, 80, "[##########----------------------]  33 %  1/3  3:20  0/s"),
        (99, 100, 1.0, 80, "[############################-]  99 %  99/100  0:01  1/s"),
        (5, 10, 1.0, 31, "[##---]  50 %  5/10  0:05  1/s"),
        (5, 10, 1.0, 30, "50 %  5/10  0:05  1/s"),
        (5, 10, 1.0, 24, "50 %  5/10  0:05  1/s"),
        (5, 10, 1.0, 22, "50 %  5/10  0:05  1/s"),
        (5, 10, 1.0, 21, "50 %  5/10  0:05"),
        (5, 10, 1.0, 14, "50 %  5/10"),
        (5, 10, 1.0, 3, "50"),
        (5, 10, 1.0, 1, ""),
    ],
)
def test_bar_fills_the_width_except_one_column(done: int, total: int, rate: float, columns: int, line: str) -> None:
    """Each width shows as much as fits. The last column is free for the cursor."""
    assert bar(done, total, rate, columns) == line


def test_rate_is_that_of_the_last_ten_seconds() -> None:
    """Slower rates before are forgotten. The first drawing has no rate."""
    progress = BacklogProgress()
    assert progress.is_count_due(0.0, 0) is False
    progress.counted(0.5, 0, 100_000)
    assert progress.line(0.5, 0, 80).endswith("-:--  0/s")
    for second in range(1, 21):
        progress.line(float(second), 100 * second, 80)
    assert progress.line(21.0, 12_000, 80).endswith("1,090/s")


def test_bar_appears_when_more_than_a_second_is_left() -> None:
    """Rows for one second have no bar. One more row has."""
    for waiting, is_shown in ((2000, False), (2001, True)):
        progress = BacklogProgress()
        progress.is_count_due(10.0, 500)
        progress.counted(10.5, 1500, waiting)
        assert (progress.draw_at < float("inf")) is is_shown


def test_bar_of_a_moment_has_no_rate() -> None:
    """Two drawings at one time cause no division by zero, and work that has not begun is not done."""
    progress = BacklogProgress()
    assert progress.line(5.0, 10, 80) == "[###############################]  100 %  0/0  -:--  0/s"
    assert progress.line(5.0, 20, 80) == "[###############################]  100 %  0/0  -:--  0/s"
