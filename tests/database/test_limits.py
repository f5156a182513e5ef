"""Newest only, a limit of mails to an account within a time, and a life that begins with the mail.

Times are moved in the database, so no test waits for them.
"""

import threading
from collections.abc import Sequence
from typing import Any

import pytest

from mailroom_collector.schema.migrations import migrations
from mailroom_collector.schema.migrator import Migrator
from tests.support.ledger import Steps, add_invitation, race
from tests.support.postgres import Database, Server

REPLACED = "a newer token took its place"
LIMITED = "the account reached its limit of mails: 5 in 900 s"


@pytest.fixture
def ann(database: Database) -> int:
    """An active account that has no token."""
    return account(database, "ann")


def account(database: Database, login: str) -> int:
    return int(
        database.one(
            "INSERT INTO accounts (email, login, status) VALUES (%s, %s, 'active') RETURNING id",
            f"{login}@example.com",
            login,
        )
    )


def ask(database: Database, account: int, count: int = 1, action: str = "password_recovery") -> list[int]:
    """Insert tokens, each by a statement of its own."""
    query = "INSERT INTO tokens (action, account) VALUES (%s, %s) RETURNING id"
    return [database.one(query, action, account) for _ in range(count)]


def settle(database: Database, tokens: Sequence[int], state: str) -> None:
    """Put deliveries into this state, at this moment."""
    at = "NULL" if state in ("pending", "claimed", "sending") else "clock_timestamp()"
    database.run(f"UPDATE deliveries SET state = '{state}', settled_at = {at} WHERE token = ANY (%s)", tokens)


def mailed(database: Database, account: int, count: int = 1, state: str = "sent") -> list[int]:
    """Insert tokens whose deliveries are in this state."""
    tokens = ask(database, account, count)
    settle(database, tokens, state)
    return tokens


def errors(database: Database, tokens: Sequence[int]) -> list[tuple[str, str | None]]:
    rows = {
        token: (state, error)
        for token, state, error in database.run("SELECT token, state::text, error FROM deliveries")
    }
    return [rows[token] for token in tokens]


def allow(database: Database, **columns: Any) -> None:
    """Set columns of all actions."""
    for column, value in columns.items():
        database.run(f"UPDATE mailroom_actions SET {column} = %s", value)


def move(database: Database, seconds: float) -> None:
    """Let time pass for what was mailed."""
    database.run("UPDATE deliveries SET settled_at = settled_at - %s * interval '1 s'", seconds)


# Newest only


@pytest.mark.parametrize("most_mails", [None, 5])
def test_of_three_tokens_only_the_newest_is_mailed(
    database: Database, steps: Steps, ann: int, most_mails: int | None
) -> None:
    """The claim skips the others. `status` and `failed` have the reason."""
    allow(database, most_mails=most_mails)
    first, second, third = ask(database, ann, 3)
    assert steps.claim() == [third]
    assert errors(database, [first, second]) == [("skipped", REPLACED)] * 2
    assert ("skipped", REPLACED, 2) in database.run("SELECT state, reason, last_day FROM mailroom_recent('mailroom')")
    not_mailed = "SELECT token, error, stale FROM mailroom_not_mailed('mailroom', NULL, NULL, %s, NULL, NULL, 9)"
    retry = "SELECT token, code FROM mailroom_retry_rows('mailroom', %s, false)"
    assert database.run(retry, [first, second]) == [(first, "stale"), (second, "stale")]
    assert sorted(database.run(not_mailed, "NEWER token")) == [(token, REPLACED, REPLACED) for token in (first, second)]


@pytest.mark.parametrize("state", ["pending", "claimed", "sending", "sent", "emitted"])
def test_newer_token_that_is_or_may_be_mailed_takes_its_place(
    database: Database, steps: Steps, ann: int, state: str
) -> None:
    """The older one is skipped when it is claimed, even if the newer one is not due."""
    old, new = ask(database, ann, 2)
    settle(database, [new], state)
    database.run("UPDATE deliveries SET due_at = now() + interval '1 h' WHERE token = %s", new)
    assert steps.claim() == []
    assert errors(database, [old]) == [("skipped", REPLACED)]


