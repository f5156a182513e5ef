"""The SQL that says what waits, what of it will be late, and what became of a token."""

import time
from typing import Any

import pytest

from mailroom_collector.schema.migrations import migrations
from tests.support.ledger import Steps, add_invitation
from tests.support.postgres import Database, Server

SLOW = 0.01
"""Mails a second. Within the life of a token, 900 s, there are 9 turns, also if the test takes some seconds."""


def outlook(database: Database, rate: float | None = SLOW) -> dict[str | None, dict[str, Any]]:
    """Return the rows by action."""
    columns = "action, waiting, claimed, late, wait_s, late_from - now() <= interval '0' AS is_now, late_from, rate"
    cursor = database.connection.execute(f"SELECT {columns} FROM mailroom_outlook('mailroom', %s)".encode(), (rate,))
    names = [column.name for column in cursor.description or ()]
    return {row[0]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}


def show(database: Database, kind: str, whose: str, most: int = 5) -> list[dict[str, Any]]:
    cursor = database.connection.execute(b"SELECT * FROM mailroom_show('mailroom', %s, %s, %s)", (kind, whose, most))
    names = [column.name for column in cursor.description or ()]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def age(database: Database, seconds: int) -> None:
    """Let everything that waits have been inserted earlier."""
    database.run(
        "UPDATE deliveries SET queued_at = queued_at - %s * interval '1 s', due_at = due_at - %s * interval '1 s'",
        *(seconds, seconds),
    )


def test_rows_of_an_import_are_late_and_people_are_not(database: Database) -> None:
    """At 9 turns in the life of a token, a recovery and a sign-up take two, and an import of 20 the others."""
    database.sign_up_many(20)
    database.sign_up("ann", "ben")
    database.recovery("ann")  # her activation is consumed, and takes no turn
    seen = outlook(database)
    assert {name: (one["waiting"], one["late"], one["wait_s"], one["late_from"]) for name, one in seen.items()} == {
        "activation": (22, 13, 200.0, None),
        "password_recovery": (1, 0, 100.0, None),
    }
    assert sum(one["late"] for one in outlook(database, 1.0).values()) == 0
    assert {one["late"] for one in outlook(database, 0.0).values()} == {21, 1}
    assert all(one["is_now"] and one["wait_s"] is None for one in outlook(database, 0.0).values())


def test_new_token_without_a_head_start_would_be_late(database: Database) -> None:
    """It gets behind the import. One with a head start would only once the import has had it."""
    add_invitation(database, head_start="0", lifetime="600")
    database.sign_up_many(20)
    database.run("UPDATE mailroom_actions SET head_start = 60, lifetime = 600 WHERE number = 2")
    seen = outlook(database)
    assert (seen["invitation"]["is_now"], seen["invitation"]["wait_s"]) == (True, 900.0)
    assert (seen["password_recovery"]["is_now"], seen["password_recovery"]["wait_s"]) == (False, 0.0)
    left = "SELECT extract(epoch FROM late_from - now()) FROM mailroom_outlook('mailroom', %s) WHERE action = %s"
    assert 50 < database.one(left, SLOW, "password_recovery") <= 60


def test_what_expires_takes_no_turn(database: Database) -> None:
    """The rows behind an import that has expired are mailed at once."""
    database.sign_up_many(20)
    database.run("UPDATE tokens SET expires_at = 1")
    database.run("UPDATE mailroom_actions SET head_start = 0")
    database.sign_up("ann")
    assert (outlook(database)["activation"]["late"], outlook(database)["activation"]["wait_s"]) == (20, 100.0)


def test_life_that_begins_with_the_mail_makes_none_late(database: Database) -> None:
    """The tokens of an import wait for a day, if need be."""
    database.run("UPDATE mailroom_actions SET life_from = 'mail'")
    database.sign_up_many(500)
    assert outlook(database)["activation"]["late"] == 0
    assert outlook(database, 0.001)["activation"]["late"] == 500 - 88  # a day and 15 minutes have 88 turns


@pytest.mark.parametrize(
    ("age_s", "sent", "rate", "late"),
    [(0, 0, None, 0), (20, 0, None, 0), (40, 0, 0.0, 20), (40, 15, 0.5, 0), (20, 4, 0.2, 0)],
)
def test_rate_is_what_was_sent_in_30_seconds(
    database: Database, age_s: int, sent: int, rate: float | None, late: int
) -> None:
    """If something has waited for a shorter time, it is what was sent since; unless that is nothing."""
    database.sign_up_many(20 + sent)
    age(database, age_s)
    database.run(
        "UPDATE deliveries SET state = 'sent', settled_at = now() - interval '1 s'"
        " WHERE token IN (SELECT token FROM deliveries ORDER BY token LIMIT %s)",
        sent,
    )
    seen = outlook(database, None)["activation"]
    assert (seen["rate"], seen["late"]) == (rate if rate is None else pytest.approx(rate, rel=0.2), late)


def test_retry_that_waits_is_no_backlog(database: Database, steps: Steps) -> None:
    """It is not in the order, and a quiet queue has no rate."""
    (ann,) = database.sign_up("ann")
    steps.claim(1)
    steps.begin([ann])
    steps.settle(ann, "later", 60_000)
    age(database, 40)
    database.run("UPDATE deliveries SET due_at = now() + interval '1 min'")
    seen = outlook(database, None)["activation"]
    assert (seen["waiting"], seen["late"], seen["wait_s"], seen["rate"]) == (1, 0, 0.0, None)


