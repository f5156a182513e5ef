"""The sender's ledger, on a real database."""

import base64
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailroom_sender.input.action import MailAction
from mailroom_sender.input.row import Row
from mailroom_sender.ledger.database import DatabaseLedger
from mailroom_sender.ledger.not_sent_log import not_sent_log
from mailroom_sender.ledger.protocol import Settlement
from mailroom_sender.ledger.shared_connection import SharedConnection
from mailroom_sender.schedule.held_rows import HeldRows
from mailroom_sender.ses import holds
from mailroom_sender.ses.verdict import Outcome, Verdict
from tests.support.ledger import Steps
from tests.support.postgres import Database
from tests.support.sender_parts import Clock, ses_client, ses_delivery, shared_connection
from tests.support.ses_endpoint import Endpoint, accepted
from tests.support.waiting import until

LEASE_MS = 1000


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def connection(database: Database) -> Iterator[SharedConnection]:
    connection = shared_connection(database.url)
    connection.open()
    yield connection
    connection.close()


@pytest.fixture
def ledger(connection: SharedConnection, clock: Clock) -> DatabaseLedger:
    return DatabaseLedger(connection, "mailroom", LEASE_MS, not_sent_log(), clock)


def claimed(database: Database, *tokens: int) -> list[Row]:
    """Claim tokens, and return their rows as the sender reads them."""
    database.run("UPDATE deliveries SET due_at = now() - interval '1 s' WHERE state = 'pending'")
    assert Steps(database.connection).claim() == [*tokens]
    found = database.run(
        "SELECT t.secret, a.login FROM tokens t JOIN accounts a ON a.id = t.account WHERE t.id = ANY (%s)"
        " ORDER BY t.id",
        list(tokens),
    )
    return [
        Row(MailAction.ACTIVATION, f"{login}@example.com", login, _field(secret), "", b"") for secret, login in found
    ]


def _field(secret: bytes) -> str:
    return base64.urlsafe_b64encode(secret + bytes(32)).decode().rstrip("=")


@pytest.mark.parametrize(
    ("status", "states"),
    [
        ("Failed", ["pending", "failed"]),
        ("MessageRejected", ["failed"]),
        ("TransientFailure", ["pending", "pending", "pending"]),
    ],
)
def test_failed_is_tried_once_more(
    database: Database,
    ledger: DatabaseLedger,
    endpoint: Endpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    states: list[str],
) -> None:
    """SES's "Failed" may be temporary once. Permanent refusals and holds are not counted with it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SES", endpoint.url)
    ses = ses_client()
    endpoint.decide = lambda call: accepted(
        [(status, "why") if address.startswith("ann@") else ("Success", "m-123456") for address in call.addresses]
    )
    (ann,) = database.sign_up("ann")
    seen: list[str] = []
    with ses_delivery(ledger, ses, tmp_path) as delivery:
        for number, _ in enumerate(states):
            (other,) = database.sign_up(f"u{number}")  # SES accepts a mail of it, so the account and the From work
            delivery.start(claimed(database, ann, other))()
            seen.append(database.state(ann))
    assert seen == states


def test_old_answer_of_begin_is_renewed(
    database: Database, ledger: DatabaseLedger, clock: Clock, capfd: pytest.CaptureFixture[str]
) -> None:
    """A process that was stopped asks again. The time of the call counts from the new answer."""
    (token,) = database.sign_up("ann")
    rows, holder = claimed(database, token), ledger.new_holder()
    permission = ledger.begin_soon(rows, holder)
    clock.advance(LEASE_MS / 4000)
    (begun,) = permission.wait().begun
    assert clock() < begun.call_by <= clock() + LEASE_MS / 4000
    assert begun.attempt == 1
    assert f"too long for a lease of {LEASE_MS} ms; asking it again" in capfd.readouterr().err


def test_begin_is_good_for_a_quarter_of_the_lease(database: Database, ledger: DatabaseLedger, clock: Clock) -> None:
    """The rest of the lease is for the call and for settle."""
    (token,) = database.sign_up("ann")
    rows, before = claimed(database, token), clock()
    (begun,) = ledger.begin(rows, ledger.new_holder()).begun
    assert before + LEASE_MS / 4000 <= begun.call_by <= clock() + LEASE_MS / 4000


def test_outcome_of_a_locked_row_is_recorded_when_the_lock_ends(
    database: Database, connection: SharedConnection
) -> None:
    """An application that deletes an account and rolls back causes no second mail."""
    ledger = DatabaseLedger(connection, "mailroom", 30_000, not_sent_log())
    (token,) = database.sign_up("ann")
    begun = ledger.begin(claimed(database, token), ledger.new_holder()).begun
    settling = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'mailroom-send' AND query LIKE %s"
    with database.connect() as application:
        application.execute("BEGIN; DELETE FROM accounts")
        sent = [Settlement(one, Verdict(Outcome.SENT, "", message_id="m-1")) for one in begun]
        thread = threading.Thread(target=lambda: ledger.settle(sent))
        thread.start()
        until(lambda: database.one(settling, "%mailroom_settle_rows%") == 1, "it is sent for the first time")
        assert thread.is_alive()
        application.execute("ROLLBACK")
    thread.join()
    assert database.run("SELECT state::text, message_id FROM deliveries") == [("sent", "m-1")]
    assert ledger.unrecorded == 0


def test_outcome_of_a_row_that_stays_locked_is_given_up_with_the_lease(
    database: Database, ledger: DatabaseLedger, connection: SharedConnection, capfd: pytest.CaptureFixture[str]
) -> None:
    """It is tried for half of the lease. Then the log names the token, and the lease decides."""
    (token,) = database.sign_up("ann")
    begun = ledger.begin(claimed(database, token), ledger.new_holder()).begun
    with database.connect() as application:
        application.execute("BEGIN; DELETE FROM accounts")
        seconds = itertools.count()
        settling = DatabaseLedger(connection, "mailroom", LEASE_MS, not_sent_log(), lambda: float(next(seconds)))
        sent = [Settlement(one, Verdict(Outcome.SENT, "", message_id="m-1")) for one in begun]
        assert settling.settle(sent) == []
        application.execute("ROLLBACK")
    assert settling.unrecorded == 1
    assert f"the outcome of the tokens [{token}] was not recorded: another transaction" in capfd.readouterr().err


def test_pause_is_logged_once_and_its_end_too(
    database: Database, ledger: DatabaseLedger, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every begin says that the queue is paused. The log says it only when it changes."""
    tokens = database.sign_up("ann", "ben")
    batches = [[row] for row in claimed(database, *tokens)]
    database.run("SELECT mailroom_pause('mailroom', 'a copy')")
    assert [ledger.begin(batch, ledger.new_holder()).begun for batch in batches] == [[], []]
    database.run("SELECT mailroom_resume('mailroom')")
    assert len(ledger.begin(claimed(database, *tokens), ledger.new_holder()).begun) == 2
    said = capfd.readouterr().err
    assert (said.count("the queue mailroom is paused:"), said.count("is not paused any more")) == (1, 1)


