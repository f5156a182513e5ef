"""A terminal in which a page's blocks are typed, one after another, into one bash."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.support.waiting import until


class Terminal:
    """A bash that keeps its variables and its folder between blocks, and ends at the first command that fails."""

    def __init__(self, env: Mapping[str, str], cwd: Path, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        self._typed = 0
        with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
            self._bash = subprocess.Popen(
                ["/bin/bash", "-e"], env=dict(env), cwd=cwd, stdin=subprocess.PIPE, stdout=out, stderr=err,
                start_new_session=True,
            )  # fmt: skip

    @property
    def out(self) -> str:
        return (self._folder / "out").read_text()

    @property
    def err(self) -> str:
        return (self._folder / "err").read_text()

    def type(self, block: str, stdin: str = "") -> str:
        """Run a block to its end. Return its output."""
        before = len(self.out)
        self.start(block, stdin)
        self.finish()
        return self.out[before:]

    def start(self, block: str, stdin: str = "") -> None:
        """Begin a block that keeps running."""
        self._typed += 1
        script, given = self._folder / f"{self._typed}.sh", self._folder / f"{self._typed}.in"
        script.write_text(block)
        given.write_text(stdin)
        assert self._bash.stdin is not None
        self._bash.stdin.write(f". {script} < {given}\n: > {self._folder}/{self._typed}.done\n".encode())
        self._bash.stdin.flush()

    def finish(self) -> None:
        """Wait until the block has ended with 0."""
        done = self._folder / f"{self._typed}.done"
        until(
            lambda: done.exists() or self._bash.poll() is not None,
            lambda: f"the end of block {self._typed}; {self.err}",
            60,
        )
        assert done.exists(), f"block {self._typed} failed:\n{self.out}\n{self.err}"

    def interrupt(self) -> None:
        """Press Ctrl-C.

        All processes in the foreground get it. bash continues, because the programs end with an exit status.
        """
        os.killpg(self._bash.pid, signal.SIGINT)

    def close(self) -> None:
        """End it and its processes."""
        if self._bash.stdin is not None:
            self._bash.stdin.close()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGKILL)
        self._bash.wait()
