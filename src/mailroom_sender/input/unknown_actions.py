"""Keeps rows of unknown actions until the database has answered which actions it has."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Final

from mailroom_sender.input.action import KnownActions, MailAction
from mailroom_sender.input.row import UnknownRow

_GAP: Final = 2.0  # the least seconds between two questions
_AGAIN: Final = 60.0  # seconds between questions while rows arrive, because somebody may change a template


class UnknownActions:
    """Asks one question at a time, in a worker thread. Times are monotonic seconds."""

    def __init__(self, known: KnownActions, read_actions: Callable[[], None] | None) -> None:
        """`read_actions` reads the actions of the database into `known`. None: there is no database."""
        self._known = known
        self._read_actions = read_actions
        self._rows: list[UnknownRow] = []
        self._question: tuple[Future[None], list[UnknownRow]] | None = None
        self._asked_at: float | None = None

    def __len__(self) -> int:
        """Return the number of rows that wait for an answer."""
        return len(self._rows) + (len(self._question[1]) if self._question else 0)

    @property
    def known(self) -> Mapping[str, MailAction]:
        """Return the actions that are known now, by number."""
        return self._known.by_number

    def why_unknown(self, row: UnknownRow) -> str:
        """Return why the row's action is not known, and what to do."""
        if self._read_actions is None:
            return f"its action, {row.number}, is not known; without MAILROOM_DATABASE_URL only 1 and 2 are"
        return f"its action, {row.number}, is not in mailroom_actions"

    def put(self, row: UnknownRow) -> bool:
        """Keep a row until the database has answered. Return False if there is no database."""
        if self._read_actions is None:
            return False
        self._rows.append(row)
        return True

    def poll(self, pool: Executor, now: float, on_finished: Callable[[], None], *, is_busy: bool) -> list[UnknownRow]:
        """Ask the database if it is time. Return the rows whose question it has answered.

        `on_finished` is called, in any thread, when an answer comes.
        """
        if self._asked_at is None:
            self._asked_at = now - _GAP  # the start read the actions, but a row of a newer action may have come since
        answered = self._answered()
        if self._read_actions is not None and self._question is None and now >= self._due(is_busy=is_busy):
            self._asked_at = now
            self._question, self._rows = (pool.submit(self._read_actions), self._rows), []
            self._question[0].add_done_callback(lambda _: on_finished())
        return answered

    def _answered(self) -> list[UnknownRow]:
        """Return the rows of a question that is answered. If it failed, keep them."""
        if self._question is None or not self._question[0].done():
            return []
        (question, rows), self._question = self._question, None
        if question.exception() is None:
            return rows
        self._rows = rows + self._rows
        return []

    def deadline(self) -> float:
        """Return when to ask the database next because rows wait."""
        return self._due(is_busy=False) if self._question is None else float("inf")

    def _due(self, *, is_busy: bool) -> float:
        if self._asked_at is None:
            return float("inf")
        if self._rows:
            return self._asked_at + _GAP
        return self._asked_at + _AGAIN if is_busy else float("inf")
