"""The SQL of the operator's commands: correct, safe beside the steps, and cheap."""

import re
import threading
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from mailroom_collector.operations.metrics.settlement_counts import EXPIRED
from mailroom_collector.schema.migrations import migrations
from tests.support.ledger import Steps
from tests.support.postgres import Connection, Database, Server
from tests.support.waiting import until

READING = {
    "queue_status": "mailroom_queue_status('mailroom')",
    "unsettled": "mailroom_unsettled('mailroom')",
    "oldest": "mailroom_oldest('mailroom')",
    "recent": "mailroom_recent('mailroom')",
    "pulse": "mailroom_pulse('mailroom', 60)",
    "latency": "mailroom_latency('mailroom', '{0.5,0.95}')",
    "settlements": (
        "mailroom_settlements('mailroom', now() - interval '1 hour', '3:3:', pg_current_snapshot(), '{1,10}')"
    ),
    "newest": "mailroom_not_mailed('mailroom', NULL, NULL, NULL, NULL, NULL, 3)",
    "of an hour": "mailroom_not_mailed('mailroom', NULL, NULL, 'why', now() - interval '1 hour', NULL, NULL)",
    "of an account": "mailroom_not_mailed('mailroom', NULL, 'new7', NULL, NULL, NULL, NULL)",
    "of a token": "mailroom_not_mailed('mailroom', '{7}', NULL, NULL, NULL, NULL, NULL)",
    "outlook": "mailroom_outlook('mailroom', NULL)",
    "show an account": "mailroom_show('mailroom', 'account', 'new7', 5)",
    "show a token": "mailroom_show('mailroom', 'token', '7', 5)",
    "retry_rows": "mailroom_retry_rows('mailroom', '{7,20007}', false)",
}
OLD = 20_000


@pytest.fixture(scope="module")
def grown(server: Server) -> Any:
    """Many deliveries settled over the last weeks, as autovacuum leaves them, and some settled now."""
    database = Database(server, server.new_database())
    database.sign_up_many(OLD)
    database.run(
        "UPDATE deliveries SET state = 'sent', settled_at = now() - interval '40 days' + token * interval '2 minutes',"
        " queued_at = now() - interval '40 days' + token * interval '2 minutes'"
    )
    database.run("UPDATE tokens SET expires_at = created_at - 1")
    database.run("VACUUM ANALYZE deliveries")
    database.run(
        "INSERT INTO accounts (email, login) SELECT n || '@example.com', 'new' || n FROM generate_series(1, 50) n"
    )
    steps = Steps(database.connection)
    tokens = steps.claim(20)
    steps.begin(tokens)
    for token in tokens[:10]:
        steps.settle(token, "failed" if token % 2 else "sent")
    yield database
    database.close()


def work(database: Database) -> tuple[int, int]:
    """Return how many full scans of the large tables there were, and how many blocks of the ledger were read."""
    database.count_reads()
    ((whole, blocks),) = database.run(
        "SELECT sum(t.seq_scan), (SELECT heap_blks_read + heap_blks_hit FROM pg_statio_user_tables"
        " WHERE relname = 'deliveries')"
        " FROM pg_stat_user_tables t WHERE t.relname IN ('accounts', 'tokens', 'deliveries')"
    )
    return int(whole), int(blocks)


@pytest.mark.xdist_group("grown")
@pytest.mark.parametrize("question", READING)
def test_question_reads_a_small_part_of_the_ledger(grown: Database, question: str) -> None:
    """It uses an index and reads few blocks, however many rows are settled."""
    ledger = grown.one("SELECT pg_relation_size('deliveries') / 8192")
    whole, blocks = work(grown)
    grown.run(f"SELECT * FROM {READING[question]}")
    after = work(grown)
    assert after[0] == whole
    # Two ranges of the index at the end of the table, which are not summed up yet, twice.
    assert after[1] - blocks < min(ledger / 3, 4 * 32 + 50)