def test_held_row_that_is_given_back_is_due_after_a_while(
    database: Database, ledger: DatabaseLedger, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It waits in the ledger with the reason of the hold. No call is made for it."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SES", endpoint.url)
    rows = claimed(database, *database.sign_up("ann", "ben"))
    with ses_delivery(ledger, ses_client(), tmp_path) as delivery:
        assert delivery.gives_back
        result = delivery.give_back(HeldRows(rows, "no template", holds.TEMPLATE, 15.0))
    assert (result.verdicts, result.again, endpoint.calls) == ([], [], [])
    assert (
        database.run(
            "SELECT state::text, error, due_at BETWEEN now() + interval '10 s' AND now() + interval '60 s'"
            " FROM deliveries"
        )
        == [("pending", "no template", True)] * 2
    )


@pytest.mark.parametrize("delays", [None, [30.0, 30.0]], ids=["at its place", "later"])
def test_row_that_is_given_back_has_no_attempt_and_no_life(
    database: Database, ledger: DatabaseLedger, delays: list[float] | None
) -> None:
    """No call was made for it. Otherwise a long hold would use up the life of the rows of an import."""
    database.run("UPDATE mailroom_actions SET life_from = 'mail', longest_wait = 5000")
    tokens = database.sign_up("ann", "ben")
    before = database.run("SELECT expires_at FROM tokens ORDER BY id")
    for _ in range(3):
        assert ledger.give_back(claimed(database, *tokens), "held", delays) == []
        assert database.run("SELECT DISTINCT state::text, attempts, error, due_at > now() FROM deliveries") == [
            ("pending", 0, "held", delays is not None)
        ]
    assert database.run("SELECT expires_at FROM tokens ORDER BY id") == before
    rows = claimed(database, *tokens)
    assert len(ledger.begin(rows, ledger.new_holder()).begun) == 2
    assert ledger.give_back(rows) == []  # what is being sent stays
    assert database.states() == {"sending": 2}


def test_locked_row_that_is_given_back_is_tried_again(
    database: Database, ledger: DatabaseLedger, endpoint: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not lost."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SES", endpoint.url)
    ann, ben = claimed(database, *database.sign_up("ann", "ben"))
    with database.connect() as application, ses_delivery(ledger, ses_client(), tmp_path) as delivery:
        application.execute("BEGIN; DELETE FROM accounts WHERE login = 'ann'")
        result = delivery.give_back(HeldRows([ann, ben], "no template", holds.TEMPLATE, 15.0))
        application.execute("ROLLBACK")
    assert [again.row for again in result.again] == [ann]
    assert database.states() == {"claimed": 1, "pending": 1}


def test_senders_of_an_account_are_counted(database: Database, ledger: DatabaseLedger) -> None:
    """A sender counts for five seconds after its last question. Senders of another account do not count."""
    connection = shared_connection(database.url)
    connection.open()
    other = DatabaseLedger(connection, "mailroom", LEASE_MS, not_sent_log())
    assert [one.count_senders("eu-west-1 14") for one in (ledger, other, ledger)] == [1, 2, 2]
    assert other.count_senders("eu-west-1 500") == 1
    assert ledger.count_senders("eu-west-1 14") == 1
    other.count_senders("eu-west-1 14")
    database.run("UPDATE mailroom_senders SET seen_at = seen_at - interval '5 s'")
    assert ledger.count_senders("eu-west-1 14") == 1
    connection.close()
