"""Sample accounts, a few a second: sign-ups, activations, and recoveries of active accounts."""

import random
import threading

import psycopg

_NAMES = ("ada", "björn", "chloé", "dmitri", "emre", "fatima", "grace", "hiroshi", "ines", "o'neil, jr.", '"kit" k.')
_PAUSE = 0.4  # seconds


def sign_up_samples(url: str, stop: threading.Event) -> None:
    """Write samples until told to stop."""
    with psycopg.connect(url, autocommit=True) as connection:
        while not stop.wait(_PAUSE):
            _sign_up(connection)
            if random.random() < 0.5:  # noqa: PLR2004 - half of them
                _activate_one(connection)
            if random.random() < 0.3:  # noqa: PLR2004 - fewer forget their password
                _recover_one(connection)


def _sign_up(connection: psycopg.Connection) -> None:
    connection.execute(
        "INSERT INTO accounts (id, email, login)"  # with its id: the sequence is drawn from once
        " SELECT n, 'user' || n || '@example.com', %s || ' ' || n FROM nextval('accounts_id_seq') AS n",
        (random.choice(_NAMES),),
    )


def _activate_one(connection: psycopg.Connection) -> None:
    connection.execute(
        "UPDATE tokens SET consumed_at = mailroom_epoch() WHERE id ="
        " (SELECT id FROM tokens WHERE action = 'activation' AND consumed_at IS NULL ORDER BY id DESC LIMIT 1 OFFSET 5)"
    )


def _recover_one(connection: psycopg.Connection) -> None:
    connection.execute(
        "INSERT INTO tokens (action, account)"
        " SELECT 'password_recovery', id FROM accounts WHERE status = 'active' ORDER BY random() LIMIT 1"
    )
