"""`make run`: the main job, seen working.

Starts an embedded PostgreSQL in .demo, signs up sample accounts, and runs the pipeline in
debug mode, so that the requests to SES are printed and nothing is sent. With
MAILROOM_DATABASE_URL set, it runs the pipeline on that database, and writes no samples.
"""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import threading
from pathlib import Path

from demo.samples import sign_up_samples

_FOLDER = Path(".demo")
# The trap lets the shell wait for both programs when Ctrl-C ends them.
_PIPELINE = "trap : INT TERM; set -o pipefail; mailroom-collect | mailroom-send"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _given(name: str) -> bool:
    return bool(os.environ.get(name) or os.environ.get(f"{name}_FILE"))


def _secret_key() -> dict[str, str]:
    """Return the setting for the demo's own key, made once and kept; nothing if the user gave one."""
    if _given("MAILROOM_SECRET_KEY"):
        return {}
    file = _FOLDER / "secret_key"
    if not file.exists():
        _FOLDER.mkdir(exist_ok=True)
        file.touch(mode=0o600)
        file.write_text(secrets.token_hex(32))
    return {"MAILROOM_SECRET_KEY": file.read_text()}


def _sign_up_by_hand(psql: Path, url: str) -> None:
    _say(
        "Sign up by hand, in another terminal:\n"
        f"""  {psql} '{url}' -c "INSERT INTO accounts (email, login) VALUES ('you@example.com', 'you')"\n"""
        "Ctrl-C ends this. What follows are the requests that SES would get, one a line."
    )


def _run_pipeline(database: dict[str, str]) -> int:
    """Run the pipeline until it ends or a signal comes; return its exit status."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    env = os.environ | database | _secret_key() | {"PATH": path, "MAILROOM_DEBUG": "true"}
    env.setdefault("MAILROOM_BATCH_TIMEOUT", "1000")
    env.setdefault("MAILROOM_LINK_BASE_URL", "https://app.example.com")
    env.setdefault("MAILROOM_SES_OUTPUT_PATH", str(_FOLDER / "output"))
    pipeline = subprocess.Popen(["bash", "-c", _PIPELINE], env=env, start_new_session=True)

    def forward(number: int, _: object) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pipeline.pid, number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, forward)
    return pipeline.wait()


def main() -> int:
    """Run the demo; return the pipeline's exit status."""
    if _given("MAILROOM_DATABASE_URL"):
        _say(
            "Using MAILROOM_DATABASE_URL, in debug mode, without samples. Ctrl-C ends this. As long as it runs, other\n"
            "pipelines of the queue do not get what it prints; where no sender acknowledges, that counts as handed out."
        )
        return _run_pipeline({})
    from demo.embedded import embedded_server  # here, as a given database needs no server

    _FOLDER.mkdir(exist_ok=True)
    with embedded_server(_FOLDER / "postgres") as server:
        url = server.get_uri()
        database = {"MAILROOM_DATABASE_URL": url}
        collect = Path(sys.executable).parent / "mailroom-collect"
        subprocess.run([collect, "migrate"], env=os.environ | database, check=True, stdout=sys.stderr)
        _sign_up_by_hand(server.bin_path / "psql", url)
        stop = threading.Event()
        samples = threading.Thread(target=sign_up_samples, args=(url, stop))
        samples.start()
        try:
            return _run_pipeline(database)
        finally:
            stop.set()
            samples.join()


if __name__ == "__main__":
    sys.exit(main())