def test_missing_action_and_deleted_token_are_counted_apart(database: Database) -> None:
    """They take no turn."""
    add_invitation(database)
    database.run("ALTER TYPE token_action ADD VALUE IF NOT EXISTS 'magic_link'")
    (ann, _) = database.sign_up("ann", "ben")
    database.run("UPDATE tokens SET action = 'magic_link' WHERE id = %s", ann)
    database.run("INSERT INTO deliveries (queue, token) VALUES ('mailroom', 999)")
    seen = outlook(database)
    assert {name: (one["waiting"], one["wait_s"], one["late"]) for name, one in seen.items()} == {
        "activation": (1, 100.0, 0),
        "password_recovery": (0, 0.0, 0),
        "invitation": (0, 100.0, 0),
        "magic_link": (1, None, 0),
        None: (1, None, 0),
    }


def test_roles_of_the_version_before_may_ask(server: Server) -> None:
    """Who may read the status may read the outlook, and so may the collector. Who may see failures may see tokens."""
    database = Database(server, server.new_database(template="template1"))
    stamp = time.time_ns()
    may = {"queue_status": {"mailroom_outlook"}, "claim_any": {"mailroom_outlook"}, "not_mailed": {"mailroom_show"}}
    try:
        for migration in migrations()[:6]:
            with database.connection.transaction():
                database.run(migration.up)
        for step in may:
            database.run(f"CREATE ROLE {step}_{stamp}; GRANT EXECUTE ON FUNCTION mailroom_{step} TO {step}_{stamp}")
        with database.connection.transaction():
            database.run(migrations()[6].up)
        asked = "SELECT proname FROM pg_proc WHERE proname = ANY (%s) AND has_function_privilege(%s, oid, 'EXECUTE')"
        names = ["mailroom_outlook", "mailroom_show"]
        got = {step: {name for (name,) in database.run(asked, names, f"{step}_{stamp}")} for step in may}
        assert got == may
    finally:
        for step in may:
            database.run(f"DROP OWNED BY {step}_{stamp}; DROP ROLE {step}_{stamp}")
        database.close()


def test_show_tells_the_order_of_the_claims(database: Database, steps: Steps) -> None:
    """Head starts, an import, a retry that is due, and one that failed too often: what is shown is what is claimed."""
    database.run("UPDATE mailroom_actions SET most_mails = NULL")
    tokens = {login: database.sign_up(login)[0] for login in ("tired", "back", "first", "second")}
    steps.claim(2)
    steps.begin([tokens["tired"], tokens["back"]])
    for login in ("tired", "back"):
        steps.settle(tokens[login], "later", 1)
    age(database, 7200)
    database.run("UPDATE deliveries SET due_at = now() - interval '5 s' WHERE attempts > 0")
    database.run("UPDATE deliveries SET attempts = 3 WHERE token = %s", tokens["tired"])
    database.sign_up_many(12)
    tokens["third"] = database.sign_up("third")[0]
    tokens["recovery"] = database.recovery("first")
    shown = {
        one["token"]: one["ahead"]
        for (token,) in database.run("SELECT id FROM tokens WHERE consumed_at IS NULL")
        for one in show(database, "token", str(token))
    }
    expected = sorted(shown, key=lambda token: shown[token])
    assert [expected.index(tokens[login]) for login in ("recovery", "back", "second", "tired", "third")] == [
        0,
        1,
        2,
        3,
        4,
    ]
    assert sorted(shown.values()) == list(range(17))
    assert steps.claim(100) == expected


def test_show_finds_by_account_token_and_message(database: Database, steps: Steps) -> None:
    """Newest first, and no more than asked for."""
    (first, other) = database.sign_up("ann", "42")
    steps.claim(2)
    steps.begin([first])
    steps.settle(first, "sent")
    second = database.recovery("ann")
    for whose in ("ann", "ann@example.com", str(database.one("SELECT id FROM accounts WHERE login = 'ann'"))):
        rows = show(database, "account", whose)
        assert [(one["token"], one["state"], one["tokens"]) for one in rows] == [
            (second, "pending", 2),
            (first, "sent", 2),
        ]
    assert [one["token"] for one in show(database, "account", "ann", 1)] == [second]
    assert [(one["token"], one["tokens"]) for one in show(database, "account", "ann", 0)] == [(None, 2)]
    assert [one["login"] for one in show(database, "account", "42")] == ["42"]
    assert [(one["login"], one["message_id"]) for one in show(database, "message", "m")] == [("ann", "m")]
    (held,) = show(database, "token", str(other))
    assert (held["state"], held["holder"], held["is_due"], held["ahead"], held["rate"]) == (
        "claimed",
        "me",
        False,
        None,
        None,
    )
    for kind, whose in (("token", "999"), ("token", "x"), ("account", "nobody"), ("message", "x")):
        assert show(database, kind, whose) == []
    database.run("DELETE FROM deliveries WHERE token = %s", second)
    assert [(one["state"], one["stale"]) for one in show(database, "token", str(second))] == [(None, None)]


def test_show_tells_why_a_token_is_not_mailed(database: Database) -> None:
    """Because of its account, its own state, or a newer one."""
    database.run("UPDATE mailroom_actions SET most_mails = NULL, newest_only = true")
    database.sign_up("ann")
    database.recovery("ann")
    old, new = (
        database.one("INSERT INTO tokens (action, account) SELECT 'password_recovery', id FROM accounts RETURNING id")
        for _ in range(2)
    )
    stale = {one["token"]: one["stale"] for one in show(database, "account", "ann")}
    assert (stale[old], stale[new]) == ("a newer token took its place", None)
    database.run("UPDATE tokens SET expires_at = 1 WHERE id = %s", new)
    assert show(database, "token", str(new))[0]["stale"] == "the token expired"
