"""The ledger's steps, one at a time, and the races between two real sessions."""

from collections.abc import Iterator

import pytest

from tests.support.ledger import Steps, race
from tests.support.postgres import Connection, Database


@pytest.fixture
def other(database: Database) -> Iterator[Steps]:
    """Another process, in a session of its own."""
    with database.connect() as connection:
        yield Steps(connection, "other")


def lease_ends(database: Database, token: int) -> None:
    database.run("UPDATE deliveries SET due_at = now() - interval '1 ms' WHERE token = %s", token)


def test_claim_takes_the_oldest_up_to_the_limit(database: Database, steps: Steps) -> None:
    """Waiting tokens are claimed in the order in which they were created."""
    tokens = [database.sign_up(name)[0] for name in ("ann", "ben", "cid")]
    assert steps.claim(2) == tokens[:2]
    assert steps.claim(2) == tokens[2:]
    assert steps.claim(2) == []


def test_claim_moves_last_seq(database: Database, steps: Steps) -> None:
    """jobs.last_seq is the highest token id handed out."""
    database.sign_up("ann", "ben", "cid")
    steps.claim(2)
    assert database.one("SELECT last_seq FROM jobs") == 2


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("UPDATE tokens SET expires_at = mailroom_epoch()", "the token expired"),
        ("UPDATE tokens SET consumed_at = 1", "the token was consumed"),
        ("UPDATE accounts SET status = 'suspended'", "the account is suspended"),
        ("UPDATE accounts SET status = 'active'", "the account is active"),
    ],
)
@pytest.mark.parametrize("moment", ["claim", "begin"])
def test_stale_token_is_skipped_with_its_reason(
    database: Database, steps: Steps, change: str, why: str, moment: str
) -> None:
    """A token that became stale while it waited, or in the pipe, is not mailed. The ledger records why."""
    (token,) = database.sign_up("ann")
    if moment == "begin":
        steps.claim()
    database.run(change)
    assert steps.claim() == [] if moment == "claim" else steps.begin([token]) == {token: why}
    assert database.run("SELECT state::text, error FROM deliveries") == [("skipped", why)]


def test_recovery_is_claimed_while_its_account_is_active(database: Database, steps: Steps) -> None:
    """A recovery is for active accounts, and an activation for provisioned ones."""
    database.sign_up("ann")
    token = database.recovery("ann")
    assert steps.claim() == [token]


def test_claim_takes_a_row_whose_lease_ran_out(database: Database, steps: Steps, other: Steps) -> None:
    """Any collector may claim it then, and the old holder has lost it."""
    (token,) = database.sign_up("ann")
    steps.claim()
    assert other.claim() == []
    lease_ends(database, token)
    assert other.claim() == [token]
    assert steps.extend([token]) == []
    assert steps.release([token]) == 0


def test_lapsed_sending_is_a_doubt(database: Database, steps: Steps, other: Steps) -> None:
    """A row whose sender never recorded an outcome may have been mailed twice, and is counted as a doubt."""
    (token,) = database.sign_up("ann")
    steps.claim()
    steps.begin([token])
    lease_ends(database, token)
    assert other.claim() == [token]
    assert database.one("SELECT doubts FROM deliveries") == 1


def test_extend_keeps_only_what_is_held(database: Database, steps: Steps, other: Steps) -> None:
    """Extending returns the rows that are still held.

    Rows that a sender has begun or another holder has are left out.
    """
    tokens = database.sign_up("ann", "ben", "cid")
    steps.claim(2)
    other.claim(1)
    steps.begin([tokens[0]])
    assert steps.extend(tokens) == [tokens[1]]


def test_release_gives_back_at_once_and_in_order(database: Database, steps: Steps, other: Steps) -> None:
    """Released rows are due now and come before younger ones."""
    old = database.sign_up("ann", "ben")
    steps.claim()
    young = database.sign_up("cid")
    assert steps.release(old) == 2
    assert other.claim() == old + young


