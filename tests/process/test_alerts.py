"""The alert rules of docs/alerts.yml in a real Prometheus that scrapes the real exporter."""

import re
import urllib.request
from pathlib import Path

import pytest

from tests.support.ledger import Steps
from tests.support.postgres import Database
from tests.support.processes import Running, environment, running
from tests.support.prometheus import is_installed, running_prometheus
from tests.support.waiting import until

SETTLED = "mailroom_deliveries_settled_total"


def expired(database: Database, prefix: str, last_try: str | None = None) -> list[int]:
    """Let 40 tokens expire before they are mailed, with or without a temporary failure before."""
    tokens = database.sign_up(*(f"{prefix}{n}" for n in range(40)))
    database.run("UPDATE deliveries SET error = %s WHERE state = 'pending'", last_try)
    database.run("UPDATE tokens SET expires_at = 1")
    Steps(database.connection).claim(40)
    return tokens


def page_read_by_a_person(exporter: Running) -> str:
    """Return the page as a person gets it. Prometheus loses nothing by that."""
    found = re.search(r"http://127\.0\.0\.1:\d+/metrics", exporter.err)
    assert found
    with urllib.request.urlopen(found[0], timeout=10) as response:
        return str(response.read().decode())


@pytest.mark.skipif(not is_installed(), reason="prometheus is not installed")
def test_first_burst_raises_the_alerts(database: Database, tmp_path: Path) -> None:
    """40 expired tokens, 40 failures with a new reason and 40 doubts, all at once and for the first time."""
    env = environment(MAILROOM_DATABASE_URL=database.url)
    with (
        running("exec mailroom-collect metrics --port 0", env) as exporter,
        running_prometheus(exporter, tmp_path) as prometheus,
    ):
        assert prometheus.firing() == set()
        with database.connection.transaction():
            expired(database, "a")
            expired(database, "b", "Throttling: rate exceeded")
            failed = expired(database, "c")
            database.run(
                "UPDATE deliveries SET state = 'failed', error = 'NeverSeenBefore: no', doubts = 1"
                " WHERE token = ANY (%s)",
                failed,
            )
        until(lambda: "NeverSeenBefore" in page_read_by_a_person(exporter), "the exporter has counted it")
        until(
            lambda: prometheus.firing() == {"MailroomTokensExpire", "MailroomFailures", "MailroomDoubts"},
            "the alerts fire",
        )
        for reason in ("the token expired", "the token expired; last try: Throttling", "NeverSeenBefore"):
            series = f'{SETTLED}{{reason="{reason}"}}'
            until(lambda s=series: prometheus.query(f"increase({s}[1m]) > 39"), f"an increase of {reason}")  # type: ignore[misc]
