"""Which mail goes first: head starts, imports, and what comes back. Also what the programs ask to keep that order.

Times are moved in the database, so no test waits for them.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.ledger import Steps, add_invitation
from tests.support.postgres import Database, Server

HEAD_STARTS = {"activation": 43200, "password_recovery": 86400}
DAY = 86400


@pytest.fixture
def people(database: Database) -> Database:
    """Active accounts 1 to 30, without any token. Several tokens of an account may be mailed."""
    return prepared(database)


def prepared(database: Database) -> Database:
    database.run("UPDATE mailroom_actions SET newest_only = false, most_mails = NULL, states = '{provisioned,active}'")
    database.run(
        "INSERT INTO accounts (email, login, status)"
        " SELECT 'u' || n || '@example.com', 'u' || n, 'active' FROM generate_series(1, 30) n"
    )
    return database


def insert(database: Database, action: str, count: int = 1) -> list[int]:
    """Insert tokens of different accounts by one statement."""
    query = "INSERT INTO tokens (action, account, expires_at) SELECT %s, n, 4102444800 FROM generate_series(1, %s) n"
    return sorted(token for (token,) in database.run(f"{query} RETURNING id", action, count))


def recovery(database: Database) -> int:
    return insert(database, "password_recovery")[0]


def activation(database: Database) -> int:
    return insert(database, "activation")[0]


def age(database: Database, tokens: Sequence[int], seconds: float) -> None:
    """Let these deliveries have waited for longer."""
    database.run(
        "UPDATE deliveries SET queued_at = queued_at - %s * interval '1 s', due_at = due_at - %s * interval '1 s'"
        " WHERE token = ANY (%s)",
        *(seconds, seconds, list(tokens)),
    )


# The order of a claim


def test_recovery_goes_before_a_sign_up_before_an_import(people: Database, steps: Steps) -> None:
    """They were inserted the other way round. Within each, the older one goes first."""
    imported = insert(people, "activation", 11)
    signed_up = [activation(people), activation(people)]
    recovered = [recovery(people), recovery(people)]
    assert steps.claim(3) == [*recovered, signed_up[0]]
    assert steps.claim(100) == [signed_up[1], *imported]


@pytest.mark.parametrize(("count", "head_start"), [(1, 86400), (10, 86400), (11, 0)])
def test_statement_that_inserts_more_than_ten_is_an_import(people: Database, count: int, head_start: int) -> None:
    """It gets no head start. Ten statements of one transaction do."""
    insert(people, "password_recovery", count)
    assert people.run("SELECT DISTINCT head_start FROM deliveries") == [(head_start,)]


def test_many_statements_of_a_transaction_are_no_import(people: Database) -> None:
    """Each inserts one token, and gets its head start."""
    with people.connection.transaction():
        for _ in range(12):
            activation(people)
    assert people.run("SELECT head_start, count(*) FROM deliveries GROUP BY 1") == [(43200, 12)]


def test_head_start_is_a_column_of_the_action(people: Database, steps: Steps) -> None:
    """An application's own action has that of a sign-up, unless its row has another. What waits keeps its own."""
    add_invitation(people, states="{active}")
    ((default,),) = people.run("SELECT head_start FROM mailroom_actions WHERE name = 'invitation'")
    assert default == 43200
    recovered, invited = recovery(people), insert(people, "invitation")[0]
    people.run("UPDATE mailroom_actions SET head_start = 90000 WHERE name = 'invitation'")
    (first,) = insert(people, "invitation")
    assert steps.claim() == [first, recovered, invited]


def by_retry(steps: Steps, token: int) -> None:
    steps.begin([token])
    steps.settle(token, "later", 60_000)


def by_its_lease(steps: Steps, token: int) -> None:
    """Its collector is gone."""


def by_the_lease_of_its_sender(steps: Steps, token: int) -> None:
    steps.begin([token])


COME_BACK = [by_retry, by_its_lease, by_the_lease_of_its_sender]


