"""A step costs the same whatever the tables hold: by index, and no row walked over twice."""

import pytest

from tests.support.ledger import Steps
from tests.support.postgres import Database

OLD = 20_000
"""Tokens that were mailed before."""
WAITING = 200


@pytest.fixture
def grown(database: Database) -> Database:
    database.sign_up_many(OLD)
    database.run("UPDATE deliveries SET state = 'sent', settled_at = now()")
    database.run("VACUUM ANALYZE")
    database.run(
        "INSERT INTO accounts (email, login) SELECT n || '@example.com', n FROM generate_series(1, %s) n", WAITING
    )
    return database


def scanned(database: Database) -> tuple[int, int]:
    """Return how often one of the large tables was read as a whole, and how many index entries were read."""
    database.count_reads()
    ((whole, entries),) = database.run(
        "SELECT sum(t.seq_scan), (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'deliveries')"
        " FROM pg_stat_user_tables t WHERE t.relname IN ('accounts', 'tokens', 'deliveries')"
    )
    return int(whole), int(entries)


def test_no_step_reads_a_whole_table(grown: Database, steps: Steps) -> None:
    """From the look to the settlement, also with the first plan of a session."""
    before, _ = scanned(grown)
    assert steps.look(10)[0] == 10
    tokens = steps.claim(100)
    steps.extend(tokens)
    steps.release(tokens[90:])
    steps.emitted(tokens[80:90])
    steps.begin(tokens[:50])
    steps.settle(tokens[0], "sent")
    assert len(tokens) == 100
    # The helper of these tests looks up each token's secret by its key; the steps do nothing else.
    assert scanned(grown)[0] == before


def test_steps_planned_while_there_was_hardly_a_row_read_no_more_than_theirs(database: Database, steps: Steps) -> None:
    """The plans of a session that began with an empty ledger, before anything is known of how the tables grow."""
    for table in ("accounts", "tokens", "deliveries"):
        database.run(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
    database.sign_up("first")
    steps.begin(steps.claim())
    steps.settle(1, "sent")
    database.sign_up_many(OLD)
    _, before = scanned(database)
    tokens = steps.claim(500)
    assert len(tokens) == 500
    steps.begin(tokens[:50])
    for token in tokens[:50]:
        steps.settle(token, "sent")
    steps.extend(tokens[50:])
    steps.emitted(tokens[50:])
    assert scanned(database)[1] - before < 10 * 500


def test_drain_does_not_walk_over_what_it_took_while_a_snapshot_is_held(grown: Database) -> None:
    """Each claim begins behind the last one, so that dead rows that can't be vacuumed cost nothing."""
    with grown.connect() as elsewhere:
        elsewhere.execute("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM tokens")
        _, before = scanned(grown)
        after: tuple[object, object] = (None, None)
        claimed = 0
        while rows := grown.run(
            "SELECT due_at, token FROM mailroom_claim_any('mailroom', 'me', 60000, 10, %s::timestamptz, %s::bigint)",
            *after,
        ):
            claimed += len(rows)
            after = rows[-1]
        assert claimed == WAITING
        # Of the index of what is due one entry a row, of the key at most its dead and its living one twice.
        assert scanned(grown)[1] - before < 6 * WAITING


def test_claim_from_the_start_finds_what_became_due_in_front(grown: Database, steps: Steps) -> None:
    """What is given back is as old as its token; a claim behind a place passes it by, one without does not."""
    (first, *_) = steps.claim(10)
    ((due_at, token),) = grown.run("SELECT due_at, token FROM mailroom_claim_any('mailroom', 'me', 60000, 1)")
    steps.release([first])
    behind = "SELECT token FROM mailroom_claim_any('mailroom', 'me', 60000, 1000, %s::timestamptz, %s::bigint)"
    assert first not in {row[0] for row in grown.run(behind, due_at, token)}
    assert steps.claim(1000) == [first]


def test_token_takes_its_delivery_with_it(database: Database) -> None:
    """Whether it is deleted, its account is, or the table is emptied."""
    ann, _, cid = database.sign_up("ann", "ben", "cid")
    database.run("DELETE FROM tokens WHERE id = %s", ann)
    database.run("DELETE FROM accounts WHERE login = 'ben'")
    assert database.run("SELECT token FROM deliveries") == [(cid,)]
    database.run("TRUNCATE accounts, tokens")
    assert database.states() == {}


def test_delivery_without_its_token_is_skipped(database: Database, steps: Steps) -> None:
    """As a copy may leave it that runs without triggers: it is put aside, and holds nothing up."""
    lost, kept = database.sign_up("lost", "kept")
    with database.connect() as copying:
        copying.execute("SET session_replication_role = replica")
        copying.execute("DELETE FROM tokens WHERE id = %s", (lost,))
    assert steps.claim() == [kept]
    assert database.run("SELECT state::text, error FROM deliveries WHERE token = %s", lost) == [
        ("skipped", "the token is gone")
    ]
    assert steps.look()[0] == 0