def test_newer_token_replaces_none_that_is_claimed(database: Database, steps: Steps, ann: int) -> None:
    """Otherwise a stream of requests would replace each token just before its mail. One that comes back is replaced."""
    (old,) = ask(database, ann)
    assert steps.claim() == [old]
    (new,) = ask(database, ann)
    assert steps.begin([old]) == {old: None}
    steps.settle(old, "later")
    assert steps.claim() == [new]
    assert errors(database, [old]) == [("skipped", f"{REPLACED}; last try: why")]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE tokens SET expires_at = 1 WHERE id = %s",
        "UPDATE tokens SET consumed_at = 1 WHERE id = %s",
        "UPDATE deliveries SET state = 'failed', settled_at = now() WHERE token = %s",
        "UPDATE deliveries SET state = 'skipped', settled_at = now() WHERE token = %s",
        "UPDATE tokens SET action = 'activation' WHERE id = %s",
        "UPDATE tokens SET account = (SELECT id FROM accounts WHERE login = 'ben') WHERE id = %s",
        "DELETE FROM deliveries WHERE token = %s",
        "UPDATE mailroom_actions SET newest_only = false WHERE %s > 0",
    ],
)
def test_newer_token_that_is_not_mailed_takes_no_place(database: Database, steps: Steps, ann: int, change: str) -> None:
    """It expired, was consumed, failed or skipped, or is of another action or account; or the action allows all."""
    account(database, "ben")
    mailed(database, ann, 1, "failed")  # so that it is not the only one
    old, new = ask(database, ann, 2)
    database.run(change, new)
    assert old in steps.claim()
    assert steps.begin([old]) == {old: None}


def test_newest_that_may_be_mailed_takes_the_place_of_all_before(database: Database, steps: Steps, ann: int) -> None:
    """A still newer one has expired."""
    first, second, expired = ask(database, ann, 3)
    database.run("UPDATE tokens SET expires_at = 1 WHERE id = %s", expired)
    assert steps.claim() == [second]
    assert errors(database, [first]) == [("skipped", REPLACED)]


def test_newer_token_of_another_queue_only_takes_no_place(database: Database, steps: Steps, ann: int) -> None:
    """Each queue judges by its own deliveries."""
    database.run("ALTER TYPE job_type ADD VALUE 'second'")
    database.run("INSERT INTO jobs (job_type) VALUES ('second')")
    old, new = ask(database, ann, 2)
    database.run(
        "UPDATE deliveries SET state = 'failed', settled_at = now() WHERE token = %s AND queue = 'second'", new
    )
    assert Steps(database.connection, queue="second").claim() == [old]
    assert steps.claim() == [new]


# Most mails


def test_sixth_mail_within_the_time_is_skipped(database: Database, steps: Steps, ann: int) -> None:
    """A new database has 5 in 900 s. The insert does not fail. `status` and `failed` have the reason."""
    mailed(database, ann, 5)
    (sixth,) = ask(database, ann)
    assert database.run("SELECT token FROM mailroom_oldest('mailroom')") == []
    assert steps.claim() == []
    assert errors(database, [sixth]) == [("skipped", LIMITED)]
    assert ("skipped", "the account reached its limit of mails: N in N s", 1) in database.run(
        "SELECT state, reason, last_day FROM mailroom_recent('mailroom')"
    )
    assert database.run(
        "SELECT token, stale FROM mailroom_not_mailed('mailroom', NULL, 'ann', 'limit of mails', NULL, NULL, 9)"
    ) == [(sixth, LIMITED)]
    retry = "SELECT code, reason FROM mailroom_retry_rows('mailroom', ARRAY[%s::bigint], false)"
    assert database.run(retry, sixth) == [("stale", LIMITED)]
    move(database, 900)
    assert database.run(retry, sixth) == [("retried", None)]
    assert steps.claim() == [sixth]
    assert steps.begin([sixth]) == {sixth: None}


@pytest.mark.parametrize(
    ("state", "counts"),
    [("sent", True), ("emitted", True), ("sending", True), ("failed", False), ("skipped", False), ("claimed", False)],
)
def test_what_counts_as_a_mail(database: Database, steps: Steps, ann: int, state: str, counts: bool) -> None:
    """What was sent, may be being sent, or was handed out counts. What was not mailed does not."""
    mailed(database, ann, 5, state)
    database.run("UPDATE deliveries SET due_at = now() + interval '1 h'")
    (token,) = ask(database, ann)
    assert steps.claim() == ([] if counts else [token])