@pytest.mark.xdist_group("grown")
def test_prune_reads_what_it_removes(grown: Database) -> None:
    """The cost of a batch depends on its size, not on its place in the ledger."""
    whole, blocks = work(grown)
    rows = grown.run("SELECT * FROM mailroom_prune('mailroom', '1 day', 5000, 500, true)")
    after = work(grown)
    assert [(row[0], row[2], row[3]) for row in rows] == [(5500, False, 500)]
    assert after[0] == whole
    assert after[1] - blocks < 500


def test_unsettled_rows_are_grouped_by_state_holder_and_lease(database: Database) -> None:
    """Rows wait now or later. A sender counts as one holder, whatever batches it has. Expired leases are counted."""
    tokens = database.sign_up(*"abcdefg")
    database.run("UPDATE deliveries SET due_at = now() + interval '1 min' WHERE token = %s", tokens[6])
    collect, first, second = (
        Steps(database.connection, name) for name in ("collect:h:1:x", "send:h:2:y:1", "send:h:2:y:2")
    )
    collect.claim(4)
    first.begin(tokens[:1])
    second.begin(tokens[1:2])
    database.run("UPDATE deliveries SET due_at = now() - interval '1 s' WHERE token = %s", tokens[3])
    rows = database.run("SELECT state, holder, due, deliveries FROM mailroom_unsettled('mailroom') ORDER BY 1, 3")
    assert rows == [
        ("claimed", "collect:h:1:x", False, 1),
        ("claimed", "collect:h:1:x", True, 1),
        ("pending", None, False, 1),
        ("pending", None, True, 2),
        ("sending", "send:h:2:y", False, 2),
    ]


def test_oldest_is_the_first_that_may_still_be_mailed(database: Database, steps: Steps) -> None:
    """It is not expired, consumed or suspended. It may wait or be in a call."""
    expired, suspended, ann, _ = database.sign_up("expired", "suspended", "ann", "ben")
    database.run("UPDATE tokens SET expires_at = 1 WHERE id = %s", expired)
    database.run("UPDATE accounts SET status = 'suspended' WHERE login = 'suspended'")
    assert suspended < ann
    assert database.one("SELECT token FROM mailroom_oldest('mailroom')") == ann
    steps.claim()
    steps.begin([ann])
    assert database.one("SELECT token FROM mailroom_oldest('mailroom')") == ann
    steps.settle(ann, "sent")
    assert database.one("SELECT token FROM mailroom_oldest('mailroom')") == ann + 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        ("MessageRejected: Email address is not verified: ann@example.com", "MessageRejected"),
        ("Throttling", "Throttling"),
        ("HTTP 503: busy", "HTTP 503"),
        ("its secret is 1 bytes, not 32", "its secret is N bytes, not N"),
        ("the token expired; last try: AccountThrottled: slower", "the token expired; last try: AccountThrottled"),
        ("the token expired; last try: Lost; last try: x", "the token expired; last try: Lost"),
        ("SES's answer has 3 statuses for 50 destinations", "SES's answer has N statuses for N destinations"),
        ("x" * 300, "x" * 80),
        ("", None),
        (None, None),
    ],
)
def test_reason_leaves_out_what_differs_between_mails(
    database: Database, error: str | None, reason: str | None
) -> None:
    """So there are few reasons, and none names a person."""
    assert database.one("SELECT mailroom_reason(%s)", error) == reason


def test_recent_counts_by_minute_hour_and_day(database: Database) -> None:
    """Each row counts in its windows. Rows older than a day do not count."""
    database.sign_up_many(5)
    for token, (state, age) in enumerate(
        [("sent", "1 s"), ("sent", "2 min"), ("sent", "2 h"), ("sent", "25 h"), ("failed", "1 s")], 1
    ):
        database.run(
            "UPDATE deliveries SET state = %s::delivery_state, error = 'No: x', settled_at = now() - %s::interval"
            " WHERE token = %s",
            state, age, token,
        )  # fmt: skip
    rows = database.run(
        "SELECT state, reason, last_minute, last_hour, last_day FROM mailroom_recent('mailroom') ORDER BY 1"
    )
    assert rows == [("failed", "No", 1, 1, 1), ("sent", None, 1, 2, 3)]


