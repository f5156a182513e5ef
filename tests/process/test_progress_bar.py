"""The progress bar, on a terminal of the test."""

import contextlib
import fcntl
import os
import re
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import Environment
from tests.support.postgres import Database
from tests.support.ptys import open_pty
from tests.support.waiting import until

READER = """
trap : TERM INT
take() { for ((n = 0; n < $1; n++)); do read -r _; done; }
await() { until [ -e "$1" ]; do sleep 0.01; done; }
mailroom-collect | { take 10; await more; take 150; await rest; exec cat; }
"""
"""Takes ten lines, 150 lines and the rest, each when the test says so, whatever the machine's speed is."""
BAR = re.compile(r"\r\x1b\[K(\[#*-*\]  \d+ %  [\d,]+/[\d,]+  [\d:-]+  [\d,]+/s)\r")


class Screen:
    """The characters that a program has drawn."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._seen = b""

    @property
    def text(self) -> str:
        with contextlib.suppress(BlockingIOError, OSError):
            while data := os.read(self._fd, 65536):
                self._seen += data
        return self._seen.decode()


def counts(text: str) -> list[int]:
    """Return the count of printed rows that each bar shows."""
    return [int(re.findall(r"([\d,]+)/", bar)[0].replace(",", "")) for bar in BAR.findall(text)]


@contextlib.contextmanager
def on_terminal(
    env: Mapping[str, str], columns: int, folder: Path
) -> Iterator[tuple["subprocess.Popen[bytes]", Screen]]:
    """Run the collector with a terminal as its stderr, and a reader that stops."""
    ours, theirs = open_pty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    os.set_blocking(ours, False)
    process = subprocess.Popen(
        ["/bin/bash", "-c", READER],
        env=dict(env),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        start_new_session=True,
        cwd=folder,
    )
    os.close(theirs)
    try:
        yield process, Screen(ours)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        os.close(ours)


@pytest.mark.parametrize("columns", [80, 60])
def test_backlog_shows_a_bar_that_is_removed(
    database: Database, collector_env: Environment, tmp_path: Path, columns: int
) -> None:
    """It counts up to the whole backlog, fits the terminal, and is removed before the next log line."""
    database.sign_up_many(6000)
    with on_terminal(collector_env(TERM="xterm", NO_COLOR="1"), columns, tmp_path) as (process, screen):
        until(lambda: counts(screen.text), "a bar is drawn")
        first = counts(screen.text)[-1]
        (tmp_path / "more").touch()
        until(lambda: counts(screen.text)[-1] > first, "the bar continues")
        (tmp_path / "rest").touch()
        until(lambda: database.states() == {"emitted": 6000}, "all are printed")
        os.killpg(process.pid, signal.SIGTERM)
        until(lambda: "in " in screen.text and "printed 6,000 rows" in screen.text, "it sums up")
        text = screen.text
    bars = BAR.findall(text)
    assert all("/6,000 " in bar and len(bar) < columns for bar in bars), bars
    assert counts(text) == sorted(counts(text)), bars
    after = text[text.rindex("/s\r") + 3 :]
    assert re.match(r"\r\x1b\[K\d{4}/|\r\x1b\[K$|\r\x1b\[K\r", after), f"the bar is not erased first: {after!r}"


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {}], ids=["dumb", "unset"])
def test_terminal_that_cannot_draw_gets_lines_only(
    database: Database, collector_env: Environment, tmp_path: Path, env: dict[str, str]
) -> None:
    """It receives only whole log lines, for longer than a bar takes to appear."""
    database.sign_up_many(6000)
    with on_terminal(collector_env(**env), 80, tmp_path) as (_, screen):
        until(lambda: database.states().get("emitted"), "the first are printed")
        over = time.monotonic() + 1.0
        until(lambda: time.monotonic() > over, "a bar would be drawn")
        (tmp_path / "more").touch()
        (tmp_path / "rest").touch()
        until(lambda: database.states() == {"emitted": 6000}, "all are printed")
        text = screen.text
    assert "\x1b" not in text
    assert all(re.match(r"\d{4}/\d\d/\d\d ", line) for line in text.splitlines())
