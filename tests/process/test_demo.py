"""`make run`, but for the setting up."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from tests.conftest import Environment
from tests.support.postgres import Database
from tests.support.processes import running
from tests.support.waiting import until

ROOT = Path(__file__).parents[2]


def test_demo_shows_requests_of_both_kinds_and_ends_cleanly(tmp_path: Path) -> None:
    """Sample sign-ups and recoveries are seen as requests; Ctrl-C ends everything; the next run finds its data."""
    env = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "HOME": str(tmp_path)}
    folder = tmp_path / "d"
    folder.mkdir()
    tmp_path.chmod(0o755)
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
    assert numbers == list(range(1, numbers[-1] + 1))  # none looks as if it were lost
    servers = subprocess.run(["grep", "-lsr", str(folder), *Path("/proc").glob("[0-9]*/cmdline")],
                             capture_output=True, text=True, check=False)  # fmt: skip
    assert servers.stdout == ""


def test_demo_on_a_given_database_writes_no_samples(
    database: Database, collector_env: Environment, tmp_path: Path
) -> None:
    """With MAILROOM_DATABASE_URL set, the demo shows what waits there, and writes nothing of its own."""
    (token,) = database.sign_up("ann")
    with running(f"exec {sys.executable} -m demo", collector_env(PYTHONPATH=str(ROOT)), tmp_path) as demo:
        demo.prints("ann@example.com")
        until(lambda: database.state(token) == "emitted", "the row counts as handed out")
        os.kill(demo.process.pid, signal.SIGINT)
        assert demo.wait() == 0
    assert database.one("SELECT count(*) FROM accounts") == 1