def test_pulse_has_a_number_for_each_whole_second(database: Database) -> None:
    """The oldest is first, and 0 where nothing was sent. The current second is not shown."""
    database.sign_up_many(3)
    with database.connection.transaction():
        database.run(
            "UPDATE deliveries SET state = 'sent', settled_at = date_trunc('second', now()) - token * interval '1 s'"
        )
        database.run("UPDATE deliveries SET settled_at = now() WHERE token = 3")
        assert database.run("SELECT * FROM mailroom_pulse('mailroom', 4)") == [(0,), (0,), (1,), (1,)]


def test_latency_is_right_to_2_percent(database: Database) -> None:
    """It is the time within which this share of the mails was sent."""
    database.sign_up_many(1000)
    database.run(
        "UPDATE deliveries SET state = 'sent', settled_at = now(), queued_at = now() - token * interval '3 ms'"
    )
    median, most = database.one("SELECT mailroom_latency('mailroom', '{0.5,0.95}')")
    assert median == pytest.approx(1500, rel=0.02)
    assert most == pytest.approx(2850, rel=0.02)


def test_latency_of_no_mail_is_null(database: Database) -> None:
    """Mails from before the time was recorded do not count either."""
    database.sign_up("ann")
    database.run("UPDATE deliveries SET state = 'sent', settled_at = now(), queued_at = NULL")
    assert database.one("SELECT mailroom_latency('mailroom', '{0.5,0.95}')") == [None, None]


def settlements(connection: Connection, after: str) -> tuple[str, dict[tuple[str, int | None], int]]:
    """Return the next snapshot and the settlements since the last one."""
    with connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        ((snapshot,),) = connection.execute("SELECT pg_current_snapshot()::text").fetchall()
        rows = connection.execute(
            "SELECT state, bucket, deliveries FROM mailroom_settlements('mailroom', now() - interval '1 min',"
            " %s::pg_snapshot, %s::pg_snapshot, '{0.1,60}')",
            (after, snapshot),
        ).fetchall()
    return snapshot, {(state, bucket): number for state, bucket, number in rows}


def test_settlement_is_counted_once_in_any_order_of_commits(database: Database) -> None:
    """A settlement that was dated earlier and committed later is neither lost nor counted twice."""
    tokens = database.sign_up("ann", "ben", "cid")
    with database.connect() as slow:
        Steps(database.connection, "fast").begin(tokens[:1])
        Steps(slow, "slow").begin(tokens[1:2])
        mark, counts = settlements(database.connection, "3:3:")
        assert counts == {}
        with slow.transaction():
            Steps(slow, "slow").settle(tokens[1], "sent")
            assert Steps(database.connection, "fast").settle(tokens[0], "sent")
            mark, counts = settlements(database.connection, mark)
            assert sum(counts.values()) == 1
        mark, counts = settlements(database.connection, mark)
        assert sum(counts.values()) == 1
        assert settlements(database.connection, mark)[1] == {}


def test_settlements_are_sorted_into_buckets(database: Database) -> None:
    """The bucket is the first bound that is wide enough, or one more. It is null if there is no time to measure."""
    database.sign_up_many(5)
    mark, _ = settlements(database.connection, "3:3:")
    database.run(
        "UPDATE deliveries SET state = 'sent', settled_at = now(),"
        " queued_at = now() - (ARRAY[0.1, 0.2, 61, NULL, 1])[token] * interval '1 s'"
    )
    database.run("UPDATE deliveries SET state = 'failed' WHERE token = 5")
    assert settlements(database.connection, mark)[1] == {
        ("sent", 1): 1, ("sent", 2): 1, ("sent", 3): 1, ("sent", None): 1, ("failed", None): 1,
    }  # fmt: skip


def test_expired_token_has_the_reason_that_is_counted_from_the_start(database: Database) -> None:
    """An alert watches its first increase (docs/alerts.yml)."""
    assert database.one("SELECT mailroom_stale('activation', 1, NULL, 'provisioned')") == EXPIRED
    assert f'reason=~"{EXPIRED}.*"' in (Path(__file__).parents[2] / "docs" / "alerts.yml").read_text()