def test_limit_holds_at_the_begin(database: Database, steps: Steps, ann: int) -> None:
    """A token that was claimed before is skipped there. To begin a token again is no other mail."""
    allow(database, newest_only=False)
    first, second = ask(database, ann, 2)
    assert steps.claim() == [first, second]
    mailed(database, ann, 4)
    assert steps.begin([second]) == {second: None}
    assert steps.begin([second]) == {second: None}
    assert steps.begin([first]) == {first: LIMITED}


def test_limit_is_one_of_an_account_an_action_and_a_queue(database: Database, steps: Steps, ann: int) -> None:
    """Mails of another account, action or queue do not count."""
    database.run("ALTER TYPE job_type ADD VALUE 'second'")
    database.run("INSERT INTO jobs (job_type) VALUES ('second')")
    ben = account(database, "ben")
    mailed(database, ben, 5)
    database.run("UPDATE tokens SET action = 'activation' WHERE id = ANY (%s)", mailed(database, ann, 5))
    mailed(database, ann, 1, "failed")  # so that it is not the only one
    (token,) = ask(database, ann)
    assert steps.claim() == [token]
    mailed(database, ann, 5)
    day_ago = "UPDATE deliveries SET settled_at = now() - interval '1 day' WHERE queue = 'mailroom' AND state = 'sent'"
    database.run(day_ago)
    (token,) = ask(database, ann)
    assert steps.claim() == [token]


def test_limit_can_be_turned_off_and_set(database: Database, steps: Steps, ann: int) -> None:
    """With null there is none. The reason names the numbers."""
    mailed(database, ann, 5)
    allow(database, most_mails=2, most_within=60, newest_only=False)
    (token,) = ask(database, ann)
    steps.claim()
    assert errors(database, [token]) == [("skipped", "the account reached its limit of mails: 2 in 60 s")]
    allow(database, most_mails=None)
    (token,) = ask(database, ann)
    assert steps.claim() == [token]


def test_two_sessions_never_exceed_the_limit(database: Database, ann: int) -> None:
    """Of two begins at the same moment one gets `locked`, or counts the other. It is decided anew each time."""
    allow(database, newest_only=False, most_mails=1)
    with database.connect() as one, database.connect() as other:
        pair = [Steps(one, "one"), Steps(other, "other")]
        for _ in range(20):
            tokens = ask(database, ann, 2)
            assert Steps(database.connection).claim() == tokens
            barrier = threading.Barrier(2)

            def begin(place: int, tokens: list[int] = tokens, barrier: threading.Barrier = barrier) -> None:
                barrier.wait()
                while "locked by another transaction" in pair[place].begin([tokens[place]]).values():
                    pass

            race(lambda begin=begin: begin(0), lambda begin=begin: begin(1))  # type: ignore[misc]
            assert sorted(state for state, _ in errors(database, tokens)) == ["sending", "skipped"]
            database.run("DELETE FROM tokens")


@pytest.mark.parametrize("was_alone", [True, False])
def test_begin_that_is_not_committed_locks_its_account(database: Database, ann: int, was_alone: bool) -> None:
    """Until it commits, no other mail of the account is begun. That holds for the account's only token too.

    Other accounts are not locked.
    """
    allow(database, newest_only=False, most_mails=1)
    tokens = ask(database, ann, 1 if was_alone else 3)
    _, ben = ask(database, account(database, "ben"), 2)
    database.run("SET statement_timeout = '5s'")
    with database.connect() as session:
        mine, others = Steps(session, "mine"), Steps(database.connection, "others")
        with session.transaction():
            assert mine.begin([tokens[-1]]) == {tokens[-1]: None}
            (late,) = ask(database, ann)
            assert others.begin([late]) == {late: "locked by another transaction"}
            assert others.begin([ben]) == {ben: None}
        assert others.begin([late]) == {late: "the account reached its limit of mails: 1 in 900 s"}


def test_account_is_locked_by_its_oldest_delivery(database: Database, steps: Steps, ann: int) -> None:
    """A still older token has no delivery in this queue."""
    oldest, *_, token = ask(database, ann, 3)
    database.run("DELETE FROM deliveries WHERE token = %s", oldest)
    assert steps.begin([token]) == {token: None}