@pytest.mark.parametrize("come_back", COME_BACK)
def test_what_came_back_has_its_place_again(
    people: Database, steps: Steps, come_back: Callable[[Steps, int], None]
) -> None:
    """A retry that is due, or a row whose lease ran out, goes before everything that was inserted later.

    A row of an import goes before the rest of its import, and behind people.
    """
    imported = insert(people, "activation", 12)
    recovered = [recovery(people), recovery(people)]
    assert steps.claim(1) == recovered[:1]
    people.run("UPDATE deliveries SET state = 'skipped', settled_at = now() WHERE token = %s", recovered[1])
    assert steps.claim(1) == imported[:1]
    for token in (recovered[0], imported[0]):
        come_back(steps, token)
    newer = [recovery(people), activation(people)]
    assert steps.claim(2) == newer  # not yet
    steps.release(newer)
    came_back(people, recovered[0], imported[0])
    assert steps.claim(100) == [recovered[0], *newer, *imported]


def came_back(database: Database, *tokens: int) -> None:
    """Let these deliveries be due since a moment."""
    database.run("UPDATE deliveries SET due_at = now() - interval '1 s' WHERE token = ANY (%s)", list(tokens))


@pytest.mark.parametrize(("tries", "is_first"), [(1, True), (2, True), (3, False), (9, False)])
def test_mail_that_fails_again_and_again_loses_its_place(
    people: Database, steps: Steps, tries: int, is_first: bool
) -> None:
    """After its third try it queues like one that is inserted at that moment. So it keeps nobody waiting."""
    token = recovery(people)
    age(people, [token], 60)
    for _ in range(tries):
        assert steps.claim(1) == [token]
        by_retry(steps, token)
        came_back(people, token)
    newer, imported = [recovery(people), recovery(people)], insert(people, "activation", 11)
    age(people, newer, 30)
    claimed = [steps.claim(1)[0] for _ in range(3)]
    assert claimed == ([token, *newer] if is_first else [*newer, token])
    assert steps.claim(100) == imported


def test_all_that_came_back_are_claimed(people: Database, steps: Steps) -> None:
    """However many there are, small claims get each of them once. A new recovery waits for none of them."""
    query = "INSERT INTO tokens (action, account) SELECT 'activation', n % 30 + 1 FROM generate_series(1, 150) n"
    query += " RETURNING id"
    tokens = [token for (token,) in people.run(query)]
    people.run("UPDATE deliveries SET due_at = now() - interval '1 min'")
    claimed = steps.claim(3)
    # What a claim puts in place is limited, so that it stays short.
    without = "SELECT count(*) FROM deliveries WHERE due_at > now() - interval '1 h' AND state = 'pending'"
    assert people.one(without) == 150 - (2 * 3 + 100)
    new = recovery(people)
    assert steps.claim(1) == [new]
    while rows := steps.claim(7):
        claimed += rows
    assert sorted(claimed) == tokens


def test_small_claim_finds_the_first_of_many_that_came_back(people: Database, steps: Steps) -> None:
    """It is not the one that came back first."""
    tokens = insert(people, "activation", 20)
    last = recovery(people)
    steps.claim(100)
    came_back(people, *tokens)
    came_back(people, last)
    assert steps.claim(1) == [last]


def test_claim_puts_in_place_what_may_be_claimed_only(people: Database, steps: Steps) -> None:
    """Another queue, a paused queue, and a row that another transaction has are left alone. It waits for nothing."""
    people.run("ALTER TYPE job_type ADD VALUE 'second'")
    people.run("INSERT INTO jobs (job_type) VALUES ('second')")
    first, second = recovery(people), recovery(people)
    came_back(people, first, second)
    left = "SELECT queue::text, token FROM deliveries WHERE due_at > now() - interval '1 h' ORDER BY queue, token"
    with people.connect() as other, other.transaction():
        other.execute("SELECT FROM deliveries WHERE token = %s FOR UPDATE", (first,))
        people.run("SET statement_timeout = '5s'; SELECT mailroom_pause('mailroom', 'why')")
        assert steps.claim() == []
        assert people.run(left) == [(queue, token) for queue in ("mailroom", "second") for token in (first, second)]
        people.run("SELECT mailroom_resume('mailroom')")
        assert steps.claim(lease_ms=0) == [second]
    assert ("mailroom", first) in people.run(left)
    assert people.run(left)[-2:] == [("second", first), ("second", second)]