@pytest.fixture
def failures(database: Database, steps: Steps) -> Database:
    """ann failed, ben is skipped as suspended, cid was sent, dan waits, eve failed and has expired since."""
    tokens = database.sign_up("ann", "ben", "cid", "dan", "eve")
    database.run("UPDATE accounts SET status = 'suspended' WHERE login = 'ben'")
    steps.claim(3)
    steps.begin([tokens[0], tokens[2], tokens[4]])
    steps.settle(tokens[2], "sent")
    steps.settle(tokens[0], "failed")
    steps.settle(tokens[4], "failed")
    database.run("UPDATE deliveries SET error = 'Rejected: no such 7 box' WHERE token = %s", tokens[4])
    database.run("UPDATE tokens SET expires_at = 1 WHERE id = %s", tokens[4])
    assert tokens == [1, 2, 3, 4, 5]
    return database


@pytest.mark.parametrize(
    ("filters", "tokens"),
    [
        ("NULL, NULL, NULL, NULL, NULL, NULL", [5, 1, 2]),
        ("NULL, NULL, NULL, NULL, NULL, 2", [5, 1]),
        ("'{1,2,3,4}', NULL, NULL, NULL, NULL, NULL", [1, 2]),
        ("NULL, 'ann', NULL, NULL, NULL, NULL", [1]),
        ("NULL, 'ben@example.com', NULL, NULL, NULL, NULL", [2]),
        ("NULL, '5', NULL, NULL, NULL, NULL", [5]),
        ("'{1}', '5', NULL, NULL, NULL, NULL", []),
        ("NULL, NULL, 'SUCH 7', NULL, NULL, NULL", [5]),
        ("NULL, NULL, 'Rejected', NULL, NULL, NULL", [5]),
        ("NULL, NULL, NULL, now() + interval '1 min', NULL, NULL", []),
        ("NULL, NULL, NULL, now() - interval '1 min', now() + interval '1 min', NULL", [5, 1, 2]),
        ("NULL, NULL, NULL, NULL, now() - interval '1 min', NULL", []),
    ],
)
def test_what_was_not_mailed_is_found(failures: Database, filters: str, tokens: list[int]) -> None:
    """The search is by token, account, reason and time. The newest is first, and sent or waiting rows are left out."""
    assert [row[0] for row in failures.run(f"SELECT token FROM mailroom_not_mailed('mailroom', {filters})")] == tokens


def test_what_was_not_mailed_is_found_however_long_ago(failures: Database) -> None:
    """The time windows grow until there are enough rows, and the oldest row is found too."""
    failures.run("UPDATE deliveries SET settled_at = now() - interval '90 days' WHERE token = 1")
    failures.run("UPDATE deliveries SET settled_at = now() - interval '3 days' WHERE token = 2")
    for limit, tokens in ((1, [5]), (2, [5, 2]), (3, [5, 2, 1]), (9, [5, 2, 1])):
        rows = failures.run(
            "SELECT token FROM mailroom_not_mailed('mailroom', NULL, NULL, NULL, NULL, NULL, %s)", limit
        )
        assert [token for (token,) in rows] == tokens


def test_pointless_retry_is_marked(failures: Database) -> None:
    """The rule is the same as at a claim."""
    rows = failures.run("SELECT token, stale FROM mailroom_not_mailed('mailroom', NULL, NULL, NULL, NULL, NULL, NULL)")
    assert rows == [(5, "the token expired"), (1, None), (2, "the account is suspended")]


def test_operators_functions_return_no_secret(failures: Database) -> None:
    """No column and no value holds a secret or a code."""
    secrets = [bytes(secret) for (secret,) in failures.run("SELECT secret FROM tokens")]
    codes = [code for (code,) in failures.run("SELECT code FROM tokens")]
    for question in READING.values():
        for row in failures.run(f"SELECT * FROM {question}"):
            assert not [value for value in row if value in codes or isinstance(value, bytes) or value in secrets]


