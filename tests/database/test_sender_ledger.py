"""What the sender's ledger makes of its calls, on a real database."""

import base64
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from mailroom_sender.delivery.ses_delivery import SesDelivery
from mailroom_sender.input.action import MailAction
from mailroom_sender.input.row import Row
from mailroom_sender.ledger.connection import SharedConnection
from mailroom_sender.ledger.steps import ACKNOWLEDGE, DatabaseLedger, Settlement
from mailroom_sender.output.rejected_rows import OutputFiles
from mailroom_sender.output.stdout import CallOutput
from mailroom_sender.ses.client import SesClient
from mailroom_sender.ses.request import Envelope
from mailroom_sender.ses.verdict import Outcome, Verdict
from tests.support.ledger import Steps
from tests.support.postgres import Database
from tests.support.ses_endpoint import Endpoint, accepted
from tests.support.waiting import until

LEASE_MS = 1000


@pytest.fixture
def ledger(database: Database) -> Iterator[DatabaseLedger]:
    connection = SharedConnection(database.url, ACKNOWLEDGE, ("mailroom",), patience=30.0)
    connection.open()
    yield DatabaseLedger(connection, "mailroom", LEASE_MS)
    connection.close()


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
def test_failed_is_tried_once_more_and_no_further(
    database: Database,
    ledger: DatabaseLedger,
    endpoint: Endpoint,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: str,
    states: list[str],
) -> None:
    """SES's "Failed" may be an accident once; what it takes never, or not now, is not mixed up with that."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "example")
    monkeypatch.setenv("AWS_ENDPOINT_URL_SES", endpoint.url)
    ses = SesClient(connections=1, connect_timeout=5.0, call_timeout=5.0)
    endpoint.decide = lambda call: accepted(
        [(status, "why") if address.startswith("ann@") else ("Success", "m-123456") for address in call.addresses]
    )
    (ann,) = database.sign_up("ann")
    seen: list[str] = []
    with (tmp_path / "answers").open("w") as answers:
        envelope = Envelope("a@b.example", "default", escape_html=True)
        delivery = SesDelivery(ledger, ses, envelope, OutputFiles(tmp_path), CallOutput(answers.fileno()))
        for number, _ in enumerate(states):
            (other,) = database.sign_up(f"u{number}")  # of whom SES takes a mail: nothing is wrong with all
            delivery.start(claimed(database, ann, other))()
            seen.append(database.state(ann))
    assert seen == states


def test_begin_that_was_answered_long_ago_is_asked_again(
    database: Database, ledger: DatabaseLedger, capfd: pytest.CaptureFixture[str]
) -> None:
    """A process that was stopped in between knows nothing of now; the call's time counts from the new answer."""
    (token,) = database.sign_up("ann")
    rows, holder = claimed(database, token), ledger.new_holder()
    answered = ledger.begin_soon(rows, holder)
    over = time.monotonic() + LEASE_MS / 1000 / 2  # more than a quarter of the lease
    until(lambda: time.monotonic() > over, "time passes")
    (begun,) = answered().begun
    assert begun.call_by > time.monotonic()
    assert begun.attempt == 1
    assert f"of a lease of {LEASE_MS} ms, and is asked again" in capfd.readouterr().err


def test_begin_is_good_for_a_quarter_of_the_lease(database: Database, ledger: DatabaseLedger) -> None:
    """The call and the settling have the rest."""
    (token,) = database.sign_up("ann")
    rows, before = claimed(database, token), time.monotonic()
    (begun,) = ledger.begin(rows, ledger.new_holder()).begun
    assert before + LEASE_MS / 4000 <= begun.call_by <= time.monotonic() + LEASE_MS / 4000


def test_outcome_whose_row_is_locked_is_told_until_it_is_taken(database: Database) -> None:
    """An application that deletes an account for a while, and thinks better of it, makes no mail go twice."""
    connection = SharedConnection(database.url, ACKNOWLEDGE, ("mailroom",), patience=30.0)
    connection.open()
    ledger = DatabaseLedger(connection, "mailroom", 30_000)
    (token,) = database.sign_up("ann")
    begun = ledger.begin(claimed(database, token), ledger.new_holder()).begun
    settling = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'mailroom-send' AND query LIKE %s"
    with database.connect() as application:
        application.execute("BEGIN; DELETE FROM accounts")
        sent = [Settlement(one, Verdict(Outcome.SENT, "", message_id="m-1")) for one in begun]
        thread = threading.Thread(target=lambda: ledger.settle(sent))
        thread.start()
        until(lambda: database.one(settling, "%mailroom_settle_rows%") == 1, "it is told for the first time")
        assert thread.is_alive()
        application.execute("ROLLBACK")
    thread.join()
    connection.close()
    assert database.run("SELECT state::text, message_id FROM deliveries") == [("sent", "m-1")]
    assert ledger.misses == 0
