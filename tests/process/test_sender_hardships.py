"""mailroom-send with input that is not valid lines, and with a full disk."""

import array
import csv
import fcntl
import json
import resource
import subprocess
import termios
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Environment
from tests.support.lines import activation, recovery
from tests.support.processes import program_of, running
from tests.support.ses_endpoint import Endpoint
from tests.support.waiting import until

WHOLE = (activation(7) + "," + recovery(8)).encode()


@st.composite
def spoilt_lines(draw: st.DrawFn) -> bytes:
    """A good line after bytes of it were dropped, doubled or replaced."""
    line = WHOLE
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(line)))
        end = draw(st.integers(start, min(len(line), start + 60)))
        new = draw(st.one_of(st.binary(max_size=8), st.sampled_from([b"", b",", b'"', b'""', b"\r", b"\0", line])))
        line = (line[:start] + new + line[end:])[:2000]
    return line


@pytest.fixture
def sender(sender_env: Environment) -> Iterator["subprocess.Popen[bytes]"]:
    env = sender_env(MAILROOM_SES_MAX_RATE="100000")
    with subprocess.Popen(["mailroom-send"], env=env, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        yield process


def test_invalid_bytes_harm_nothing(endpoint: Endpoint, sender: "subprocess.Popen[bytes]") -> None:
    """The next line is sent, whatever comes before it. No row is sent that another CSV reader does not see."""
    assert sender.stdin is not None
    stdin = sender.stdin
    number = 1000
    seen_by_another: set[str] = set()

    @settings(max_examples=150, suppress_health_check=list(HealthCheck))
    @given(junk=st.one_of(st.binary(max_size=300), spoilt_lines()))
    def flows(junk: bytes) -> None:
        nonlocal number
        number += 1
        lines = [*junk.decode("utf-8", "replace").split("\n"), activation(number)]
        seen_by_another.update(field for line in lines for field in _fields(line))
        stdin.write(junk + b"\n" + activation(number).encode() + b"\n")
        stdin.flush()
        until(lambda: f"u{number}@example.com" in endpoint.addresses, f"row {number} is sent")

    flows()
    stdin.close()
    assert sender.wait(30) == 1  # the invalid bytes were rejected
    lower = {field.lower() for field in seen_by_another}
    for _, address, data in endpoint.mailed:
        assert address.lower() in lower
        assert json.loads(data)["secret"] in seen_by_another


def _fields(line: str) -> list[str]:
    try:
        return next(csv.reader([line], strict=True), [])
    except csv.Error:
        return []


def file_limit(pid: int) -> Callable[[int], object]:
    """Return a function that limits the size of the process's files. At 0 the disk appears full."""
    return lambda size: resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def test_full_disk_stops_the_reading_and_loses_nothing(
    endpoint: Endpoint, sender_env: Environment, tmp_path: Path
) -> None:
    """A bad row that can't be written stops the reading, and is written once the disk has space."""
    (tmp_path / "rest").write_text(activation(1) + "\n")
    feed = "(until [ -e go ]; do sleep 0.02; done; echo bad-row; until [ -e on ]; do sleep 0.02; done; cat rest)"
    with running(f"{feed} | mailroom-send 2>&1 | cat", sender_env(), tmp_path) as sender:
        sender.prints("nothing is acknowledged")
        pid = program_of("mailroom-send", sender.process.pid)
        assert pid
        file_limit(pid)(0)
        (tmp_path / "go").touch()
        sender.prints("no more input is read until it can be written")
        (tmp_path / "on").touch()
        until(lambda: waiting_bytes(pid) > 0, "the next row waits in the pipe")
        assert endpoint.addresses == []
        file_limit(pid)(resource.RLIM_INFINITY)
        assert sender.wait() == 0
        assert "can be written again" in sender.out
    assert endpoint.addresses == ["u1@example.com"]
    (rejected,) = (tmp_path / "output").glob("rejected_*.jsonl")
    assert json.loads(rejected.read_text())["row"] == "bad-row"


def waiting_bytes(pid: int) -> int:
    """Return how many bytes wait in the pipe that is the process's stdin."""
    unread = array.array("i", [0])
    with open(f"/proc/{pid}/fd/0", "rb", buffering=0) as pipe:  # noqa: PTH123 - a pipe, not a file
        fcntl.ioctl(pipe, termios.FIONREAD, unread)
    return unread[0]


def test_missing_output_folder_is_waited_for(sender_env: Environment, tmp_path: Path) -> None:
    """A folder that disappeared is logged. When it is back, the rows are written."""
    folder = tmp_path / "output"
    feed = "(until [ -e go ]; do sleep 0.02; done; echo bad-row; until [ -e end ]; do sleep 0.02; done)"
    with running(f"{feed} | mailroom-send", sender_env(), tmp_path) as sender:
        sender.says("nothing is acknowledged")  # the start checked the folder
        folder.rmdir()
        (tmp_path / "go").touch()
        sender.says("can't be written")
        folder.mkdir()
        sender.says("can be written again")
        (tmp_path / "end").touch()
        assert sender.wait() == 1
    assert len(list(folder.glob("rejected_*.jsonl"))) == 1