def test_retry_puts_back_what_may_still_be_mailed(failures: Database) -> None:
    """For each other token it returns the reason and leaves its row unchanged."""
    refusals = [
        (2, "stale", "the account is suspended"),
        (3, "sent", "already sent"),
        (4, "unsettled", "it is not given up: pending"),
        (5, "stale", "the token expired"),
        (99, "unknown", "no such token in this queue"),
    ]
    before = failures.run("SELECT token, refused FROM mailroom_retry('mailroom', '{1,2,3,4,5,5,99}', true)")
    assert before == [(1, None), *((token, reason) for token, _, reason in refusals)]
    rows = failures.run("SELECT token, code, reason FROM mailroom_retry_rows('mailroom', '{1,2,3,4,5,5,99}', false)")
    assert rows == [(1, "retried", None), *refusals]
    states = dict(failures.run("SELECT token, state::text FROM deliveries"))
    assert states == {1: "pending", 2: "skipped", 3: "sent", 4: "pending", 5: "failed"}
    assert sorted(Steps(failures.connection, "other").claim()) == [1, 4]


def test_retry_leaves_emitted_tokens(failures: Database) -> None:
    """A reader that does not acknowledge may have mailed them."""
    failures.run("UPDATE deliveries SET state = 'emitted' WHERE token = 1")
    refused = "it was handed out to a reader that does not acknowledge"
    assert failures.run("SELECT token, refused FROM mailroom_retry('mailroom', '{1}', false)") == [(1, refused)]
    assert failures.state(1) == "emitted"


def test_retry_recognizes_a_deleted_token(failures: Database) -> None:
    """A copy that runs without triggers may leave such a delivery."""
    with failures.connect() as copying:
        copying.execute("SET session_replication_role = replica")
        copying.execute("DELETE FROM tokens WHERE id = 1")
    rows = failures.run("SELECT code, reason FROM mailroom_retry_rows('mailroom', '{1}', false)")
    assert rows == [("gone", "the token is gone")]
    assert failures.state(1) == "failed"


@pytest.mark.parametrize("reason", ["the token expired; last try: Throttling", "the token expired", None])
def test_first_reason_is_the_one_before_the_last_try(database: Database, reason: str | None) -> None:
    """Metrics use it when there are too many reasons."""
    assert database.one("SELECT mailroom_first_reason(%s)", reason) == (reason and "the token expired")


def test_dry_retry_changes_nothing(failures: Database) -> None:
    """Its answer is the same."""
    dry = failures.run("SELECT * FROM mailroom_retry('mailroom', '{1,2,3,4,5}', true)")
    assert failures.state(1) == "failed"
    assert dry == failures.run("SELECT * FROM mailroom_retry('mailroom', '{1,2,3,4,5}', false)")


def test_retry_notifies(failures: Database) -> None:
    """A sleeping collector claims the row at once."""
    with failures.connect() as listener:
        listener.execute("LISTEN token_insert")
        failures.run("SELECT mailroom_retry('mailroom', '{1}', false)")
        assert len(list(listener.notifies(timeout=10, stop_after=1))) == 1


def test_retry_decides_by_the_locked_row(failures: Database) -> None:
    """Of two retries only one puts a row back. If a sender records it as sent meanwhile, none does."""
    refusals: list[Any] = []
    with failures.connect() as other, failures.connect() as watching:
        other.execute("BEGIN")
        other.execute("UPDATE deliveries SET state = 'sent', error = NULL WHERE token = 1")
        thread = threading.Thread(
            target=lambda: refusals.extend(failures.run("SELECT * FROM mailroom_retry('mailroom', '{1}', false)"))
        )
        thread.start()
        waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
        until(lambda: watching.execute(waits).fetchall() != [(0,)], "the retry waits")
        other.execute("COMMIT")
        thread.join()
    assert refusals == [(1, "already sent")]
    assert failures.state(1) == "sent"