def test_lease_that_ran_out_may_still_be_extended(people: Database, steps: Steps) -> None:
    """A row that has its place again, but was not claimed, is still its holder's."""
    first, second = recovery(people), activation(people)
    assert steps.claim() == [first, second]
    came_back(people, first, second)
    assert Steps(people.connection, "other").claim(1) == [first]
    assert people.one("SELECT due_at < now() - interval '12 hours' FROM deliveries WHERE token = %s", second)
    assert steps.extend([first, second]) == [second]
    assert Steps(people.connection, "other").claim() == []


def release(_: Database, steps: Steps, token: int) -> None:
    assert steps.release([token]) == 1


def paused(database: Database, steps: Steps, token: int) -> None:
    database.run("SELECT mailroom_pause('mailroom', 'why')")
    assert steps.begin([token]) == {token: "the queue is paused"}
    database.run("SELECT mailroom_resume('mailroom')")


def changed(_: Database, steps: Steps, token: int) -> None:
    steps.begin([token], emails=["old@example.com"])


def given_back(_: Database, steps: Steps, token: int) -> None:
    steps.begin([token])
    assert steps.settle(token, "release", 60_000)


def retried(database: Database, steps: Steps, token: int) -> None:
    steps.reject(token, "why")
    assert database.run("SELECT code FROM mailroom_retry_rows('mailroom', ARRAY[%s::bigint], false)", token) == [
        ("retried",)
    ]


def acknowledged(_: Database, steps: Steps, token: int) -> None:
    assert steps.emitted([token]) == 1
    assert steps.acknowledge() == 1


@pytest.mark.parametrize("put_back", [release, paused, changed, given_back, retried, acknowledged])
def test_row_that_is_put_back_gets_its_place_again(
    people: Database, steps: Steps, put_back: Callable[[Database, Steps, int], None]
) -> None:
    """It goes behind an older one of its kind and before a newer one, an import and a sign-up. Its age is as before."""
    insert(people, "activation", 11)
    older, token = recovery(people), recovery(people)
    before = people.one("SELECT due_at FROM deliveries WHERE token = %s", token)
    assert steps.claim(2) == [older, token]
    put_back(people, steps, token)
    assert people.one("SELECT due_at FROM deliveries WHERE token = %s", token) == before
    newer, _ = recovery(people), activation(people)
    if put_back is not acknowledged:
        steps.release([older])
        assert steps.claim(1) == [older]
    assert steps.claim(2) == [token, newer]


# Nothing starves


@pytest.mark.parametrize(("waited", "is_first"), [(DAY - 60, False), (DAY + 60, True)])
def test_import_that_waited_for_the_difference_goes_before_a_new_recovery(
    people: Database, steps: Steps, waited: float, is_first: bool
) -> None:
    """A recovery has a head start of a day, and a row of an import has none."""
    imported = insert(people, "activation", 11)
    age(people, imported, waited)
    new = recovery(people)
    assert steps.claim(1) == [imported[0] if is_first else new]


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(["import", *HEAD_STARTS]), st.integers(0, 200_000)), min_size=2, max_size=25
    )
)
def test_no_row_waits_for_one_that_came_later_by_more_than_the_head_starts(
    shared: Database, rows: list[tuple[str, int]]
) -> None:
    """Of any two rows the one that was inserted earlier by more than the difference of head starts is claimed first."""
    shared.run("DELETE FROM tokens")
    heads, ages = {}, {}
    for kind, waited in rows:
        token = insert(shared, "activation" if kind == "import" else kind)[0]
        if kind == "import":
            query = "UPDATE deliveries SET head_start = 0, due_at = due_at + interval '43200 s' WHERE token = %s"
            shared.run(query, token)
        age(shared, [token], waited)
        heads[token], ages[token] = HEAD_STARTS.get(kind, 0), waited
    order = Steps(shared.connection).claim(100)
    assert sorted(order) == sorted(heads)
    for place, first in enumerate(order):
        for later in order[place + 1 :]:
            assert ages[later] - ages[first] <= heads[first] - heads[later] + 1