def test_limit_holds_for_a_token_whose_newer_one_expired(database: Database, ann: int) -> None:
    """It is `locked` as long as another mail of the account is being begun, whatever else is in its call."""
    old, mine = ask(database, ann, 2)
    (expired,) = ask(database, ann)
    database.run("UPDATE tokens SET expires_at = 1 WHERE id = %s", expired)
    database.run("UPDATE mailroom_actions SET most_mails = 1")
    locked = "locked by another transaction"
    with database.connect() as session, session.transaction():
        assert Steps(session, "mine").begin([mine]) == {mine: None}
        assert Steps(database.connection).begin([old, expired]) == {old: locked, expired: locked}


def test_begin_judges_one_token_of_an_account_at_a_time(database: Database, steps: Steps, ann: int) -> None:
    """Of several in one call that is the newest. The others are `locked`: ask again."""
    allow(database, newest_only=False)
    tokens = ask(database, ann, 3)
    locked = "locked by another transaction"
    (alone,) = ask(database, account(database, "ben"))
    assert steps.begin([*tokens, alone]) == dict(zip([*tokens, alone], (locked, locked, None, None), strict=True))
    assert steps.begin(tokens[:2]) == {tokens[0]: locked, tokens[1]: None}


def test_flood_for_one_account_fails_no_insert_and_costs_little(database: Database, steps: Steps, ann: int) -> None:
    """With 20,000 tokens of an account, a claim and a begin of one read some hundreds of index entries."""
    query = "INSERT INTO tokens (action, account) SELECT 'password_recovery', %s FROM generate_series(1, 20000)"
    database.run(query, ann)
    database.run("UPDATE deliveries SET due_at = now() + interval '1 h'")
    database.run("VACUUM ANALYZE")
    database.run("UPDATE deliveries SET due_at = now() - interval '2 h' WHERE token = (SELECT min(id) FROM tokens)")
    database.run("UPDATE tokens SET expires_at = 1 WHERE id > (SELECT min(id) FROM tokens)")
    before = entries_read(database)
    assert steps.claim() == [database.one("SELECT min(id) FROM tokens")]
    (late,) = ask(database, ann)
    assert steps.claim() == [late]
    assert steps.begin([late]) == {late: None}
    assert database.one("SELECT mailroom_may_mail(%s, 'password_recovery')", ann) == 0
    assert entries_read(database) - before < 1500


def entries_read(database: Database) -> int:
    """Return how many index entries of the large tables were read."""
    database.count_reads()
    return int(
        database.one(
            "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname IN ('accounts', 'tokens', 'deliveries')"
        )
    )


def may_mail(database: Database, account: int, action: str = "password_recovery") -> int:
    return int(database.one("SELECT mailroom_may_mail(%s, %s)", account, action))


def test_application_can_ask_how_long_to_wait(database: Database, ann: int) -> None:
    """It gets whole seconds until a new token would be mailed: 0 for an account with room."""
    mailed(database, ann, 4)
    assert may_mail(database, ann) == 0
    move(database, 100)
    mailed(database, ann)
    assert may_mail(database, ann) in (799, 800)
    move(database, 799.9)
    assert may_mail(database, ann) == 1
    mailed(database, ann, 5, "failed")
    assert may_mail(database, ann) == 1
    assert may_mail(database, ann, "activation") == 0
    assert may_mail(database, ann + 1) == 0
    move(database, 5000)
    assert may_mail(database, ann) == 0
    mailed(database, ann, 5, "emitted")
    assert may_mail(database, ann) in (899, 900)
    allow(database, most_mails=None)
    assert may_mail(database, ann) == 0


def test_what_is_being_sent_waits_for_the_whole_time(database: Database, ann: int) -> None:
    """It may be mailed at any moment."""
    mailed(database, ann, 5, "sending")
    assert may_mail(database, ann) == 900


def test_answer_to_the_application_is_what_the_claim_decides(database: Database, steps: Steps, ann: int) -> None:
    """At the boundary, the wait is 1 s until the moment at which a claim would take the token."""
    for moved in (899.0, 900.0):
        database.run("DELETE FROM tokens")
        mailed(database, ann, 5)
        move(database, moved)
        waits = may_mail(database, ann)
        (token,) = ask(database, ann)
        assert (waits, steps.claim()) == ((1, []) if moved < 900 else (0, [token]))


