"""`make run`: shows the main job at work.

Starts an embedded PostgreSQL in .demo, signs up sample accounts, and runs the pipeline in debug mode: mails are shown
and none is sent. On a terminal each mail is shown slowly, for a person to read. Other output is the exact request to
SES. With MAILROOM_DATABASE_URL set, it runs the pipeline on that database and writes no samples.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from demo import folder
from demo.samples import sign_up_samples
from demo.window import Window

# The trap lets the shell wait for both programs when Ctrl-C ends them.
_PIPELINE: Final = (
    "trap : INT TERM HUP; set -o pipefail;"
    " mailroom-collect | env -u MAILROOM_SECRET_KEY -u MAILROOM_SECRET_KEY_FILE mailroom-send"
)
_STDOUT: Final = 1
_PAUSES: Final = {True: 2.0, False: 0.4}
"""Seconds between two sample sign-ups. They are longer on a terminal, where a person reads the mails."""
_INSTRUCTION: Final = f"""\
Sign up by hand, in another terminal, in this folder (Ctrl-C ends this):
  {folder.PSQL} -c "INSERT INTO accounts (email, login) VALUES ('you@example.com', 'you')"\
"""


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _given(name: str) -> bool:
    return bool(os.environ.get(name) or os.environ.get(f"{name}_FILE"))


def _environment(database: dict[str, str], *, on_terminal: bool) -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    env = os.environ | database | {"PATH": path, "MAILROOM_DEBUG": "true"}
    if not _given("MAILROOM_SECRET_KEY"):
        env["MAILROOM_SECRET_KEY"] = folder.secret_key()
    env.setdefault("MAILROOM_BATCH_TIMEOUT", "1000")
    env.setdefault("MAILROOM_LINK_BASE_URL", "https://app.example.com")
    env.setdefault("MAILROOM_SES_OUTPUT_PATH", str(folder.FOLDER / "output"))
    if on_terminal and env.get("MAILROOM_DEBUG_FORMAT", "auto") in ("", "auto"):
        env["MAILROOM_DEBUG_FORMAT"] = "text"  # its stdout is a pipe to this process
    return env


def _run_pipeline(database: dict[str, str], window: Window | None) -> int:
    """Run the pipeline until it ends or a signal comes. Return its exit status."""
    env = _environment(database, on_terminal=window is not None)
    stdout = None if window is None else subprocess.PIPE
    pipeline = subprocess.Popen(
        ["bash", "-c", _PIPELINE], env=env, stdout=stdout, start_new_session=True, encoding="utf-8", errors="replace"
    )

    def forward(number: int, _: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pipeline.pid, number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup ignores SIGHUP
            signal.signal(number, forward)
    if window is not None and pipeline.stdout is not None:
        with contextlib.suppress(OSError):  # the terminal was closed; SIGHUP says so too
            for line in pipeline.stdout:
                window.show(line.rstrip("\n"))
    return pipeline.wait()


def main() -> int:
    """Run the demo. Return the pipeline's exit status, or 2 if it can't start."""
    on_terminal = os.isatty(_STDOUT)
    if _given("MAILROOM_DATABASE_URL"):
        _say(
            "Using MAILROOM_DATABASE_URL, in debug mode, without samples. Ctrl-C ends this. As long as it runs, other\n"
            "pipelines of the queue do not get what it prints; where no sender acknowledges, that counts as handed out."
        )
        return _run_pipeline({}, Window(_STDOUT, "") if on_terminal else None)
    return _run_on_samples(Window(_STDOUT, _INSTRUCTION) if on_terminal else None)


def _run_on_samples(window: Window | None) -> int:
    # Imported here, because a given database needs no embedded one.
    from demo.embedded import embedded_server, server_user, what_root_changes  # noqa: PLC0415

    if refusal := folder.refusal(server_user()):
        _say(refusal)
        return 2
    if changes := what_root_changes(folder.DATA):
        _say(changes)
    _say("Starting a PostgreSQL of its own in .demo; the first time it takes about five seconds ...")
    with embedded_server(folder.DATA) as server:
        url = server.get_uri()
        database = {"MAILROOM_DATABASE_URL": url}
        collect = Path(sys.executable).parent / "mailroom-collect"
        subprocess.run([collect, "migrate"], env=os.environ | database, check=True, stdout=sys.stderr)
        folder.write_psql(server.bin_path / "psql", url)
        if window is None:
            _say(f"{_INSTRUCTION}\nWhat follows are the requests that SES would get, one a line.")
        else:
            window.instruct()
        with _samples(url, _PAUSES[window is not None]):
            return _run_pipeline(database, window)


@contextlib.contextmanager
def _samples(url: str, pause: float) -> Iterator[None]:
    """Sign up samples during the block."""
    stop = threading.Event()
    samples = threading.Thread(target=sign_up_samples, args=(url, stop, pause))
    samples.start()
    try:
        yield
    finally:
        stop.set()
        samples.join()


if __name__ == "__main__":
    sys.exit(main())
