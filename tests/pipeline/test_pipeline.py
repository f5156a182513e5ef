"""Both programs in a shell pipeline, on a real database and a local SES."""

import json

from tests.conftest import Environment
from tests.support.postgres import Database
from tests.support.processes import running
from tests.support.ses_endpoint import Endpoint
from tests.support.waiting import until

# The trap lets the shell live until both have ended, and tell their status.
PIPELINE = "trap : TERM INT; set -o pipefail; mailroom-collect | mailroom-send"


def test_sign_up_is_mailed_and_its_outcome_recorded(
    database: Database, endpoint: Endpoint, pipeline_env: Environment
) -> None:
    """A sign-up arrives at SES once, and the ledger knows its message id."""
    with running(PIPELINE, pipeline_env()) as pipeline:
        pipeline.says("acknowledging")
        (token,) = database.sign_up("ann")
        until(lambda: database.state(token) == "sent", "the token is sent")
        assert endpoint.addresses == ["ann@example.com"]
        assert database.one("SELECT message_id FROM deliveries") == "m-1"
        assert pipeline.stop() == 0
        answer = json.loads(pipeline.out)
    assert answer["destinations"][0]["message_id"] == "m-1"


def test_bulk_insert_flows_at_once_and_whole(database: Database, endpoint: Endpoint, pipeline_env: Environment) -> None:
    """Ten thousand accounts of one INSERT are all mailed, each once, without waiting for the batch timer."""
    with running(PIPELINE, pipeline_env(MAILROOM_BATCH_TIMEOUT="200000")) as pipeline:
        pipeline.says("acknowledging")
        database.sign_up_many(10_000)
        until(lambda: database.states() == {"sent": 10_000}, "all are sent", 60)
        assert pipeline.stop() == 0
    assert sorted(endpoint.addresses) == sorted(f"u{n}@example.com" for n in range(1, 10_001))
