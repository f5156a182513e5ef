"""When the database is asked for its actions, and what happens to the rows meanwhile."""

from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from mailroom_sender.input.action import KnownActions
from mailroom_sender.input.row import UnknownRow
from mailroom_sender.input.unknown_actions import UnknownActions

ROW, OTHER = UnknownRow("3", b"3,..."), UnknownRow("4", b"4,...")


class Pool(Executor):
    """Questions in progress, which the test answers."""

    def __init__(self) -> None:
        self.questions: list[Future[Any]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:  # noqa: ARG002
        self.questions.append(Future())
        return self.questions[-1]


def ask() -> None:
    """Never called. The pool only notes that it was asked."""


def quiet() -> None:
    """Nothing is waiting."""


def poll(unknown: UnknownActions, pool: Pool, now: float, *, is_busy: bool = False) -> list[UnknownRow]:
    return unknown.poll(pool, now, quiet, is_busy=is_busy)


def test_unknown_action_is_asked_for_at_once_and_then_every_2_s_at_most() -> None:
    """The first question is asked at once. Rows that arrive meanwhile wait for the next one."""
    unknown, pool = UnknownActions(KnownActions(), ask), Pool()
    assert poll(unknown, pool, 100) == []
    assert unknown.put(ROW)
    assert unknown.deadline() == 100
    assert poll(unknown, pool, 100) == []
    unknown.put(OTHER)
    assert poll(unknown, pool, 101) == []
    assert (len(pool.questions), len(unknown), unknown.deadline()) == (1, 2, float("inf"))
    pool.questions[0].set_result(None)
    assert poll(unknown, pool, 101) == [ROW]
    assert (len(pool.questions), len(unknown), unknown.deadline()) == (1, 1, 102)
    poll(unknown, pool, 102)
    pool.questions[1].set_result(None)
    assert poll(unknown, pool, 103) == [OTHER]
    assert (len(unknown), unknown.deadline()) == (0, float("inf"))


def test_failed_question_is_repeated() -> None:
    """Its rows are kept in order."""
    unknown, pool = UnknownActions(KnownActions(), ask), Pool()
    unknown.put(ROW)
    poll(unknown, pool, 0)
    unknown.put(OTHER)
    pool.questions[0].set_exception(RuntimeError())
    assert poll(unknown, pool, 1) == []
    assert (len(unknown), len(pool.questions), unknown.deadline()) == (2, 1, 2)
    poll(unknown, pool, 2)
    pool.questions[1].set_result(None)
    assert poll(unknown, pool, 2) == [ROW, OTHER]


def test_actions_are_read_once_a_minute_with_traffic_and_never_when_idle() -> None:
    """So a changed template is used soon, and an idle process is not woken."""
    unknown, pool = UnknownActions(KnownActions(), ask), Pool()
    for now in (0, 57):
        poll(unknown, pool, now, is_busy=True)
    assert pool.questions == []
    poll(unknown, pool, 1000)
    assert (pool.questions, unknown.deadline()) == ([], float("inf"))
    poll(unknown, pool, 1000, is_busy=True)
    assert len(pool.questions) == 1


def test_without_a_database_nothing_waits() -> None:
    """A sender that can't ask says what it would need."""
    unknown = UnknownActions(KnownActions(), None)
    assert not unknown.put(ROW)
    assert len(unknown) == 0
    assert unknown.why_unknown(ROW) == "its action, 3, is not known; without MAILROOM_DATABASE_URL only 1 and 2 are"
    assert list(unknown.known) == ["1", "2"]
