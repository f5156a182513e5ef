"""Shows the state of the queue again and again: on the whole terminal, or as blocks or JSON lines on stdout."""

import json
import select
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from typing import Final

from mailroom_collector.operations.figures import Overview
from mailroom_collector.operations.queries.live_status import LiveStatus
from mailroom_collector.operations.terminal.keyboard import Keyboard
from mailroom_collector.operations.terminal.page import fitting
from mailroom_collector.operations.terminal.style import TerminalStyle
from mailroom_collector.operations.text.status_json import status_json
from mailroom_collector.operations.text.status_line import Kind, StatusLine
from mailroom_collector.operations.text.status_text import status_text
from mailroom_collector.operations.text.table import cut
from mailroom_runtime.errors import MailroomError, Unavailable
from mailroom_runtime.process.wakeup import Wakeup, stop_signals

_INTERVAL: Final = 1.0  # seconds from one query to the next, at least
_PIPED_INTERVAL: Final = 2.0
_SHARE: Final = 10
"""The next query comes after so many times the duration of the last one, so that the load stays low."""
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l", "\x1b[?25h\x1b[?1049l"  # xterm's other screen; the cursor
_HOME, _END_OF_LINE, _REST = "\x1b[H", "\x1b[K", "\x1b[J"


class _Screen:
    """A terminal that shows one page. At the end it shows its old contents again."""

    def __init__(self, style: TerminalStyle) -> None:
        self._style = style

    def __enter__(self) -> "_Screen":
        sys.stdout.write(_ENTER)
        return self

    def __exit__(self, *_: object) -> None:
        sys.stdout.write(_LEAVE)
        sys.stdout.flush()

    def show(self, lines: Sequence[StatusLine]) -> None:
        """Replace the page."""
        page = [self._style.line(line) + _END_OF_LINE for line in lines]
        sys.stdout.write(_HOME + "\n".join(page) + "\n" + _REST)
        sys.stdout.flush()


def watch(live: LiveStatus, style: TerminalStyle) -> None:
    """Show the state on this terminal until SIGINT or SIGTERM, or until somebody presses q.

    Raises MailroomError if the first read fails and only a person can help.
    """
    with Wakeup(signal.SIGWINCH) as wakeup, Keyboard() as keyboard, _Screen(style) as screen:
        overview: Overview | None = None
        problem, ends = "", False
        while not ends:
            began = time.monotonic()
            try:
                overview, problem = live.read(), ""
            except MailroomError as error:
                if overview is None and not isinstance(error, Unavailable):
                    raise
                problem = str(error)
            next_at = time.monotonic() + max(_INTERVAL, _SHARE * (time.monotonic() - began))
            while True:
                screen.show(_page(overview, problem, style))
                ends, resized = _wait(wakeup, next_at, keyboard)
                if ends or not resized:
                    break


def _page(overview: Overview | None, problem: str, style: TerminalStyle) -> list[StatusLine]:
    columns, rows = shutil.get_terminal_size()
    lines = [] if overview is None else status_text(overview, columns, unicode=style.unicode)
    if problem:
        lines = [StatusLine(cut(f"trying again: {problem}", columns), Kind.BAD), StatusLine(""), *lines]
    # The cursor is in the last row.
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
            ends = keyboard.was_quit_pressed() or ends
        if ends or signals or time.monotonic() >= until:
            return ends, signal.SIGWINCH in signals


def follow(live: LiveStatus, style: TerminalStyle, *, is_json: bool) -> None:
    """Print the state until SIGINT or SIGTERM, as blocks or as JSON lines. Raises like LiveStatus."""
    with Wakeup() as wakeup:
        while True:
            began = time.monotonic()
            overview = live.read()
            if is_json:
                print(json.dumps(status_json(overview)), flush=True)  # noqa: T201 - stdout is where it goes
            else:
                lines = status_text(overview, style.columns, unicode=style.unicode)
                print("\n".join([*(line.text for line in lines), ""]), flush=True)  # noqa: T201 - as above
            next_at = time.monotonic() + max(_PIPED_INTERVAL, _SHARE * (time.monotonic() - began))
            if _wait(wakeup, next_at)[0]:
                return
