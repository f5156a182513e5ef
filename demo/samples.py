"""Sample accounts, one after another: sign-ups, activations, and recoveries of active accounts."""

import random
import threading

import psycopg

_NAMES = ("ada", "björn", "chloé", "dmitri", "emre", "fatima", "grace", "hiroshi", "ines", "o'neil, jr.", '"kit" k.')


def sign_up_samples(url: str, stop: threading.Event, pause: float) -> None:
    """Write samples, with a pause of this many seconds between them, until `stop` is set."""
    with psycopg.connect(url, autocommit=True) as connection:
        while not stop.wait(pause):
            _sign_up(connection)
            if random.random() < 0.5:  # noqa: PLR2004 - half of them
                _activate_one(connection)
            if random.random() < 0.3:  # noqa: PLR2004 - fewer forget their password
                _recover_one(connection)


def _sign_up(connection: psycopg.Connection) -> None:
    connection.execute(
        "INSERT INTO accounts (id, email, login)"  # with its id, so that the sequence is used once
        " SELECT n, 'user' || n || '@example.com', %s || ' ' || n FROM nextval('accounts_id_seq') AS n",
        (random.choice(_NAMES),),
    )


def _activate_one(connection: psycopg.Connection) -> None:
    connection.execute(
        "UPDATE tokens SET consumed_at = mailroom_epoch() WHERE id ="
        " (SELECT id FROM tokens WHERE action = 'activation' AND consumed_at IS NULL AND expires_at > mailroom_epoch()"
        " AND created_at < mailroom_epoch() - 2 ORDER BY id DESC LIMIT 1)"  # its mail was printed before
    )


def _recover_one(connection: psycopg.Connection) -> None:
    connection.execute(
        "INSERT INTO tokens (action, account)"
        " SELECT 'password_recovery', id FROM accounts a WHERE status = 'active' AND NOT EXISTS"
        " (SELECT FROM tokens t WHERE t.account = a.id AND t.action = 'password_recovery') ORDER BY random() LIMIT 1"
    )
