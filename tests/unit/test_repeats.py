"""Which events are logged one by one."""

from mailroom_runtime.repeats import Repeat, Repeats


def test_few_are_named_and_nothing_is_counted() -> None:
    """A few are as many as a person reads."""
    repeats = Repeats()
    assert repeats.add("late", [1, 2], 10.0) == [1, 2]
    assert repeats.take_counts(15.0) == []
    assert repeats.due_at == float("inf")


def test_many_are_counted() -> None:
    """More than five of a kind are counted. Each kind has its own five."""
    repeats = Repeats()
    assert repeats.add("late", range(200_000), 10.0) == range(5)
    assert repeats.add("gone", [7], 10.5) == [7]
    assert repeats.add("late", [3], 11.0) == []
    assert repeats.due_at == 15.0
    assert repeats.take_counts(15.0) == [Repeat("late", 199_996, 5, 3)]


def test_continuing_kind_stays_counted() -> None:
    """It is counted until a full period has passed without one."""
    repeats = Repeats()
    repeats.add("late", range(10), 10.0)
    assert len(repeats.take_counts(15.0)) == 1
    assert repeats.add("late", [10, 11], 16.0) == []
    assert repeats.take_counts(20.0) == [Repeat("late", 2, 10, 11)]
    assert repeats.due_at == 25.0
    assert repeats.take_counts(25.0) == []
    assert repeats.add("late", [12], 26.0) == [12]


def test_each_kind_has_its_own_count() -> None:
    """This is so for several events at a time, and for one."""
    repeats = Repeats()
    for number in range(5):
        assert repeats.add("late", [number], 10.0) == [number]
    assert repeats.add("gone", [7], 10.0) == [7]
    assert repeats.add("late", [5], 10.0) == []
    assert repeats.add("gone", range(8, 20), 10.0) == range(8, 12)
    assert repeats.take_counts(15.0) == [Repeat("late", 1, 5, 5), Repeat("gone", 8, 12, 19)]