@pytest.fixture(scope="module")
def shared(server: Server) -> Iterator[Database]:
    """One database for all examples of a property."""
    database = prepared(Database(server, server.new_database()))
    yield database
    database.close()


# A claim behind a place


def claim_behind(database: Database, most: int, after: tuple[datetime, int] | None) -> list[tuple[int, datetime]]:
    query = "SELECT token, due_at FROM mailroom_claim_any('mailroom', 'me', 60000, %s, %s::timestamptz, %s::bigint)"
    return [(token, due_at) for token, due_at in database.run(query, most, *(after or (None, None)))]


WAITED = st.integers(3, 200_000)


@settings(max_examples=80, suppress_health_check=list(HealthCheck))
@given(
    # Seconds since the insert; of what came back also seconds since then, and the tries before.
    new=st.lists(WAITED, max_size=15),
    back=st.lists(st.tuples(WAITED, st.integers(1, 3500), st.integers(0, 4)), max_size=15),
    most=st.integers(1, 7),
)
def test_claims_behind_the_last_row_miss_and_repeat_nothing(
    shared: Database, new: list[int], back: list[tuple[int, int, int]], most: int
) -> None:
    """Of new rows and rows that came back, some due at the same moment. Each claim begins behind the one before."""
    rows = [(waited, 0, 0) for waited in new] + back
    if not rows:
        return
    shared.run("DELETE FROM tokens")
    tokens = insert(shared, "activation", len(rows))
    shared.run(
        "UPDATE deliveries d SET queued_at = at.second - waited * interval '1 s', attempts = tries, head_start = 0,"
        " due_at = at.second - CASE back WHEN 0 THEN waited + 3600 ELSE back END * interval '1 s'"
        " FROM unnest(%s::bigint[], %s::integer[], %s::integer[], %s::integer[]) u (token, waited, back, tries),"
        " date_trunc('second', now()) at (second) WHERE d.token = u.token",
        *(tokens, *(list(column) for column in zip(*rows, strict=True))),
    )
    queued = [waited if tries < 3 else back for waited, back, tries in rows]
    after, claimed = None, list[int]()
    while found := claim_behind(shared, most, after):
        claimed += [token for token, _ in found]
        after = (found[-1][1], found[-1][0])
    assert claimed == [token for _, token in sorted(zip((-one for one in queued), tokens, strict=True))]


def test_claim_behind_a_row_finds_nothing_that_came_back(people: Database) -> None:
    """It does not look for it. A claim from the start does, once a second."""
    first, second, last = (recovery(people) for _ in range(3))
    rows = claim_behind(people, 2, None)
    assert [token for token, _ in rows] == [first, second]
    came_back(people, first)
    place = (rows[1][1], second)
    assert [token for token, _ in claim_behind(people, 9, place)] == [last]
    assert people.one("SELECT due_at > now() - interval '1 min' FROM deliveries WHERE token = %s", first)
    assert [token for token, _ in claim_behind(people, 9, None)] == [first]


def test_strangers_sign_ups_do_not_delay_a_recovery(people: Database, steps: Steps) -> None:
    """400 single sign-ups wait, and the recovery that comes last is claimed first."""
    for number in range(400):
        people.run("INSERT INTO accounts (email, login) VALUES (%s, %s)", f"x{number}@example.com", f"x{number}")
    last = recovery(people)
    assert steps.claim(1) == [last]


# What the programs ask


def urgency(database: Database, most: int = 10, queue: str = "mailroom") -> tuple[Any, ...]:
    return database.run(f"SELECT waiting, urgent FROM mailroom_due('{queue}', %s)", most)[0]


