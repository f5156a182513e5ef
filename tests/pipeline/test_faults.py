"""Both programs when SES refuses with unknown words: a fault that is not a row's loses no mail."""

import json

from tests.conftest import Environment
from tests.pipeline.test_pipeline import PIPELINE
from tests.support.postgres import Database
from tests.support.processes import running
from tests.support.ses_endpoint import Endpoint, refused
from tests.support.waiting import until

REFUSAL = refused("MessageRejected", "Not today")


def test_refusal_of_everything_puts_all_rows_back(
    database: Database, endpoint: Endpoint, pipeline_env: Environment
) -> None:
    """No row fails, an error tells the operator, and each row is mailed once when SES accepts mails again."""
    endpoint.decide = lambda _: REFUSAL
    with running(PIPELINE, pipeline_env(MAILROOM_SES_CONCURRENCY="1", MAILROOM_LOG_FORMAT="json")) as pipeline:
        pipeline.says("acknowledging")
        database.sign_up_many(30)
        pipeline.says('"event": "calls_held"')
        (reported,) = [line for line in map(json.loads, pipeline.err.splitlines()) if line["event"] == "calls_held"]
        assert (reported["level"], reported["program"]) == ("error", "mailroom-send")
        assert "failed" not in database.states()
        assert len(endpoint.calls) < 25
        endpoint.decide = lambda _: None
        until(lambda: database.states() == {"sent": 30}, "all are sent")
        pipeline.says("calls are made again")
    assert sorted(endpoint.addresses) == sorted(f"u{n}@example.com" for n in range(1, 31))
    assert database.one("SELECT sum(doubts) FROM deliveries") == 0


def test_bad_rows_among_good_ones_fail_one_by_one(
    database: Database, endpoint: Endpoint, pipeline_env: Environment
) -> None:
    """This holds even if they come first and are more than a run."""
    bad = {f"u{n}@example.com" for n in range(1, 13)}
    endpoint.decide = lambda call: REFUSAL if bad & set(call.addresses) else None
    with running(PIPELINE, pipeline_env(MAILROOM_SES_CONCURRENCY="1")) as pipeline:
        pipeline.says("acknowledging")
        database.sign_up_many(60)
        until(lambda: database.states() == {"sent": 48, "failed": 12}, "all are settled")
    assert database.run("SELECT DISTINCT error FROM deliveries WHERE state = 'failed'") == [
        ("MessageRejected: Not today",)
    ]


def test_lone_refused_row_fails_once_another_mail_is_accepted(
    database: Database, endpoint: Endpoint, pipeline_env: Environment
) -> None:
    """Until then it is tried again, because the cause is unknown."""
    endpoint.decide = lambda call: REFUSAL if "ann@example.com" in call.addresses else None
    with running(PIPELINE, pipeline_env()) as pipeline:
        pipeline.says("acknowledging")
        (ann,) = database.sign_up("ann")
        until(lambda: database.one("SELECT attempts FROM deliveries") >= 2, "it is tried again")
        assert database.state(ann) != "failed"
        database.sign_up("ben")
        until(lambda: database.state(ann) == "failed", "it failed")
    assert endpoint.addresses == ["ben@example.com"]