def old(database: Database, *logins: str) -> list[int]:
    """Sign up, and move the tokens' sending and expiry 50 days into the past."""
    tokens = database.sign_up(*logins)
    database.run(
        "UPDATE deliveries SET state = 'sent', settled_at = now() - interval '50 days',"
        " queued_at = now() - interval '50 days' WHERE token = ANY (%s)",
        tokens,
    )
    database.run(
        "UPDATE tokens SET expires_at = created_at - 50 * 86400 + 900, created_at = created_at - 50 * 86400"
        " WHERE id = ANY (%s)",
        tokens,
    )
    return tokens


def prune(database: Database, limit: str = "30 days", after: int = 0, rows: int = 100, dry: bool = False) -> Any:
    query = (
        "SELECT last_token, is_end, sent, failed, skipped, emitted"
        " FROM mailroom_prune('mailroom', %s::interval, %s, %s, %s)"
    )
    (row,) = database.run(query, limit, after, rows, dry)
    return row


def test_prune_removes_old_rows_of_expired_tokens(database: Database) -> None:
    """It keeps young and unsettled rows and those of valid tokens.

    It works in the order of tokens, one batch at a time.
    """
    gone, alive, pending, failed = old(database, "gone", "alive", "pending", "failed")
    (young,) = database.sign_up("young")
    database.run("UPDATE tokens SET expires_at = 4102444800 WHERE id = %s", alive)
    database.run("UPDATE deliveries SET state = 'pending', settled_at = NULL WHERE token = %s", pending)
    database.run("UPDATE deliveries SET state = 'failed' WHERE token = %s", failed)
    database.run("UPDATE deliveries SET state = 'sent', settled_at = now() WHERE token = %s", young)
    assert prune(database, dry=True) == (young, True, 1, 1, 0, 0)
    assert prune(database, rows=3) == (pending, False, 1, 0, 0, 0)
    assert prune(database, after=pending) == (young, True, 0, 1, 0, 0)
    assert database.run("SELECT token FROM deliveries ORDER BY 1") == [(alive,), (pending,), (young,)]
    assert database.one("SELECT count(*) FROM tokens") == 5
    assert gone < alive


def test_prune_removes_rows_of_consumed_tokens(database: Database) -> None:
    """A consumed token is never mailed again, however long its lifetime is."""
    (used,) = old(database, "used")
    database.run("UPDATE tokens SET expires_at = 4102444800, consumed_at = created_at + 60 WHERE id = %s", used)
    assert prune(database) == (used, True, 1, 0, 0, 0)


def test_prune_ends_at_the_first_that_is_too_young(database: Database) -> None:
    """It does not read the rows behind it."""
    old(database, "a", "b")
    database.sign_up_many(50)
    assert prune(database, rows=10) == (10, True, 2, 0, 0, 0)
    assert prune(database) == (52, True, 0, 0, 0, 0)


def test_prune_of_nothing_reports_the_end(database: Database) -> None:
    """An empty ledger and the end of a full one give the same answer."""
    assert prune(database) == (None, True, 0, 0, 0, 0)


@pytest.mark.parametrize("limit", ["23 hours", "-1 day", None])
def test_prune_refuses_rows_that_may_be_in_progress(database: Database, limit: str | None) -> None:
    """A lease may last a day."""
    with pytest.raises(psycopg.errors.InvalidParameterValue, match="younger than 1 day"):
        database.run("SELECT mailroom_prune('mailroom', %s::interval, 0, 10, false)", limit)


def test_pruned_delivery_is_never_mailed_again(database: Database, steps: Steps) -> None:
    """Neither a late line, nor a claim, a retry or a takeover of emitted rows mails it."""
    (token,) = old(database, "ann")
    database.run("UPDATE deliveries SET state = 'emitted'")
    prune(database)
    database.run("UPDATE tokens SET expires_at = 4102444800")
    assert steps.acknowledge() == 0
    assert steps.claim() == []
    assert steps.begin([token]) == {None: "no such token in this queue"}
    assert not steps.settle(token, "sent")
    assert database.run("SELECT refused FROM mailroom_retry('mailroom', %s, false)", [token]) == [
        ("no such token in this queue",)
    ]
    assert database.states() == {}


