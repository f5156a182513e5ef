"""Asks the database for its actions, and keeps the rows of unknown ones until it was asked."""

from collections.abc import Callable, Mapping
from concurrent.futures import Executor, Future
from typing import Final

from mailroom_sender.input.action import KnownActions, MailAction
from mailroom_sender.input.row import UnknownRow

_GAP: Final = 2.0  # seconds between questions at least, whatever comes
_AGAIN: Final = 60.0  # seconds between questions while there is traffic: somebody may change a template


class UnknownActions:
    """One question at a time, in a worker. Times are monotonic seconds."""

    def __init__(self, known: KnownActions, ask: Callable[[], None] | None) -> None:
        """`ask` makes known what the database knows; None: there is none to ask."""
        self._known = known
        self._ask = ask
        self._rows: list[UnknownRow] = []
        self._asked: tuple[Future[None], list[UnknownRow]] | None = None
        self._asked_at: float | None = None

    def __len__(self) -> int:
        return len(self._rows) + (len(self._asked[1]) if self._asked else 0)

    @property
    def known(self) -> Mapping[str, MailAction]:
        """Return the actions that are known now, by number."""
        return self._known.by_number

    def why_unknown(self, row: UnknownRow) -> str:
        """Return why the row's action is not known, and what to do."""
        if self._ask is None:
            return f"its action, {row.number}, is not known; without MAILROOM_DATABASE_URL only 1 and 2 are"
        return f"its action, {row.number}, is not in mailroom_actions"

    def put(self, row: UnknownRow) -> bool:
        """Keep a row until the database was asked; False: there is none to ask."""
        if self._ask is None:
            return False
        self._rows.append(row)
        return True

    def turn(self, pool: Executor, now: float, finished: Callable[[], None], *, is_busy: bool) -> list[UnknownRow]:
        """Ask if it is time to; return the rows for whose sake was asked. `finished` is called, in any thread, then."""
        if self._asked_at is None:
            self._asked_at = now - _GAP  # they were read just now, but perhaps before a row of a new one came
        answered: list[UnknownRow] = []
        if self._asked is not None and self._asked[0].done():
            (question, rows), self._asked = self._asked, None
            if question.exception() is None:
                answered = rows
            else:
                self._rows = rows + self._rows
        if self._ask is not None and self._asked is None and now >= self._due(is_busy=is_busy):
            self._asked_at = now
            self._asked, self._rows = (pool.submit(self._ask), self._rows), []
            self._asked[0].add_done_callback(lambda _: finished())
        return answered

    def deadline(self) -> float:
        """Return when to ask next for the sake of rows."""
        return self._due(is_busy=False) if self._asked is None else float("inf")

    def _due(self, *, is_busy: bool) -> float:
        if self._asked_at is None:
            return float("inf")
        if self._rows:
            return self._asked_at + _GAP
        return self._asked_at + _AGAIN if is_busy else float("inf")
