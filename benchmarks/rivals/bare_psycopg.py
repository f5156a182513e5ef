"""The shortest way from a sign-up to a pipe: wait for a notification, claim one row, print it.

It has no leases, no signatures, no reconnection, and does not read rows that waited before it started.
"""

import os
import select
import sys

import psycopg


def main() -> None:
    """Print a line for each notification."""
    with psycopg.connect(os.environ["MAILROOM_DATABASE_URL"], autocommit=True) as connection:
        connection.execute("LISTEN token_insert")
        sys.stderr.write("listening\n")
        sys.stderr.flush()
        poll = select.poll()
        poll.register(connection, select.POLLIN)
        while True:
            poll.poll()
            for _ in connection.notifies(timeout=0):
                pass
            _print_one(connection)


def _print_one(connection: psycopg.Connection[tuple[object, ...]]) -> None:
    query = "SELECT action, email, login, secret, code FROM mailroom_claim_any('mailroom', 'bare', 30000, 1)"
    for action, email, login, secret, code in connection.execute(query.encode()):
        assert isinstance(secret, bytes)
        os.write(1, f"{action},{email},{login},{secret.hex()},{code}\n".encode())


if __name__ == "__main__":
    main()
