"""The cost of a step does not depend on the size of the tables: it uses an index and reads no row twice."""

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
    """Return how many full scans of the large tables there were, and how many index entries were read."""
    database.count_reads()
    ((whole, entries),) = database.run(
        "SELECT sum(t.seq_scan), (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'deliveries')"
        " FROM pg_stat_user_tables t WHERE t.relname IN ('accounts', 'tokens', 'deliveries')"
    )
    return int(whole), int(entries)


def test_no_step_reads_a_whole_table(grown: Database, steps: Steps) -> None:
    """No step does, from the count to the settlement, even with the first plan of a session."""
    before, _ = scanned(grown)
    assert steps.check(10)[0] == 10
    tokens = steps.claim(100)
    steps.extend(tokens)
    steps.release(tokens[90:])
    steps.emitted(tokens[80:90])
    steps.begin(tokens[:50])
    steps.settle(tokens[0], "sent")
    assert len(tokens) == 100
    # The helper of these tests reads each token's secret by its key. The steps do nothing else.
    assert scanned(grown)[0] == before


def test_plan_made_for_an_empty_ledger_stays_cheap(database: Database, steps: Steps) -> None:
    """A session that planned its statements while the ledger was empty reads no more rows after it grew."""
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


def test_drain_reads_no_claimed_row_again_while_a_snapshot_is_open(grown: Database) -> None:
    """Each claim begins behind the last one, so dead rows that can't be vacuumed cost nothing."""
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


def accounts_other_tokens_read(database: Database) -> tuple[int, int]:
    """Return how often the index of an account's tokens was searched, and how many of its entries were read."""
    database.count_reads()
    ((scans, entries),) = database.run(
        "SELECT idx_scan, idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'tokens_account_action'"
    )
    return int(scans), int(entries)


RULES = {
    "none": ("false", "NULL", 0, 0),
    "newest only": ("true", "NULL", 1, 0),
    "most mails": ("false", "5", 1, 1),
    "both": ("true", "5", 1, 1),
}
"""For each name the two columns, and the searches for a row in a claim and in a begin."""


@pytest.mark.parametrize("rules", RULES)
def test_rule_about_other_tokens_costs_one_index_entry(grown: Database, steps: Steps, rules: str) -> None:
    """For an account with one token, a claim reads that one, and so does a begin. Without rules neither reads any."""
    newest_only, most_mails, of_claim, of_begin = RULES[rules]
    grown.run(f"UPDATE mailroom_actions SET newest_only = {newest_only}, most_mails = {most_mails}")
    before = accounts_other_tokens_read(grown)
    tokens = steps.claim(100)
    claimed = accounts_other_tokens_read(grown)
    assert (claimed[0] - before[0], claimed[1] - before[1]) == (100 * of_claim, 100 * of_claim)
    assert set(steps.begin(tokens[:50]).values()) == {None}
    begun = accounts_other_tokens_read(grown)
    assert (begun[0] - claimed[0], begun[1] - claimed[1]) == (50 * of_begin, 50 * of_begin)


def test_life_that_begins_with_the_insert_writes_no_token(grown: Database, steps: Steps) -> None:
    """A begin updates tokens only for a life that begins with the mail, and then each once."""
    written = "SELECT n_tup_upd FROM pg_stat_user_tables WHERE relname = 'tokens'"
    tokens = steps.claim(20)
    grown.count_reads()
    before = grown.one(written)
    steps.begin(tokens[:10])
    grown.count_reads()
    assert grown.one(written) == before
    grown.run("UPDATE deliveries SET lifetime = 900 WHERE token = ANY (%s)", tokens)
    steps.begin(tokens[10:])
    steps.begin(tokens[10:])
    grown.count_reads()
    assert grown.one(written) == before + 10


def test_order_costs_a_claim_no_more_reads(grown: Database, steps: Steps) -> None:
    """A claim in the midst of an import reads each due row once, and what comes back is found by its time."""
    _, before = scanned(grown)
    assert len(steps.claim(100)) == 100
    # Of the index of what is due, and of the key for the update.
    assert scanned(grown)[1] - before < 3 * 100
    grown.run("UPDATE deliveries SET due_at = now() - interval '1 s' WHERE state = 'claimed'")
    _, before = scanned(grown)
    assert len(steps.claim(100)) == 100
    assert scanned(grown)[1] - before < 8 * 100


def test_claim_from_the_start_finds_released_rows(grown: Database, steps: Steps) -> None:
    """A released row has the due time of its token.

    A claim behind that place skips it, and one from the start finds it.
    """
    (first, *_) = steps.claim(10)
    ((due_at, token),) = grown.run("SELECT due_at, token FROM mailroom_claim_any('mailroom', 'me', 60000, 1)")
    steps.release([first])
    behind = "SELECT token FROM mailroom_claim_any('mailroom', 'me', 60000, 1000, %s::timestamptz, %s::bigint)"
    assert first not in {row[0] for row in grown.run(behind, due_at, token)}
    assert steps.claim(1000) == [first]


def test_deleted_token_deletes_its_delivery(database: Database) -> None:
    """The token is deleted, its account is deleted, or the table is truncated."""
    ann, _, cid = database.sign_up("ann", "ben", "cid")
    database.run("DELETE FROM tokens WHERE id = %s", ann)
    database.run("DELETE FROM accounts WHERE login = 'ben'")
    assert database.run("SELECT token FROM deliveries") == [(cid,)]
    database.run("TRUNCATE accounts, tokens")
    assert database.states() == {}


def test_delivery_without_its_token_is_skipped(database: Database, steps: Steps) -> None:
    """A copy that runs without triggers may leave one. It is skipped and delays no other row."""
    lost, kept = database.sign_up("lost", "kept")
    with database.connect() as copying:
        copying.execute("SET session_replication_role = replica")
        copying.execute("DELETE FROM tokens WHERE id = %s", (lost,))
    assert steps.claim() == [kept]
    assert database.run("SELECT state::text, error FROM deliveries WHERE token = %s", lost) == [
        ("skipped", "the token is gone")
    ]
    assert steps.check()[0] == 0
