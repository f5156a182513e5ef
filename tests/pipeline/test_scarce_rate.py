"""What is mailed first while more waits than SES takes, measured by SES's own record.

Counts of mails rather than seconds are compared where possible, because a busy machine changes only the seconds.
"""

import time
from statistics import median

import pytest

from tests.conftest import Environment
from tests.pipeline.test_pipeline import PIPELINE
from tests.support.postgres import Database
from tests.support.processes import running
from tests.support.ses_endpoint import Endpoint
from tests.support.waiting import until

RATE = 40
"""Recipients a second, of which the sender learns from SES."""
OUTSTANDING = 50
"""Rows that may be claimed and not sent: a call, or about a second of the rate."""
PREFERENCE = 2
"""Seconds by which a row with a head start may come later to a sender than another one and still go first."""


def add_active_accounts(database: Database, count: int) -> None:
    """Add accounts that may ask for a recovery."""
    database.run(
        "INSERT INTO accounts (email, login, status)"
        " SELECT 'r' || n || '@example.com', 'r' || n, 'active' FROM generate_series(1, %s) n",
        count,
    )


def ask(database: Database, number: int) -> float:
    """Ask for a recovery of one of these accounts. Return when it was committed, in monotonic seconds."""
    database.run(
        "INSERT INTO tokens (action, account) SELECT 'password_recovery', id FROM accounts WHERE login = %s",
        f"r{number}",
    )
    return time.monotonic()


@pytest.mark.first
def test_sign_ups_of_strangers_do_not_delay_a_recovery(
    database: Database, endpoint: Endpoint, pipeline_env: Environment
) -> None:
    """While 400 single sign-ups wait for SES, a recovery is mailed after about a second."""
    add_active_accounts(database, 5)
    endpoint.max_send_rate = str(RATE)
    with running(PIPELINE, pipeline_env()) as pipeline:
        pipeline.says("acknowledging")
        for number in range(400):
            database.run("INSERT INTO accounts (email, login) VALUES (%s, %s)", f"s{number}@example.com", f"s{number}")
        until(lambda: len(endpoint.mailed) > RATE, "the rate is what is scarce")
        overtaking = []
        for number in range(1, 6):
            ask(database, number)
            before = len(endpoint.mailed)
            until(lambda number=number: f"r{number}@example.com" in endpoint.addresses, "the recovery is mailed")  # type: ignore[misc]
            overtaking.append(endpoint.addresses.index(f"r{number}@example.com") - before)
        waiting = database.states().get("pending", 0)
    assert max(overtaking) <= OUTSTANDING, overtaking
    assert median(overtaking) <= RATE, overtaking
    assert waiting > RATE, "sign-ups waited all the time"


@pytest.mark.first
def test_import_is_not_starved(database: Database, endpoint: Endpoint, pipeline_env: Environment) -> None:
    """Recoveries come as fast as SES takes them. An import goes after those of its first 2 s, and before all others."""
    head_start, waiting, imported = 2, 100, 20
    database.run(
        "UPDATE mailroom_actions SET head_start = CASE name WHEN 'password_recovery' THEN %s ELSE 0 END", head_start
    )
    add_active_accounts(database, 1000)
    endpoint.max_send_rate = str(RATE)
    committed: list[float] = []  # of the recoveries

    def mailed(letter: str) -> int:
        return sum(address.startswith(letter) for address in endpoint.addresses)

    def import_is_mailed() -> bool:
        """Keep the same number of recoveries waiting."""
        while len(committed) - mailed("r") < waiting:
            committed.append(ask(database, len(committed) + 1))
        return mailed("u") == imported

    with running(PIPELINE, pipeline_env()) as pipeline:
        pipeline.says("acknowledging")
        import_is_mailed()
        database.sign_up_many(imported)
        inserted = time.monotonic()
        until(import_is_mailed, "the import is mailed")
        record = list(zip(endpoint.addresses, endpoint.mailed_at, strict=True))
    order = [address[0] for address, _ in record]
    first, last = order.index("u"), len(order) - 1 - order[::-1].index("u")
    earlier, later = order[:first].count("r"), order[:last].count("r")
    turn = sum(at < inserted + head_start for at in committed)  # the recoveries that go before the import
    assert turn > waiting + RATE, "recoveries were committed after the import, and before its turn"
    assert turn - earlier <= OUTSTANDING, "the import was mailed too early"
    assert later - turn <= OUTSTANDING + PREFERENCE * RATE, "the import was mailed too late"


@pytest.mark.first
@pytest.mark.parametrize("life_from", ["insert", "mail"])
def test_import_of_more_than_can_be_mailed_in_time(
    database: Database, endpoint: Endpoint, pipeline_env: Environment, life_from: str
) -> None:
    """The last of 300 mails waits for 7 s, and a token lives for 2 s. If its life begins with the mail, none is lost.

    The same as 100,000 at 14 a second, which takes 2 hours, and a life of 15 minutes.
    """
    count, lifetime = 300, 2
    database.run("UPDATE mailroom_actions SET life_from = %s, lifetime = %s", life_from, lifetime)
    endpoint.max_send_rate = str(RATE)
    clock = time.time() - time.monotonic()
    with running(PIPELINE, pipeline_env()) as pipeline:
        pipeline.says("acknowledging")
        database.sign_up_many(count)
        until(lambda: set(database.states()) <= {"sent", "skipped"}, "all are settled")
    states = database.states()
    if life_from == "insert":
        assert states["skipped"] > count / 2, states
        return
    assert states == {"sent": count}
    expires = dict(database.run("SELECT a.email, t.expires_at FROM tokens t JOIN accounts a ON a.id = t.account"))
    lives = [expires[address] - at - clock for address, at in zip(endpoint.addresses, endpoint.mailed_at, strict=True)]
    assert lifetime - 2 < min(lives) <= max(lives) <= lifetime