def test_answer_is_the_longest_of_the_queues(database: Database, ann: int) -> None:
    """A token goes to every queue."""
    database.run("ALTER TYPE job_type ADD VALUE 'second'")
    database.run("INSERT INTO jobs (job_type) VALUES ('second')")
    mailed(database, ann, 5)
    database.run("UPDATE deliveries SET settled_at = now() - interval '880 s' WHERE queue = 'mailroom'")
    database.run("UPDATE deliveries SET settled_at = now() - interval '850 s' WHERE queue = 'second'")
    assert may_mail(database, ann) in (49, 50)


def test_upgraded_database_has_newest_only_and_no_limit(server: Server) -> None:
    """Because an existing application may count on more mails. A new database has the limit."""
    database = Database(server, server.new_database(template="template1"))
    columns = "SELECT name::text, newest_only, most_mails, most_within FROM mailroom_actions ORDER BY number"
    try:
        before = next(one.version for one in migrations() if one.name == "5_guards".partition("_")[2])
        Migrator(database.connection).run(before)
        database.sign_up("ann")
        Migrator(database.connection).run(None)
        assert database.run(columns) == [("activation", True, None, 900), ("password_recovery", True, None, 900)]
        database.run("DELETE FROM tokens; DELETE FROM accounts")
        Migrator(database.connection).run(before)
        Migrator(database.connection).run(None)
        assert database.run(columns) == [("activation", True, 5, 900), ("password_recovery", True, 5, 900)]
    finally:
        database.close()


# A life that begins with the mail

LIFE, WAIT = 600, 5000


@pytest.fixture
def from_mail(database: Database) -> Database:
    database.run("UPDATE mailroom_actions SET life_from = 'mail', lifetime = %s, longest_wait = %s", LIFE, WAIT)
    return database


def lives(database: Database, token: int) -> int:
    """Return for how many seconds the token lives from now on."""
    return int(database.one("SELECT expires_at - mailroom_epoch() FROM tokens WHERE id = %s", token))


def near(seconds: int) -> Any:
    return pytest.approx(seconds, abs=5)


def pass_seconds(database: Database, seconds: int) -> None:
    database.run("UPDATE tokens SET expires_at = expires_at - %s", seconds)


@pytest.mark.parametrize("action", ["password_recovery", "activation"])
def test_life_begins_with_the_first_begin(from_mail: Database, steps: Steps, ann: int, action: str) -> None:
    """Until then the token lives for the longest wait in addition. A second try does not move its end."""
    if action == "activation":
        (token,) = from_mail.sign_up("ben")
    else:
        (token,) = ask(from_mail, ann)
    assert lives(from_mail, token) == near(WAIT + LIFE)
    pass_seconds(from_mail, 1000)
    steps.claim()
    assert lives(from_mail, token) == near(WAIT - 1000 + LIFE)
    steps.begin([token])
    assert lives(from_mail, token) == near(LIFE)
    pass_seconds(from_mail, 100)
    steps.begin([token])
    assert lives(from_mail, token) == near(LIFE - 100)
    steps.settle(token, "later")
    steps.claim()
    assert steps.begin([token]) == {token: None}
    assert lives(from_mail, token) == near(LIFE - 100)


@pytest.mark.parametrize("outcome", ["release", "unknown"])
def test_try_after_a_release_does_not_lengthen_a_life(
    from_mail: Database, steps: Steps, ann: int, outcome: str
) -> None:
    """A release takes the attempt back, so the next begin is the first one again."""
    (token,) = ask(from_mail, ann)
    steps.claim()
    steps.begin([token])
    pass_seconds(from_mail, 100)
    steps.settle(token, outcome)
    steps.claim()
    assert steps.begin([token]) == {token: None}
    assert lives(from_mail, token) == near(LIFE - 100)


def test_shorter_life_of_its_own_is_never_lengthened(from_mail: Database, steps: Steps, ann: int) -> None:
    """A longer one is cut to the action's."""
    short, long = ask(from_mail, ann)[0], ask(from_mail, account(from_mail, "ben"))[0]
    from_mail.run("UPDATE tokens SET expires_at = mailroom_epoch() + id_and_life.life FROM (VALUES (%s::bigint, 60),"
                  " (%s, 9000)) id_and_life (id, life) WHERE tokens.id = id_and_life.id", short, long)  # fmt: skip
    steps.claim()
    steps.begin([short, long])
    assert (lives(from_mail, short), lives(from_mail, long)) == (near(60), near(LIFE))


