"""Fast polling (docs/internals.md), in every order in which the steps of its processes can happen.

Each step is one access to shared state. That is finer than a statement, so a test with two sessions can't do this.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest


@dataclass(frozen=True)
class World:
    """The two locks and the state of two inserts. Each process has its own current step."""

    steps: tuple[int, ...] = (0, 0, 0, 0)  # two writers, the collector, and another role
    fast_polling: bool = True  # lock 2, held by the collector or by another role
    inserting: frozenset[int] = frozenset()  # holders of lock 1, shared
    alone: bool = False  # one session has lock 1 exclusively
    notifies: frozenset[int] = frozenset()  # writers that did not get lock 1
    skipped_notify: frozenset[int] = frozenset()
    committed: frozenset[int] = frozenset()
    seen: frozenset[int] = frozenset()


def take_lock(world: World, writer: int) -> World | None:
    """Take lock 1 without waiting."""
    if world.alone:
        return replace(world, notifies=world.notifies | {writer})
    return replace(world, inserting=world.inserting | {writer})


def check(world: World, writer: int) -> World | None:
    skips_notify = world.fast_polling and writer not in world.notifies
    return replace(world, skipped_notify=world.skipped_notify | {writer}) if skips_notify else world


def check_only(world: World, writer: int) -> World | None:
    """Check lock 2 only, whether or not the writer got lock 1."""
    return replace(world, skipped_notify=world.skipped_notify | {writer}) if world.fast_polling else world


def commit(world: World, writer: int) -> World | None:
    return replace(world, committed=world.committed | {writer})


def release(world: World, writer: int) -> World | None:
    return replace(world, inserting=world.inserting - {writer})


def stop(world: World, _: int) -> World | None:
    return replace(world, fast_polling=False)


def ask(world: World, _: int) -> World | None:
    """Try to take lock 1 exclusively, which fails while an insert is in progress or another session has it."""
    return None if world.inserting or world.alone else replace(world, alone=True)


def asked(world: World, _: int) -> World | None:
    """Release lock 1, which was held only to ask."""
    return replace(world, alone=False)


def seize(world: World, _: int) -> World | None:
    return None if world.inserting or world.alone else replace(world, alone=True)


def unlock(world: World, _: int) -> World | None:
    return replace(world, alone=False)


def poll(world: World, _: int) -> World | None:
    return replace(world, seen=world.committed)


Step = Callable[[World, int], World | None]
INSERT: list[Step] = [take_lock, check, commit, release]
STOP: list[Step] = [stop, ask, asked, poll]
STRANGER: list[Step] = [seize, unlock]
"""Any role may take lock 1."""


def ends(insert: list[Step], stops: list[Step]) -> Iterator[World]:
    """Yield every state in which no process can take another step."""
    known: set[World] = set()
    waiting = [World()]
    while waiting:
        world = waiting.pop()
        following = list(_following(world, [insert, insert, stops, STRANGER]))
        if not following:
            yield world
        waiting += [one for one in following if one not in known]
        known.update(following)


def _following(world: World, programs: list[list[Step]]) -> Iterator[World]:
    for process, program in enumerate(programs):
        at = world.steps[process]
        if at < len(program) and (after := program[at](world, process)) is not None:
            yield replace(after, steps=(*world.steps[:process], at + 1, *world.steps[process + 1 :]))


def missed(world: World) -> frozenset[int]:
    return world.skipped_notify - world.seen


def test_no_order_of_steps_misses_a_row() -> None:
    """The collector's last poll sees every row whose insert skipped NOTIFY, and every process finishes."""
    final = list(ends(INSERT, STOP))
    assert [world for world in final if world.steps != (4, 4, 4, 2)] == []
    assert [world for world in final if missed(world)] == []
    assert any(world.skipped_notify for world in final)
    assert any(not world.skipped_notify for world in final)
    assert any(world.notifies for world in final)


@pytest.mark.parametrize(
    ("insert", "stops"),
    [
        ([check, take_lock, commit, release], STOP),
        ([take_lock, check, release, commit], STOP),
        ([take_lock, check_only, commit, release], STOP),
        (INSERT, [ask, asked, stop, poll]),
        (INSERT, [stop, poll, ask, asked]),
        ([check, commit], STOP),
    ],
    ids=[
        "checks before it takes the lock",
        "releases the lock before it commits",
        "skips NOTIFY without the lock",
        "asks before it stops",
        "polls too early",
        "no lock",
    ],
)
def test_every_other_order_misses_a_row(insert: list[Step], stops: list[Step]) -> None:
    """The search finds a missed row if any step is left out or moved."""
    assert any(missed(world) for world in ends(insert, stops))