def test_emitted_is_done_until_somebody_acknowledges(database: Database, steps: Steps) -> None:
    """Without an acknowledging sender an emitted row is settled.

    The first acknowledging sender takes over rows that may still be mailed.
    """
    tokens = database.sign_up("ann", "ben")
    steps.claim()
    assert steps.emitted(tokens) == 2
    assert steps.claim() == []
    database.run("UPDATE tokens SET consumed_at = 1 WHERE id = %s", tokens[0])
    assert steps.acknowledge() == 1
    assert steps.acknowledge() == 0
    assert steps.claim() == [tokens[1]]


def test_emitted_does_nothing_once_acknowledged(database: Database, steps: Steps) -> None:
    """In an acknowledged queue, printing a row does not settle it."""
    tokens = database.sign_up("ann")
    steps.acknowledge()
    steps.claim()
    assert steps.emitted(tokens) == 0
    assert database.states() == {"claimed": 1}


def test_set_aside_fails_only_what_is_held(database: Database, steps: Steps, other: Steps) -> None:
    """Only the holder of a row can record that it can't be printed. The row fails with the reason."""
    (token,) = database.sign_up("ann")
    steps.claim()
    assert other.reject(token, "no") == 0
    assert steps.reject(token, "its login holds a control character") == 1
    assert database.run("SELECT state::text, error FROM deliveries") == [
        ("failed", "its login holds a control character")
    ]


def test_begin_is_for_one_sender_only(database: Database, steps: Steps, other: Steps) -> None:
    """Of two copies of a row in two pipes, one is sent."""
    (token,) = database.sign_up("ann")
    steps.claim()
    assert steps.begin([token]) == {token: None}
    assert other.begin([token]) == {token: "another call has begun it"}
    assert steps.begin([token]) == {token: None}
    assert database.one("SELECT attempts FROM deliveries") == 1


@pytest.mark.parametrize(
    ("outcome", "why"),
    [
        ("sent", "already sent"),
        ("failed", "already failed"),
        ("later", "it is to be tried again later"),
        ("release", None),
    ],
)
def test_begin_after_settle(database: Database, steps: Steps, outcome: str, why: str | None) -> None:
    """A settled row is not begun again from an old copy of its line. A released row is."""
    (token,) = database.sign_up("ann")
    steps.claim()
    steps.begin([token])
    assert steps.settle(token, outcome, delay_ms=60_000 if outcome == "later" else 0)
    assert steps.begin([token]) == {token: why}


def test_begin_takes_what_was_emitted(database: Database, steps: Steps) -> None:
    """A line that was printed just before its sender acknowledged is sent once."""
    tokens = database.sign_up("ann")
    steps.claim()
    steps.emitted(tokens)
    assert steps.begin(tokens) == {tokens[0]: None}


def test_begin_names_unknown_and_doubled_secrets(database: Database) -> None:
    """A secret without a token is refused. A copy within the same call counts once."""
    database.sign_up("ann")
    secret = database.one("SELECT secret FROM tokens")
    rows = database.run(
        "SELECT place, refused FROM mailroom_begin('mailroom', 'me', 1000, %s)", [b"nobody", secret, secret]
    )
    assert rows == [(1, "no such token in this queue"), (2, None)]


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ("sent", ("sent", 1, 0, "m", True)),
        ("failed", ("failed", 1, 0, "m", True)),
        ("later", ("pending", 1, 0, "m", False)),
        ("unknown", ("pending", 1, 1, "m", False)),
        ("release", ("pending", 0, 0, "m", False)),
    ],
)
def test_settle_records_the_outcome(
    database: Database, steps: Steps, outcome: str, expected: tuple[object, ...]
) -> None:
    """Each outcome sets the state, attempts and doubts."""
    (token,) = database.sign_up("ann")
    steps.claim()
    steps.begin([token])
    assert steps.settle(token, outcome)
    assert database.run("SELECT state::text, attempts, doubts, message_id, settled_at IS NOT NULL FROM deliveries") == [
        expected
    ]


@pytest.mark.parametrize("outcome", ["sent", "failed"])
def test_repeated_settle_answers_the_same(database: Database, steps: Steps, outcome: str) -> None:
    """A sender that lost the database's answer may ask again."""
    (token,) = database.sign_up("ann")
    steps.claim()
    steps.begin([token])
    assert steps.settle(token, outcome)
    assert steps.settle(token, outcome)


