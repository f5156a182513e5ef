"""The live screen: asks again and again, and leaves the terminal as it found it."""

import json
import select
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from typing import Final

from mailroom_collector.operations.figures import History, ListenResult, Overview
from mailroom_collector.operations.queries.listen_test import ListenTest
from mailroom_collector.operations.queries.overview import (
    read_history,
    read_progress,
    read_public,
    read_pulse,
    read_sessions,
)
from mailroom_collector.operations.queries.session import one_snapshot, open_session
from mailroom_collector.operations.terminal.colours import Paint
from mailroom_collector.operations.terminal.keyboard import Keyboard
from mailroom_collector.operations.terminal.page import fitting
from mailroom_collector.operations.text.status import Kind, StatusLine, as_json, text
from mailroom_collector.operations.text.table import cut
from mailroom_runtime.errors import MailroomError, Unavailable
from mailroom_runtime.postgres.connection import DeadlineConnection
from mailroom_runtime.postgres.url import DatabaseUrl
from mailroom_runtime.process.wakeup import Wakeup, stop_signals

_INTERVAL: Final = 1.0  # seconds from one question to the next, at least
_PIPED_INTERVAL: Final = 2.0
_SHARE: Final = 10
"""An answer that took long is asked for again after so many times that time: to be watched keeps no server busy."""
_HISTORY_SHARE: Final = 50
"""The same for what was settled within a day, of which there may be millions."""
_ECHO: Final = 15.0
_PULSE_SECONDS: Final = 200
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"  # xterm's other screen; the cursor
_HOME, _END_OF_LINE, _REST = "\x1b[H", "\x1b[K", "\x1b[J"


class LiveStatus:
    """Asks one queue, over one connection after another."""

    def __init__(self, url: DatabaseUrl, queue: str) -> None:
        self._url = url
        self._queue = queue
        self._connection: DeadlineConnection | None = None
        self._echo_test: ListenTest | None = None
        self._echo = ListenResult(None, problem="not yet")
        self._history: History | None = None
        self._history_at = self._echo_at = 0.0

    def look(self) -> Overview:
        """Return how the queue is. Raises MailroomError."""
        try:
            return self._look()
        except MailroomError:
            self.close()
            raise

    def _look(self) -> Overview:
        if self._connection is None:
            self._connection = open_session(self._url, self._queue)
            self._echo_test = ListenTest(self._connection, self._url)
            self._echo_at = 0.0
        connection = self._connection
        with one_snapshot(connection):
            progress = read_progress(connection, self._queue)
            pulse = read_pulse(connection, self._queue, _PULSE_SECONDS)
            sessions = read_sessions(connection)
            public = read_public(connection)
            if self._history is None or time.monotonic() >= self._history_at:
                began = time.monotonic()
                self._history = read_history(connection, self._queue)
                ended = time.monotonic()
                self._history_at = ended + _HISTORY_SHARE * (ended - began)
        if self._echo_test is not None and time.monotonic() >= self._echo_at:
            self._echo = self._echo_test.call()
            self._echo_at = time.monotonic() + _ECHO
        return Overview(self._queue, progress, self._history, self._echo, sessions, pulse, public)

    def close(self) -> None:
        """End the session."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None


class _Screen:
    """A terminal that shows one page."""

    def __init__(self, paint: Paint) -> None:
        self._paint = paint

    def __enter__(self) -> "_Screen":
        sys.stdout.write(_ENTER)
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()

    def show(self, lines: Sequence[StatusLine]) -> None:
        """Replace the page."""
        page = [self._paint.line(line) + _END_OF_LINE for line in lines]
        sys.stdout.write(_HOME + "\n".join(page) + "\n" + _REST)
        sys.stdout.flush()


def watch(watcher: LiveStatus, paint: Paint) -> None:
    """Show it on this terminal until SIGINT or SIGTERM, or until q is pressed.

    Raises MailroomError for what only a person can help with, while nothing was shown yet.
    """
    with Wakeup(signal.SIGWINCH) as wakeup, Keyboard() as keyboard, _Screen(paint) as screen:
        overview: Overview | None = None
        problem, ends = "", False
        while not ends:
            began = time.monotonic()
            try:
                overview, problem = watcher.look(), ""
            except MailroomError as error:
                if overview is None and not isinstance(error, Unavailable):
                    raise
                problem = str(error)
            next_at = time.monotonic() + max(_INTERVAL, _SHARE * (time.monotonic() - began))
            while True:
                screen.show(_page(overview, problem, paint))
                ends, resized = _wait(wakeup, next_at, keyboard)
                if ends or not resized:
                    break


def _page(overview: Overview | None, problem: str, paint: Paint) -> list[StatusLine]:
    columns, rows = shutil.get_terminal_size()
    lines = [] if overview is None else text(overview, columns, unicode=paint.unicode)
    if problem:
        lines = [StatusLine(cut(f"trying again: {problem}", columns), Kind.BAD), StatusLine(""), *lines]
    # The cursor stands in the last row.
    return [*fitting([*lines, StatusLine("")], rows - 2), StatusLine(cut("q or Ctrl-C ends it", columns))]


def _wait(wakeup: Wakeup, until: float, keyboard: Keyboard | None = None) -> tuple[bool, bool]:
    """Return whether to end, and whether the terminal got another size before the time was up."""
    while True:
        keys = keyboard.fileno() if keyboard else None
        sources: list[Wakeup | int] = [wakeup] if keys is None else [wakeup, keys]
        ready, _, _ = select.select(sources, [], [], max(0.0, until - time.monotonic()))
        signals = wakeup.signals() if wakeup in ready else []
        ends = bool(stop_signals() & set(signals))
        if keyboard is not None and keys in ready:
            ends = keyboard.says_end() or ends
        if ends or signals or time.monotonic() >= until:
            return ends, signal.SIGWINCH in signals


def follow(watcher: LiveStatus, paint: Paint, *, is_json: bool) -> None:
    """Print it again and again, as blocks or as JSON lines, until SIGINT or SIGTERM. Raises like the watcher."""
    with Wakeup() as wakeup:
        while True:
            began = time.monotonic()
            overview = watcher.look()
            if is_json:
                print(json.dumps(as_json(overview)), flush=True)  # noqa: T201 - stdout is where it goes
            else:
                lines = text(overview, paint.columns, unicode=paint.unicode)
                print("\n".join([*(line.text for line in lines), ""]), flush=True)  # noqa: T201 - as above
            next_at = time.monotonic() + max(_PIPED_INTERVAL, _SHARE * (time.monotonic() - began))
            if _wait(wakeup, next_at)[0]:
                return
