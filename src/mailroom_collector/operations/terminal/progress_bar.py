"""A progress bar on stderr for a command that reads the ledger in order of time. Without a terminal there is none."""

import os
import sys
from datetime import datetime
from types import TracebackType
from typing import Self

import click

from mailroom_runtime.words import counted


class ProgressBar:
    """A bar from the time of the first delivery to the time `ends`. It disappears at the end."""

    def __init__(self, ends: datetime) -> None:
        self._ends = ends
        self._begins: datetime | None = None
        self._done = 0
        self._bar: click._termui_impl.ProgressBar[int] | None = None

    def __enter__(self) -> Self:
        return self

    def reached(self, moment: datetime | None, rows: int) -> None:
        """Show the time that was reached, and the number of removed rows."""
        if moment is None or not sys.stderr.isatty():
            return
        if self._begins is None or self._bar is None:
            self._begins = moment
            length = max(1, round((self._ends - moment).total_seconds()))
            self._bar = click.progressbar(
                length=length, label="pruning", file=sys.stderr, show_eta=True, item_show_func=_rows,
            )  # fmt: skip
            self._bar.render_progress()
        done = min(self._bar.length or 1, round((moment - self._begins).total_seconds()))
        self._bar.update(max(0, done - self._done), current_item=rows)
        self._done = max(self._done, done)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.render_finish()
            os.write(sys.stderr.fileno(), b"\r\x1b[K\x1b[1A\x1b[K")


def _rows(rows: int | None) -> str:
    return "" if rows is None else counted(rows, "delivery", "deliveries")