def test_settle_by_a_former_holder_is_missed(database: Database, steps: Steps, other: Steps) -> None:
    """A sender whose lease ran out can't overwrite a row that another sender has begun."""
    (token,) = database.sign_up("ann")
    steps.claim()
    steps.begin([token])
    lease_ends(database, token)
    other.claim()
    other.begin([token])
    assert not steps.settle(token, "sent")
    assert database.state(token) == "sending"


def test_sent_is_recorded_after_the_lease_unless_another_has_begun(
    database: Database, steps: Steps, other: Steps
) -> None:
    """A sender that lost its database for longer than a lease can still record what it sent."""
    (token,) = database.sign_up("ann")
    steps.claim()
    steps.begin([token])
    lease_ends(database, token)
    other.claim()
    assert not steps.settle(token, "later")
    assert steps.settle(token, "sent")
    assert other.begin([token]) == {token: "already sent"}


def test_retry_comes_before_the_end_of_the_token(database: Database, steps: Steps) -> None:
    """A backoff takes at most half of the remaining lifetime. When the token expires, the last reason is kept."""
    (token,) = database.sign_up("ann")
    database.run("UPDATE tokens SET expires_at = mailroom_epoch() + 21")
    steps.claim()
    steps.begin([token])
    steps.settle(token, "later", delay_ms=60_000)
    assert 8 < database.one("SELECT extract(epoch FROM due_at - now()) FROM deliveries") <= 10.5
    lease_ends(database, token)
    database.run("UPDATE tokens SET expires_at = mailroom_epoch()")
    steps.claim()
    assert database.one("SELECT error FROM deliveries") == "the token expired; last try: why"


def test_retry_waits_a_second_even_at_the_end_of_the_token(database: Database, steps: Steps) -> None:
    """Half of the remaining lifetime would be too little: the calls would follow each other without a pause."""
    (token,) = database.sign_up("ann")
    database.run("UPDATE tokens SET expires_at = mailroom_epoch() + 1")
    steps.claim()
    steps.begin([token])
    steps.settle(token, "later", delay_ms=60_000)
    assert database.one("SELECT due_at > now() + interval '0.8 s' FROM deliveries")


def test_later_is_due_after_its_delay(database: Database, steps: Steps) -> None:
    """A row that is tried again waits, and the count returns for how long."""
    (token,) = database.sign_up("ann")
    steps.claim()
    steps.begin([token])
    steps.settle(token, "later", delay_ms=50_000)
    waiting, next_due_ms = steps.check()
    assert waiting == 0
    assert next_due_ms is not None
    assert 40_000 < next_due_ms <= 50_000


def test_rolled_back_sign_up_leaves_nothing(database: Database, steps: Steps) -> None:
    """A transaction that was never committed causes no mail."""
    with database.connection.transaction(force_rollback=True):
        database.run("INSERT INTO accounts (email, login) VALUES ('a@b.c', 'ann')")
    assert steps.check() == (0, None)


def test_lower_id_that_commits_later_is_claimed(database: Database, steps: Steps) -> None:
    """Of two overlapping transactions, the one that commits last loses no row."""
    with database.connect() as slow:
        with slow.transaction():
            slow.execute("INSERT INTO accounts (email, login) VALUES ('s@b.c', 'slow')")
            fast = database.sign_up("fast")
            assert steps.claim() == fast
        assert steps.claim() == [row[0] for row in database.tokens_of("slow")]


def test_claims_at_once_share_the_rows(database: Database) -> None:
    """Two collectors that claim at the same moment get every row, and no row twice."""
    database.sign_up_many(2000)
    claimed: list[int] = []

    def drain(connection: Connection, holder: str) -> None:
        steps = Steps(connection, holder)
        while rows := steps.claim(7):
            claimed.extend(rows)

    with database.connect() as one, database.connect() as two:
        race(lambda: drain(one, "one"), lambda: drain(two, "two"))
    assert sorted(claimed) == list(range(1, 2001))


def test_begin_does_not_wait_for_a_claim_that_is_not_committed(database: Database) -> None:
    """A begin that meets a claim in progress gets the code "locked". Asked again, it sees the result of the claim."""
    (token,) = database.sign_up("ann")
    with database.connect() as claiming, database.connect() as beginning:
        sender = Steps(beginning)
        with claiming.transaction():
            Steps(claiming, "collector").claim()
            assert sender.begin([token]) == {token: "locked by another transaction"}
        assert sender.begin([token]) == {token: None}
    assert database.state(token) == "sending"


