"""`make run`, without the setup."""

import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from demo import embedded
from tests.conftest import Environment
from tests.support.postgres import Database
from tests.support.processes import run, running
from tests.support.ptys import open_pty
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "d"
    folder.mkdir()
    tmp_path.chmod(0o755)
    return folder


def demo_env(folder: Path, **settings: str) -> dict[str, str]:
    """Return a bare environment, on a machine where another user was the first to use the server's package."""
    temporary = folder / "tmp"
    (temporary / ".lockfile").mkdir(parents=True, exist_ok=True)  # a file that even root can't open for writing
    return {
        "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(folder), "TMPDIR": str(temporary), **settings
    }  # fmt: skip


@pytest.mark.first
def test_demo_shows_requests_of_both_kinds_and_ends_cleanly(folder: Path) -> None:
    """Sign-ups and recoveries are shown as requests. Ctrl-C ends everything, and the next run finds its data."""
    env = demo_env(folder)
    first = ""
    for _ in range(2):
        with running(f"exec {sys.executable} -m demo", env, folder) as demo:
            demo.says("INSERT INTO accounts")
            demo.prints('"Template":"activationv1"')
            demo.prints('"Template":"passwordrecoveryv1"')
            demo.prints("https://app.example.com")
            os.kill(demo.process.pid, signal.SIGINT)
            assert demo.wait() == 0
            first = first or demo.out
    assert "nothing to do: the schema is at version" in demo.err
    numbers = sorted({int(number) for number in re.findall(r"user([0-9]+)@example", first)})
    assert numbers == list(range(1, numbers[-1] + 1))  # no row seems to be lost
    servers = subprocess.run(["grep", "-lsr", str(folder), *Path("/proc").glob("[0-9]*/cmdline")],
                             capture_output=True, text=True, check=False)  # fmt: skip
    assert servers.stdout == ""


def test_demo_on_a_terminal_shows_mails(folder: Path) -> None:
    """A mail is two lines, and they come slowly.

    A sign-up by hand, as the instruction says, is shown. Ctrl-C ends it.
    """
    ours, theirs = open_pty()
    with running(f"exec {sys.executable} -m demo >{os.ttyname(theirs)}", demo_env(folder), folder) as demo:
        os.close(theirs)
        screen = Output(ours)
        until(lambda: "activation  user1@example.com  login " in screen.text, f"a mail; {demo.err}", 30)
        (by_hand,) = re.findall(r"^  (.demo/psql -c .*)\r$", screen.text, re.MULTILINE)
        assert run(by_hand, env={"PATH": "/usr/bin:/bin"}, cwd=folder).status == 0
        mine = r"activation  you@example\.com  login you\r\n  https://app\.example\.com/activate/[\w-]{86}\r\n"
        until(lambda: re.search(mine, screen.text), "my own sign-up")
        os.kill(demo.process.pid, signal.SIGINT)
        assert demo.wait() == 0
    os.close(ours)
    assert "{" not in screen.text


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_demo_advises_another_user_to_copy_the_folder(folder: Path) -> None:
    """It prints one line, for a folder that it can't create and for one of another user. The exit status is 2."""
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT)}
    command = f"exec setpriv --reuid 65534 --regid 65534 --clear-groups {sys.executable} -m demo"
    first = run(command, env=env, cwd=folder)
    (folder / ".demo").mkdir()
    second = run(command, env=env, cwd=folder)
    assert (first.status, second.status) == (2, 2)
    copy = "Run it in a copy of the checkout that is your own.\n"
    assert first.err == f".demo can't be made here: Permission denied. {copy}"
    assert second.err == f".demo belongs to root, and you may not write there. {copy}"


def test_root_learns_what_the_server_s_package_will_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo first names the user that it creates and the folders that it opens. Other users see no such message."""
    closed = tmp_path / "home"
    closed.mkdir(mode=0o700)
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(embedded, "_USER", "no-such-user")
    message = embedded.what_root_changes(closed / ".demo" / "postgres")
    assert "the system user no-such-user is created ('userdel no-such-user' removes it)" in message
    assert re.search(rf"everybody may then list .*{closed}(,|\.$)", message)
    assert "\n" not in message
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert embedded.what_root_changes(closed / ".demo" / "postgres") == ""


class Output:
    """The output that a terminal has received."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._seen = b""

    @property
    def text(self) -> str:
        with contextlib.suppress(OSError):  # there is no output now, or the writers have ended
            while data := os.read(self._fd, 65536):
                self._seen += data
        return self._seen.decode()


def test_demo_on_a_given_database_writes_no_samples(
    database: Database, collector_env: Environment, tmp_path: Path
) -> None:
    """With MAILROOM_DATABASE_URL set, the demo shows the rows that wait there, and writes none."""
    (token,) = database.sign_up("ann")
    with running(f"exec {sys.executable} -m demo", collector_env(PYTHONPATH=str(ROOT)), tmp_path) as demo:
        demo.prints("ann@example.com")
        until(lambda: database.state(token) == "emitted", "the row counts as handed out")
        os.kill(demo.process.pid, signal.SIGINT)
        assert demo.wait() == 0
    assert database.one("SELECT count(*) FROM accounts") == 1
