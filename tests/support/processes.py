"""The two programs, started as users start them: by their console scripts, through the shell."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from tests.support.waiting import until

KEY = "deadbeef" * 8
_BIN = Path(sys.executable).parent


def environment(**settings: str) -> dict[str, str]:
    """Return a bare environment with the console scripts in it. Coverage can measure them."""
    measured = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
    return {"PATH": f"{_BIN}:/usr/bin:/bin", "MAILROOM_SECRET_KEY": KEY, **measured, **settings}


def run(command: str, *, env: Mapping[str, str], stdin: bytes = b"", cwd: Path | None = None) -> "Finished":
    """Run a shell command to its end."""
    done = subprocess.run(
        ["/bin/bash", "-c", command], env=dict(env), input=stdin, capture_output=True, cwd=cwd, timeout=60, check=False
    )
    return Finished(done.returncode, done.stdout.decode(), done.stderr.decode())


def kill_program(program: str, group: int, number: signal.Signals) -> int | None:
    """Signal one program of a process group, as the operating system would.

    Return its process id, or None if it is not running.
    """
    pid = program_of(program, group)
    if pid is not None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return None
    return pid


def program_of(program: str, group: int) -> int | None:
    """Return the process id of one program of a process group, or None if it is not running."""
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().split(b"\0")
            if os.getpgid(int(process.name)) != group:
                continue
            if any(word.endswith(f"/{program}".encode()) for word in words[:2]):
                return int(process.name)
        except OSError:
            continue
    return None


class Finished:
    """The output and exit status of a command."""

    def __init__(self, status: int, out: str, err: str) -> None:
        self.status = status
        self.out = out
        self.err = err


class Running:
    """A shell command that is running. Its output goes to files, which can be read meanwhile."""

    def __init__(self, command: str, env: Mapping[str, str], folder: Path) -> None:
        self.folder = folder
        self._out, self._err = folder / "out", folder / "err"
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                ["/bin/bash", "-c", command],
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                cwd=folder,
            )

    @property
    def out(self) -> str:
        return self._out.read_text()

    @property
    def err(self) -> str:
        return self._err.read_text()

    def says(self, text: str, times: int = 1) -> None:
        """Wait until stderr holds the text."""
        until(lambda: self.err.count(text) >= times, lambda: f"'{text}' on stderr, which is:\n{self.err}\n")

    def prints(self, text: str, times: int = 1) -> None:
        """Wait until stdout holds the text this many times."""
        until(lambda: self.out.count(text) >= times, lambda: f"{times} x '{text}' on stdout; stderr:\n{self.err}\n")

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to the command, or to the shell's whole pipeline."""
        os.killpg(self.process.pid, number)

    def wait(self) -> int:
        """Return the exit status once it has ended."""
        return self.process.wait(timeout=30)

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        return self.wait()


@contextlib.contextmanager
def running(command: str, env: Mapping[str, str], folder: Path | None = None) -> Iterator[Running]:
    """Run a shell command in the folder, or in a new one, during the block. Afterwards no process of it is left."""
    with tempfile.TemporaryDirectory() as own:
        process = Running(command, env, folder or Path(own))
        try:
            yield process
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.signal(signal.SIGKILL)
            process.process.wait()
