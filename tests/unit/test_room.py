"""How many rows a collector may hold, and when it asks for more room."""

import pytest

from mailroom_collector.output.room import Room


@pytest.mark.parametrize(("batch_limit", "most"), [(10, 4500), (1500, 4500), (1501, 4503), (10_000, 30_000)])
def test_three_chunks_fit(batch_limit: int, most: int) -> None:
    """One is claimed, one printed, one recorded. A chunk is 1,500 rows, or a line if that is longer."""
    room = Room(batch_limit)
    assert room.has_room(most - 100, 100)
    assert not room.has_room(most - 99, 100)
    assert not room.has_room(most, 1)
    assert room.has_room(most, 0)


def test_ledger_is_asked_less_often_until_there_is_room() -> None:
    """The pauses are 5 ms, 10 ms and so on up to 5 s. Then they start again."""
    room = Room(10)
    assert room.check_at == 0.0
    waits = []
    for _ in range(12):
        room.checked(100.0)
        waits.append(round(room.check_at - 100.0, 3))
    assert waits == [0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.0, 5.0]
    room.found_room()
    assert room.check_at == 105.0
    room.checked(200.0)
    assert room.check_at == 200.005
