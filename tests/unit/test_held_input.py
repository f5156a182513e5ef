"""What waits in the pipe when all calls are held goes back to the ledger, little by little."""

from hypothesis import given
from hypothesis import strategies as st

from mailroom_sender.schedule.held_input import HeldInput


def test_half_of_the_pipe_is_read_each_second() -> None:
    """About a kilobyte remains. After ten seconds the reading ends."""
    held, waiting = HeldInput(), 20_000
    for second in range(5):
        assert held.bytes_to_read(waiting, second) == (waiting + 1) // 2
        assert (held.bytes_to_read(waiting, second + 0.9), held.read_at) == (0, second + 1)
        waiting //= 2
    assert (waiting, held.bytes_to_read(waiting, 5.0), held.read_at) == (625, 0, 6.0)
    assert [held.bytes_to_read(5000, at) for at in (6.0, 9.9, 10.0, 11.0, 12.0)] == [2500, 2500, 0, 2500, 0]
    assert held.read_at == float("inf")


def test_next_hold_begins_anew() -> None:
    """Calls were made in between."""
    held = HeldInput()
    held.bytes_to_read(0, 0.0)
    held.end()
    assert (held.read_at, held.bytes_to_read(5000, 100.0), held.read_at) == (float("inf"), 2500, 101.0)


@given(st.integers(0, 70_000), st.floats(0.0, 0.5))
def test_little_remains_if_the_writer_adapts(waiting: int, refill: float) -> None:
    """It writes up to half of what was read. If it always fills the pipe, reading ends all the same."""
    held, full = HeldInput(), HeldInput()
    read = 0
    for second in range(20):
        count = held.bytes_to_read(waiting, float(second))
        waiting += int(count * refill) - count
        read += full.bytes_to_read(65_536, float(second))
    assert waiting <= 8192
    assert (read, held.read_at, full.read_at) == (11 * 32_768, float("inf"), float("inf"))
