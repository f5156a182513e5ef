"""Signals that people send to a pipeline: a closed terminal, Ctrl-C, a stop of the service."""

import signal

import pytest

from tests.conftest import Environment
from tests.support.postgres import Database
from tests.support.processes import running
from tests.support.ses_endpoint import Endpoint
from tests.support.waiting import until

PIPELINE = "trap : HUP INT TERM; set -o pipefail; mailroom-collect | mailroom-send"
MAILS = 300


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_signal_to_the_pipeline_ends_both_in_order(
    database: Database, endpoint: Endpoint, pipeline_env: Environment, number: signal.Signals
) -> None:
    """Both end with 0 in the middle of their work. The next pipeline sends the rest, and no mail twice."""
    database.sign_up_many(MAILS)
    env = pipeline_env(MAILROOM_SES_MAX_RATE="100")
    with running(PIPELINE, env) as pipeline:
        until(lambda: len(endpoint.calls) > 2, "some mails are sent")
        pipeline.signal(number)
        pipeline.says("stopping: finishing the calls")
        pipeline.says(f"{number.name}: finishing the line")
        assert pipeline.wait() == 0, pipeline.err
        assert "Traceback" not in pipeline.err
    assert 0 < len(endpoint.addresses) < MAILS
    with running(PIPELINE, pipeline_env()):
        until(lambda: database.states() == {"sent": MAILS}, "the rest is sent")
    assert sorted(endpoint.addresses) == sorted(f"u{n}@example.com" for n in range(1, MAILS + 1))


def test_pipeline_under_nohup_continues(database: Database, pipeline_env: Environment) -> None:
    """A program that was started to ignore SIGHUP ignores it."""
    with running("nohup mailroom-collect | nohup mailroom-send", pipeline_env()) as pipeline:
        pipeline.says("acknowledging")
        pipeline.says("listening")
        pipeline.signal(signal.SIGHUP)  # the shell ends, the programs don't
        database.sign_up("ann")
        until(lambda: database.states() == {"sent": 1}, "the mail is sent")
        pipeline.signal(signal.SIGTERM)
        pipeline.says("SIGTERM: finishing the line")