def test_begin_that_is_refused_begins_no_life(from_mail: Database, steps: Steps, ann: int) -> None:
    """The queue is paused, or the address has changed."""
    (token,) = ask(from_mail, ann)
    steps.claim()
    steps.begin([token], emails=["old@example.com"])
    from_mail.run("SELECT mailroom_pause('mailroom', 'why')")
    steps.begin([token])
    assert lives(from_mail, token) == near(WAIT + LIFE)


def test_begin_of_one_token_leaves_the_others_lives(from_mail: Database, steps: Steps, ann: int) -> None:
    """Neither a token that another sender has begun nor one whose life began with its insert is touched."""
    (theirs,) = ask(from_mail, ann)
    (mine,) = ask(from_mail, account(from_mail, "ben"))
    steps.claim()
    Steps(from_mail.connection, "they").begin([theirs])
    from_mail.run("UPDATE tokens SET expires_at = mailroom_epoch() + 5000")
    from_mail.run("UPDATE mailroom_actions SET life_from = 'insert'")
    (plain,) = ask(from_mail, account(from_mail, "cid"))
    from_mail.run("UPDATE tokens SET expires_at = mailroom_epoch() + 5000 WHERE id = %s", plain)
    assert list(steps.begin([theirs, mine, plain]).values()) == ["another call has begun it", None, None]
    assert [lives(from_mail, token) for token in (theirs, mine, plain)] == [near(5000), near(LIFE), near(5000)]


def test_token_that_another_transaction_has_is_asked_for_again(from_mail: Database, steps: Steps, ann: int) -> None:
    """The begin can't write its expires_at, and does not wait. A foreign key on the token does not matter."""
    (token,) = ask(from_mail, ann)
    steps.claim()
    from_mail.run("SET statement_timeout = '5s'")
    with from_mail.connect() as other:
        for lock, refused in (("FOR KEY SHARE", None), ("FOR UPDATE", "locked by another transaction")):
            from_mail.run("UPDATE deliveries SET state = 'claimed', attempts = 0, holder = 'me'")
            with other.transaction():
                other.execute(f"SELECT FROM tokens WHERE id = {token} {lock}".encode())
                assert steps.begin([token]) == {token: refused}
    assert steps.begin([token]) == {token: None}


@pytest.mark.parametrize(("inserted", "later"), [("mail", "insert"), ("insert", "mail")])
def test_token_keeps_the_rule_of_its_insert(
    from_mail: Database, steps: Steps, ann: int, inserted: str, later: str
) -> None:
    """The action is changed while it waits."""
    from_mail.run("UPDATE mailroom_actions SET life_from = %s", inserted)
    (token,) = ask(from_mail, ann)
    from_mail.run("UPDATE mailroom_actions SET life_from = %s", later)
    pass_seconds(from_mail, 100)
    steps.claim()
    steps.begin([token])
    assert lives(from_mail, token) == near(LIFE if inserted == "mail" else LIFE - 100)


def test_account_that_is_older_than_the_lifetime_gets_no_activation(from_mail: Database) -> None:
    """The longest wait is for the mail, and lets no old account in."""
    from_mail.run(
        "INSERT INTO accounts (email, login, created_at) VALUES ('b@b.c', 'ben', mailroom_epoch() - %s)", LIFE + 1
    )
    assert from_mail.one("SELECT count(*) FROM tokens") == 0


def test_action_of_the_application_has_its_own_rules(database: Database, steps: Steps) -> None:
    """Newest only and the limit are off, and the life begins with the insert, unless its row says otherwise."""
    add_invitation(database)
    database.sign_up("ann")
    database.run("UPDATE deliveries SET due_at = now() + interval '1 h'")
    (ann,) = database.run("SELECT id FROM accounts")[0]
    tokens = ask(database, ann, 7, "invitation")
    assert steps.claim() == tokens
    assert set(steps.begin(tokens).values()) == {None}
    assert database.run("SELECT DISTINCT lifetime FROM deliveries") == [(None,)]
