"""The two programs, as users start them, and their figures in /proc."""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

PIPELINE: Final = "set -o pipefail; mailroom-collect | mailroom-send"
KEY: Final = "deadbeef" * 8
ROOT: Final = Path(__file__).parents[1]
_BIN: Final = Path(sys.executable).parent
_TICKS: Final = os.sysconf("SC_CLK_TCK")
_SHOWN: Final = 2000
"""Characters of stderr that an error shows."""


def until(condition: Callable[[], object], what: str, seconds: float = 30.0) -> None:
    """Return as soon as the condition holds. Raises TimeoutError if it does not hold in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} did not come true within {seconds} s")
        time.sleep(0.01)


def cpu_seconds(pid: int) -> float:
    """Return the CPU seconds, user and system, that a process has used (proc(5): fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


class Running:
    """A shell command in its own process group, with its output in files."""

    def __init__(self, command: str, env: Mapping[str, str], folder: Path, stdin: Path | None = None) -> None:
        self._err = folder / "err"
        with Path(stdin or os.devnull).open("rb") as given, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                ["/bin/bash", "-c", command],
                env={**env, "MAILROOM_SES_OUTPUT_PATH": str(folder / "output")},
                stdin=given,
                stdout=subprocess.DEVNULL,
                stderr=err,
                start_new_session=True,
                cwd=ROOT,
            )

    @property
    def err(self) -> str:
        """Its stderr so far."""
        return self._err.read_text(errors="replace")

    def check(self) -> None:
        """Raise RuntimeError if it has failed."""
        if self.process.poll():
            raise RuntimeError(f"it ended with status {self.process.returncode}")

    def says(self, text: str, seconds: float = 30.0) -> None:
        """Wait until stderr holds the text."""

        def said() -> bool:
            self.check()
            return text in self.err

        until(said, f"'{text}' on stderr", seconds)

    def pid(self, program: str) -> int:
        """Return the process id of one program of the command. Raises LookupError if it does not run."""
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                words = (process / "cmdline").read_bytes().split(b"\0")[:2]
                ours = os.getpgid(int(process.name)) == self.process.pid
                if ours and any(word.endswith(f"/{program}".encode()) for word in words):
                    return int(process.name)
        raise LookupError(f"{program} does not run")

    def kill(self) -> None:
        """Kill all its processes."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@contextlib.contextmanager
def running(command: str, env: Mapping[str, str], stdin: Path | None = None) -> Iterator[Running]:
    """Run a shell command during the block. Afterwards no process of it runs. An error shows its stderr."""
    with tempfile.TemporaryDirectory(prefix="mailroom-") as folder:
        program = Running(command, env, Path(folder), stdin)
        try:
            yield program
        except Exception as error:
            error.add_note(f"stderr of '{command}':\n{program.err[-_SHOWN:]}")
            raise
        finally:
            program.kill()


def environment(endpoint: str = "", database: str = "", **settings: str) -> dict[str, str]:
    """Return the environment of the programs, with the URLs of an endpoint and a database if given."""
    given = {
        "PATH": f"{_BIN}:/usr/bin:/bin",
        "MAILROOM_SECRET_KEY": KEY,
        "MAILROOM_DATABASE_URL": database,
        "AWS_ENDPOINT_URL_SES": endpoint,
        "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "example",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    return {name: value for name, value in {**given, **settings}.items() if value}


@contextlib.contextmanager
def running_pipeline(endpoint: str, database: str, **settings: str) -> Iterator[Running]:
    """Run `mailroom-collect | mailroom-send` during the block."""
    with running(PIPELINE, environment(endpoint, database, **settings)) as program:
        yield program


@contextlib.contextmanager
def running_collector(database: str, **settings: str) -> Iterator[Running]:
    """Run mailroom-collect alone during the block. Its lines are discarded."""
    with running("exec mailroom-collect", environment(database=database, **settings)) as program:
        yield program


@contextlib.contextmanager
def running_sender(endpoint: str, lines: Path, database: str = "", **settings: str) -> Iterator[Running]:
    """Run `mailroom-send < lines` during the block."""
    with running("exec mailroom-send", environment(endpoint, database, **settings), lines) as program:
        yield program
