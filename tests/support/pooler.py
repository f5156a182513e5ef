"""PgBouncer in transaction mode, which many put in front of their database."""

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.postgres import Database
from tests.support.waiting import until

PGBOUNCER = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")


@contextlib.contextmanager
def running_pgbouncer(database: Database, roles: Sequence[str] = ()) -> Iterator[int]:
    """Serve on a free port of the loopback interface. Yields the port. Skips the test if it is not installed.

    Everybody may log in, as postgres, or with `roles`, each of these as itself.
    """
    if PGBOUNCER is None:
        pytest.skip("pgbouncer is not installed")
    folder = Path(database.server.folder).parent / "pgbouncer"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o777)
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    user, auth = (
        ("", f"auth_type = trust\nauth_file = {folder}/roles") if roles else ("user=postgres", "auth_type = any")
    )
    (folder / "roles").write_text("".join(f'"{role}" ""\n' for role in roles))
    (folder / "ini").write_text(
        f"[databases]\n{database.name} = host={database.server.folder} {user}\n"
        f"[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\n{auth}\n"
        "pool_mode = transaction\ndefault_pool_size = 3\n"
    )
    # It refuses to run as root, like PostgreSQL.
    command = [PGBOUNCER, *(["-u", "pgserver"] if os.geteuid() == 0 else []), str(folder / "ini")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        until(lambda: _answers(port), "pgbouncer answers")
        yield port
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        return True
    return False
