"""Loops that hang, and what a service manager learns, for both programs."""

import os
import re
import signal
import sys
import uuid
from pathlib import Path

import pytest

from tests.conftest import Environment
from tests.support.manager import managing
from tests.support.postgres import Database
from tests.support.processes import environment, run, running
from tests.support.ses_endpoint import Endpoint
from tests.support.waiting import until

LOOP = """
import os, select, sys, time
from mailroom_runtime.log import Log
from mailroom_runtime.process.systemd import Notifier
from mailroom_runtime.process.wakeup import Wakeup
from mailroom_runtime.process.watchdog import Watchdog

with Wakeup() as wakeup, Watchdog(0.6, Notifier({}), Log("test", "TEST"), tick=0.2) as watchdog:
    while not os.path.exists("hang"):
        print("turn", flush=True)
        watchdog.reset()
        select.select([wakeup], [], [])  # nothing else to wait for: the watchdog itself must wake it
        wakeup.stops()
    if os.path.exists("mute"):
        os.dup2(os.open("pipe", os.O_RDWR), 2)
        os.set_blocking(2, False)
        try:
            while True:
                os.write(2, b"x" * 4096)
        except BlockingIOError:
            os.set_blocking(2, True)
    print("hangs", flush=True)
    time.sleep(60)
"""


LOOPING = f"exec {sys.executable} -c '{LOOP}'"


def test_loop_that_hangs_ends_the_process_and_says_where() -> None:
    """An idle loop stays alive. SIGALRM ends one that hangs, and the log names the place."""
    with running(LOOPING, environment()) as looping:
        looping.prints("turn", 6)
        (looping.folder / "hang").touch()
        assert looping.wait() == -signal.SIGALRM
        (line,) = looping.err.splitlines()
    assert re.search(r"the main loop has not run for [0-9]+ s", line)
    assert "so this process ends; it hangs in <string>:" in line


def test_loop_that_hangs_in_its_log_is_ended_too() -> None:
    """If writing the last log line hangs too, the kernel ends the process."""
    with running(f"mkfifo pipe; {LOOPING}", environment()) as looping:
        looping.prints("turn", 1)
        (looping.folder / "mute").touch()
        (looping.folder / "hang").touch()
        assert looping.wait() == -signal.SIGALRM


def test_stopped_process_does_not_hang() -> None:
    """A process that was stopped for longer than the watchdog's limit continues."""
    with running(LOOPING, environment()) as looping:
        looping.prints("turn", 2)
        looping.signal(signal.SIGSTOP)
        pid = looping.process.pid
        ticks = os.times().elapsed + 1.5  # longer than the limit, because the time itself is tested
        until(lambda: os.times().elapsed > ticks and Path(f"/proc/{pid}/stat").read_text().split()[2] == "T")
        seen = looping.out.count("turn")
        looping.signal(signal.SIGCONT)
        looping.prints("turn", seen + 5)
        assert looping.err == ""


def test_manager_gets_the_states_of_the_collector(
    database: Database, collector_env: Environment, tmp_path: Path
) -> None:
    """READY once it listens, WATCHDOG repeatedly even when idle, a status, and STOPPING when it ends."""
    with managing(tmp_path / "notify") as manager:
        env = collector_env(NOTIFY_SOCKET=manager.path, WATCHDOG_USEC="400000")
        with running("trap : TERM; mailroom-collect | cat", env) as collector:
            until(lambda: manager.received("READY=1"), "it is ready")
            collector.says("listening")
            until(lambda: manager.received("STATUS=0 rows printed since the start"), "its status says what it does")
            count = manager.received("WATCHDOG=1")
            until(lambda: manager.received("WATCHDOG=1") >= count + 3, "it is alive")
            assert not manager.received("STOPPING")
            collector.stop()
        assert (manager.received("STOPPING=1"), manager.received("READY=1")) == (1, 1)
    assert database.states() == {}


@pytest.mark.parametrize(("pid", "is_asked"), [("shell", True), ("another", False)])
def test_manager_gets_the_states_of_the_sender(
    endpoint: Endpoint, pipeline_env: Environment, pid: str, is_asked: bool
) -> None:
    """READY once the ledger has acknowledged it, and WATCHDOG if the manager asked this process or its shell."""
    with managing(f"@mailroom-{uuid.uuid4().hex}") as manager:
        env = pipeline_env(NOTIFY_SOCKET=manager.path, WATCHDOG_USEC="400000")
        command = f"export WATCHDOG_PID={'$$' if pid == 'shell' else '1'}; cat fifo | mailroom-send"
        with running(f"trap : TERM; mkfifo fifo; exec 3<>fifo; {command}", env) as sender:
            until(lambda: manager.received("READY=1"), "it is ready")
            sender.says("acknowledging")
            until(lambda: manager.received("STATUS=0 mails since the start"), "its status says what it does")
            if is_asked:
                until(lambda: manager.received("WATCHDOG=1") >= 3, "it is alive")
            sender.stop()
        assert (manager.received("STOPPING=1"), manager.received("WATCHDOG=1") > 0) == (1, is_asked)
    assert endpoint.calls == []


def test_manager_learns_why_a_program_waits(collector_env: Environment, tmp_path: Path) -> None:
    """Without its database it is not ready, and the status says why."""
    with managing(tmp_path / "notify") as manager:
        env = collector_env(NOTIFY_SOCKET=manager.path, MAILROOM_DATABASE_URL="host=127.0.0.1 port=1 user=x")
        with running("exec mailroom-collect | cat", env):
            until(lambda: manager.received("STATUS=waiting for the database: "), "it says what it waits for")
        assert not manager.received("READY")


def test_missing_manager_stops_no_program(collector_env: Environment) -> None:
    """A socket without a reader does not end it."""
    with running("exec mailroom-collect | cat", collector_env(NOTIFY_SOCKET="/nowhere/notify")) as collector:
        collector.says("listening")
        collector.stop()
        assert "Traceback" not in collector.err


def test_errors_of_settings_are_json_too(tmp_path: Path) -> None:
    """They name the variable, or the option wherever it stands. A bad log format is named too."""
    bad = environment(MAILROOM_LOG_FORMAT="json", MAILROOM_LEASE="0")
    assert run("mailroom-collect", env=bad).err.startswith('{"time": "')
    for program in ("mailroom-collect", "mailroom-send"):
        done = run(f"{program} --lease 0 --log-format json </dev/null", env=environment(), cwd=tmp_path)
        assert (done.status, '"level": "error"' in done.err, "MAILROOM_LEASE" in done.err) == (2, True, True)
        done = run(f"{program} --log-format xml </dev/null", env=environment(), cwd=tmp_path)
        assert (done.status, "MAILROOM_LOG_FORMAT / --log-format: 'xml'" in done.err) == (2, True)
