"""moto's SES as a process: an independent implementation."""

import contextlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.support.waiting import until

_RUNNING = re.compile(r"Running on (http://[0-9.:]+)")


@contextlib.contextmanager
def running_moto() -> Iterator[str]:
    """Serve on a free port of the loopback interface. Yields the URL."""
    # Not imported: moto changes botocore in the process that imports it.
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with tempfile.NamedTemporaryFile() as said, subprocess.Popen(command, stdout=said, stderr=said) as process:
        try:
            until(lambda: _RUNNING.search(Path(said.name).read_text()), "moto runs")
            (url,) = _RUNNING.findall(Path(said.name).read_text())
            yield url
        finally:
            process.kill()