def test_due_says_whether_an_urgent_one_waits(people: Database, steps: Steps) -> None:
    """Of those that it counts. A paused queue has nothing that waits. No shipped action is urgent."""
    activation(people)
    assert urgency(people) == (1, False)
    people.run("UPDATE mailroom_actions SET urgent = true WHERE name = 'password_recovery'")
    assert urgency(people) == (1, False)
    token = recovery(people)
    assert urgency(people) == (2, True)
    assert urgency(people, 1) == (1, True)
    people.run("SELECT mailroom_pause('mailroom', 'why')")
    assert urgency(people) == (0, False)
    people.run("SELECT mailroom_resume('mailroom')")
    people.run("UPDATE deliveries SET due_at = now() + interval '1 min' WHERE token = %s", token)
    waiting, next_due_ms, attended, urgent = people.run("SELECT * FROM mailroom_due('mailroom', 10)")[0]
    assert (waiting, attended, urgent) == (1, False, False)
    assert 59_000 < next_due_ms <= 60_000
    people.run("UPDATE deliveries SET due_at = now()")
    steps.claim()
    assert urgency(people) == (0, False)


def test_urgent_row_of_another_queue_does_not_count(people: Database, steps: Steps) -> None:
    """Each queue has its own deliveries."""
    people.run("ALTER TYPE job_type ADD VALUE 'second'")
    people.run("INSERT INTO jobs (job_type) VALUES ('second')")
    people.run("UPDATE mailroom_actions SET urgent = true")
    recovery(people)
    steps.claim()
    assert (urgency(people), urgency(people, queue="second")) == ((0, False), (1, True))


def test_held_says_what_no_sender_has_begun(people: Database, steps: Steps) -> None:
    """Of the given tokens, those that this holder still has claimed in this queue. It changes nothing."""
    people.run("ALTER TYPE job_type ADD VALUE 'second'")
    people.run("INSERT INTO jobs (job_type) VALUES ('second')")
    tokens = [recovery(people) for _ in range(4)]
    assert Steps(people.connection, "other").claim(1) == tokens[:1]
    assert steps.claim() == tokens[1:]
    steps.begin(tokens[1:2])
    query = "SELECT mailroom_held('mailroom', %s, %s)"
    before = people.run("SELECT * FROM deliveries ORDER BY token")
    assert people.run(query, "me", tokens) == [(tokens[2],), (tokens[3],)]
    assert people.run(query, "me", [*tokens[:2], tokens[3], 99]) == [(tokens[3],)]
    assert people.run(query, "other", tokens) == [(tokens[0],)]
    assert people.run(query.replace("'mailroom'", "'second'"), "me", tokens) == []
    assert people.run("SELECT * FROM deliveries ORDER BY token") == before


@pytest.mark.parametrize("action", [None, "invitation"])
def test_action_settings_are_what_the_table_has(people: Database, action: str | None) -> None:
    """One row for each action, by number."""
    rows: list[tuple[Any, ...]] = [
        (1, "activation", "/activate", False, "activationv1", 43200, False),
        (2, "password_recovery", "/recover", True, "passwordrecoveryv1", 86400, False),
    ]
    if action:
        add_invitation(people, head_start="0", urgent="true")
        rows.append((3, "invitation", "/invite", False, "invitationv1", 0, True))
    assert people.run("SELECT * FROM mailroom_action_settings()") == rows


def test_senders_of_an_account_count_each_other(database: Database) -> None:
    """Those that said within 5 s that they have mails to send. A row is deleted an hour after."""

    def share(sender: str, account: str = "aws") -> int:
        return int(database.one("SELECT mailroom_share_rate(%s, %s)", sender, account))

    def pass_seconds(seconds: float) -> None:
        database.run("UPDATE mailroom_senders SET seen_at = seen_at - %s * interval '1 s'", seconds)

    assert (share("a"), share("a"), share("b"), share("c", "other")) == (1, 1, 2, 1)
    pass_seconds(4)
    assert share("a") == 2
    pass_seconds(2)
    assert share("a") == 1
    assert share("b", "other") == 1
    pass_seconds(3590)
    assert share("b") == 1
    assert database.one("SELECT count(*) FROM mailroom_senders") == 3
    pass_seconds(11)
    assert share("d") == 1
    assert database.run("SELECT sender FROM mailroom_senders ORDER BY 1") == [("b",), ("d",)]