def test_locked_row_delays_no_other_row(database: Database) -> None:
    """A long transaction that deletes one account does not stop begin and extend for the other rows."""
    bad, good = database.sign_up("bad", "good")
    collector, sender = Steps(database.connection, "collector"), Steps(database.connection, "sender")
    collector.claim()
    with database.connect() as application:
        application.execute("BEGIN; DELETE FROM accounts WHERE login = 'bad'")
        assert sender.begin([bad, good]) == {bad: "locked by another transaction", good: None}
        assert database.state(good) == "sending"
        assert collector.extend([bad, good]) == []
        application.execute("ROLLBACK")
    assert sender.begin([bad]) == {bad: None}


def test_row_that_is_deleted_is_refused(database: Database) -> None:
    """It is locked while the deletion can be rolled back. After the commit it can't be sent."""
    (token,) = database.sign_up("ann")
    Steps(database.connection, "collector").claim()
    secret = database.one("SELECT secret FROM tokens")
    begin = "SELECT token, code FROM mailroom_begin_rows('mailroom', 'me', 30000, %s, NULL)"
    with database.connect() as application:
        with application.transaction():
            application.execute("DELETE FROM accounts")
            assert database.run(begin, [secret]) == [(token, "locked")]
        assert database.run(begin, [secret]) == [(None, "unknown")]


def test_claim_races_with_a_link_that_is_used(database: Database, steps: Steps) -> None:
    """A claim does not wait for a token that is being consumed. The later begin sees that it was consumed."""
    (token,) = database.sign_up("ann")
    with database.connect() as application, application.transaction():
        application.execute("UPDATE tokens SET consumed_at = 1")
        assert steps.claim() == [token]
    assert steps.begin([token]) == {token: "the token was consumed"}


@pytest.mark.parametrize(("outcome", "taken"), [("later", False), ("failed", False), ("sent", True)])
def test_settle_races_with_a_claim_of_the_lapsed_row(database: Database, outcome: str, taken: bool) -> None:
    """During the other collector's claim, settle returns "locked". Repeated, it decides by the committed row."""
    (token,) = database.sign_up("ann")
    steps = Steps(database.connection, "slow")
    steps.claim()
    steps.begin([token])
    lease_ends(database, token)
    with database.connect() as claiming, database.connect() as settling:
        with claiming.transaction():
            assert Steps(claiming, "next").claim() == [token]
            assert Steps(settling, "slow").settle_code(token, outcome) == "locked"
        assert Steps(settling, "slow").settle_code(token, outcome) == ("settled" if taken else "missed")
    assert database.state(token) == ("sent" if taken else "claimed")


def test_extend_races_with_begin(database: Database, steps: Steps) -> None:
    """A collector that extends while a sender begins learns that it no longer holds the row."""
    (token,) = database.sign_up("ann")
    steps.claim()
    with database.connect() as beginning:
        with beginning.transaction():
            Steps(beginning, "sender").begin([token])
            assert steps.extend([token]) == []
        assert steps.extend([token]) == []


def test_claim_reads_in_proportion_to_its_batch(database: Database, steps: Steps) -> None:
    """A claim uses the index of due rows, and reads neither settled rows nor rows with a lease."""
    database.sign_up_many(20_000)
    database.run("UPDATE deliveries SET state = 'sent', settled_at = now() WHERE token <= 15000")
    steps.claim(4000)
    database.run("VACUUM ANALYZE deliveries")
    plan = database.one(
        "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) SELECT token FROM deliveries d WHERE d.queue = 'mailroom'"
        " AND d.settled_at IS NULL AND d.due_at <= now() ORDER BY d.due_at, d.token LIMIT 10 FOR UPDATE SKIP LOCKED"
    )[0]["Plan"]
    nodes = [plan]
    for node in nodes:
        nodes += node.get("Plans", [])
    assert "deliveries_due" in {node.get("Index Name") for node in nodes}
    assert plan["Shared Hit Blocks"] + plan["Shared Read Blocks"] < 100