def test_prune_leaves_what_is_put_back_meanwhile(database: Database) -> None:
    """It does not wait for a locked row. A later prune removes the row if it is still settled."""
    (token,) = old(database, "ann")
    with database.connect() as other:
        other.execute("BEGIN")
        other.execute("UPDATE deliveries SET state = 'pending', settled_at = NULL")
        assert prune(database) == (token, True, 0, 0, 0, 0)
        other.execute("ROLLBACK")
    assert prune(database) == (token, True, 1, 0, 0, 0)


def test_old_rows_are_not_rewritten_by_the_migration(server: Server) -> None:
    """They have no queued_at and stay where they are. New rows have it."""
    database = Database(server, server.new_database(template="template1"))
    try:
        for migration in migrations()[:3]:
            with database.connection.transaction():
                database.run(migration.up)
        database.sign_up_many(100)
        database.run("SELECT mailroom_claim('mailroom', 'me', 30000, 50)")  # as the version before does
        query = "SELECT ctid::text, xmin::text, to_jsonb(d) - 'queued_at' FROM deliveries d ORDER BY token"
        before, file = database.run(query), "SELECT pg_relation_filenode('deliveries')"
        node = database.one(file)
        with database.connection.transaction():
            database.run(migrations()[3].up)
        assert (database.run(query), database.one(file)) == (before, node)
        assert database.one("SELECT count(queued_at) FROM deliveries") == 0
        began = time.time()
        database.sign_up("ann")
        assert (
            database.one("SELECT extract(epoch FROM queued_at)::float8 FROM deliveries WHERE queued_at IS NOT NULL")
            >= began - 1
        )
        later = ("queue_status", "retry_rows", "outlook", "show an account", "show a token")
        for question in (text for name, text in READING.items() if name not in later):
            database.run(f"SELECT * FROM {question}")
        assert database.one("SELECT token FROM mailroom_oldest('mailroom')") == 1
    finally:
        database.close()


def test_index_that_exists_is_kept(server: Server) -> None:
    """docs/operations.md: on a large ledger the index is created first, without a lock that stops sign-ups."""
    database = Database(server, server.new_database(template="template1"))
    try:
        for migration in migrations()[:3]:
            with database.connection.transaction():
                database.run(migration.up)
        database.run(
            "CREATE INDEX CONCURRENTLY deliveries_settled ON deliveries USING brin (settled_at)"
            " WITH (pages_per_range = 32, autosummarize = on) WHERE settled_at IS NOT NULL"
        )
        with database.connection.transaction():
            database.run(migrations()[3].up)
    finally:
        database.close()


def test_roles_of_the_recipe_suffice_and_read_no_table(failures: Database) -> None:
    """docs/operations.md: the monitor role may only read figures. The operator role may also retry and prune."""
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    (recipe,) = re.findall(r"^```sql\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    names = ("queue_status", "unsettled", "oldest", "recent", "pulse", "latency", "settlements", "outlook")
    reading = [f"SELECT * FROM {READING[name]}" for name in names]
    acting = [f"SELECT * FROM {question}" for name, question in READING.items() if name not in names]
    acting.append("SELECT mailroom_prune('mailroom', '1 day', 0, 10, false)")
    try:
        failures.run(recipe)
        with failures.connect() as monitor, failures.connect() as operator:
            monitor.execute("SET ROLE mailroom_monitor")
            operator.execute("SET ROLE mailroom_operator")
            for statement in reading:
                monitor.execute(statement.encode())
            for statement in reading + acting:
                operator.execute(statement.encode())
            for statement in [*acting, "SELECT FROM tokens", "SELECT FROM jobs"]:
                with pytest.raises(psycopg.errors.InsufficientPrivilege):
                    monitor.execute(statement.encode())
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                operator.execute("SELECT FROM deliveries")
    finally:
        for role in ("mailroom_operator", "mailroom_monitor"):
            failures.run(f"DROP OWNED BY {role}")
            failures.run(f"DROP ROLE {role}")