def test_senders_do_not_wait_for_each_other(database: Database) -> None:
    """One that is deleting old rows or has not committed yet delays no other."""
    database.run(
        "INSERT INTO mailroom_senders SELECT 'old' || n, 'aws', now() - interval '2 h' FROM generate_series(1, 3) n"
    )
    with database.connect() as other, other.transaction():
        other.execute("SELECT mailroom_share_rate('a', 'aws')")
        database.run("SET statement_timeout = '5s'")
        assert database.one("SELECT mailroom_share_rate('b', 'aws')") == 1
    assert database.one("SELECT mailroom_share_rate('b', 'aws')") == 2


def test_time_of_waiting_counts_from_the_insert(people: Database, steps: Steps) -> None:
    """`status` says how long the first one waits. The head start does not count; the delay of a retry does."""
    token = recovery(people)
    age(people, [token], 100)
    waits = "SELECT state, due, deliveries, round(extract(epoch FROM now() - {}))::integer"
    waits += " FROM mailroom_unsettled('mailroom')"
    assert people.run(waits.format("first_due")) == [("pending", True, 1, 100)]
    late = insert(people, "activation", 11)
    assert people.run(waits.format("first_due")) == [("pending", True, 12, 100)]
    assert people.run(waits.format("last_due")) == [("pending", True, 12, 0)]
    assert steps.claim(1) == [token]
    by_retry(steps, token)
    people.run("UPDATE deliveries SET due_at = now() - interval '7 s' WHERE token = %s", token)
    assert people.run(waits.format("first_due")) == [("pending", True, 12, 7)]
    people.run("DELETE FROM tokens WHERE id = ANY (%s)", late)
    assert people.one("SELECT extract(epoch FROM now() - queued_at) FROM mailroom_oldest('mailroom')") > 99


@pytest.mark.parametrize(
    ("state", "tries", "due", "waits"),
    [
        # seconds since it was due, and for how long it waits then
        ("pending", 0, 100_000 + 86400 + 3600, 100_000),  # new
        ("pending", 1, 7, 7),  # a retry
        ("pending", 1, 7200, 7200),  # a retry that no collector took
        ("pending", 1, 95_000, 95_000),
        ("claimed", 1, 7, 7),  # a lease that ran out
        ("claimed", 1, 7200, 7200),  # ... and no collector took it
        ("claimed", 1, 100_000 + 86400 + 3600, 100_000),  # ... and it has its place again
        ("pending", 3, 7200, 7200),
        ("sending", 3, 50 + 86400 + 3600, 50),  # ... and it has a place like a new one
    ],
)
def test_time_of_waiting_of_what_came_back(people: Database, state: str, tries: int, due: int, waits: int) -> None:
    """It is the time since then, as long as it has no place again; and then the time of its place."""
    recovery(people)
    people.run(
        "UPDATE deliveries SET queued_at = now() - interval '100000 s', due_at = now() - %s * interval '1 s',"
        " state = %s, attempts = %s, holder = 'me'",
        *(due, state, tries),
    )
    seconds = "SELECT round(extract(epoch FROM now() - first_due))::integer FROM mailroom_unsettled('mailroom')"
    assert people.run(seconds) == [(waits,)]


def test_oldest_is_one_that_will_be_mailed(database: Database) -> None:
    """A token that a newer one replaces, or that is over the limit, is not waited for."""
    prepared(database)
    database.run("UPDATE mailroom_actions SET newest_only = true")
    tokens = [recovery(database) for _ in range(3)]
    assert database.one("SELECT token FROM mailroom_oldest('mailroom')") == tokens[2]
