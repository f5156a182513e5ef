"""The bell's protocol (migrations/1_ledger, "The bell", and 5_guards), in every order in which its steps can fall.

Each step is one access to shared state, finer than a statement: what a test with two sessions can't reach.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import pytest


@dataclass(frozen=True)
class World:
    """The two locks, and what became of two inserts. Each process is at a step of its own."""

    steps: tuple[int, ...] = (0, 0, 0, 0)  # two writers, the collector, and a stranger
    attended: bool = True  # lock 2, held by the collector or by a stranger
    under_way: frozenset[int] = frozenset()  # holders of lock 1, shared
    alone: bool = False  # somebody has lock 1 for itself
    rings: frozenset[int] = frozenset()  # did not get lock 1
    silent: frozenset[int] = frozenset()
    committed: frozenset[int] = frozenset()
    seen: frozenset[int] = frozenset()


def take(world: World, writer: int) -> World | None:
    """Without waiting."""
    if world.alone:
        return replace(world, rings=world.rings | {writer})
    return replace(world, under_way=world.under_way | {writer})


def check(world: World, writer: int) -> World | None:
    is_silent = world.attended and writer not in world.rings
    return replace(world, silent=world.silent | {writer}) if is_silent else world


def check_only(world: World, writer: int) -> World | None:
    """Whether it got lock 1 or not."""
    return replace(world, silent=world.silent | {writer}) if world.attended else world


def commit(world: World, writer: int) -> World | None:
    return replace(world, committed=world.committed | {writer})


def release(world: World, writer: int) -> World | None:
    return replace(world, under_way=world.under_way - {writer})


def leave(world: World, _: int) -> World | None:
    return replace(world, attended=False)


def ask(world: World, _: int) -> World | None:
    """Asked again until nobody is under way, and nobody else has the lock."""
    return None if world.under_way or world.alone else replace(world, alone=True)


def asked(world: World, _: int) -> World | None:
    """The question is a lock for a moment."""
    return replace(world, alone=False)


def seize(world: World, _: int) -> World | None:
    return None if world.under_way or world.alone else replace(world, alone=True)


def yield_(world: World, _: int) -> World | None:
    return replace(world, alone=False)


def look(world: World, _: int) -> World | None:
    return replace(world, seen=world.committed)


Step = Callable[[World, int], World | None]
INSERT: list[Step] = [take, check, commit, release]
LEAVE: list[Step] = [leave, ask, asked, look]
STRANGER: list[Step] = [seize, yield_]
"""Any role may take lock 1."""


def ends(insert: list[Step], leaves: list[Step]) -> Iterator[World]:
    """Yield every state in which nobody has a step left, or none that can be taken."""
    known: set[World] = set()
    waiting = [World()]
    while waiting:
        world = waiting.pop()
        following = list(_following(world, [insert, insert, leaves, STRANGER]))
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
    return world.silent - world.seen


def test_no_order_of_steps_misses_a_row() -> None:
    """Whoever did not ring is seen by the last look; all come to their end."""
    final = list(ends(INSERT, LEAVE))
    assert [world for world in final if world.steps != (4, 4, 4, 2)] == []
    assert [world for world in final if missed(world)] == []
    assert any(world.silent for world in final)
    assert any(not world.silent for world in final)
    assert any(world.rings for world in final)


@pytest.mark.parametrize(
    ("insert", "leaves"),
    [
        ([check, take, commit, release], LEAVE),
        ([take, check, release, commit], LEAVE),
        ([take, check_only, commit, release], LEAVE),
        (INSERT, [ask, asked, leave, look]),
        (INSERT, [leave, look, ask, asked]),
        ([check, commit], LEAVE),
    ],
    ids=[
        "tests before it takes",
        "releases before it commits",
        "does not ring without the lock",
        "asks before it leaves",
        "looks too early",
        "no lock",
    ],
)
def test_any_other_order_misses_one(insert: list[Step], leaves: list[Step]) -> None:
    """The search can fail: each step is needed where it stands."""
    assert any(missed(world) for world in ends(insert, leaves))
