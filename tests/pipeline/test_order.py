"""Both programs where SES's rate is scarce, or calls are held: what is urgent passes, and the whole rate is used."""

import time
from functools import partial

import pytest

from tests.conftest import Environment
from tests.pipeline.test_pipeline import PIPELINE
from tests.support.postgres import Database
from tests.support.processes import running
from tests.support.rate_limit import RateLimit
from tests.support.ses_endpoint import Endpoint, refused
from tests.support.waiting import until

NO_TEMPLATE = refused("TemplateDoesNotExist", "Template activationv1 does not exist")
GIVEN_BACK = "SELECT count(*) FROM deliveries WHERE state = 'pending' AND error LIKE 'TemplateDoesNotExist%'"


@pytest.mark.first
@pytest.mark.parametrize("rate", [None, "50"], ids=["unknown rate", "known rate"])
def test_import_without_a_template_holds_no_recovery(
    database: Database, endpoint: Endpoint, pipeline_env: Environment, rate: str | None
) -> None:
    """Its rows go back to the ledger, where they wait for a while. They are mailed once the template is there."""
    endpoint.max_send_rate = rate
    endpoint.decide = lambda call: NO_TEMPLATE if call.template == "activationv1" else None
    database.sign_up("ann", "ben")
    database.run("UPDATE tokens SET consumed_at = 1")
    with running(PIPELINE, pipeline_env()) as pipeline:
        pipeline.says("acknowledging")
        database.sign_up_many(2000)
        pipeline.says("calls for activation wait, probing every 15 s")
        pipeline.says("their rows go back to the queue")
        until(lambda: database.one(GIVEN_BACK) > 100, "rows are given back")
        for count, login in enumerate(("ann", "ben"), 1):
            asked_at = time.monotonic()
            database.recovery(login)
            until(partial(has_mailed, endpoint, count), "the recovery is mailed")
            assert time.monotonic() - asked_at < 8.0
        assert endpoint.addresses == ["ann@example.com", "ben@example.com"]
        assert len(endpoint.calls) < 15


@pytest.mark.first
def test_senders_of_one_account_divide_its_rate(
    database: Database, endpoint: Endpoint, pipeline_env: Environment
) -> None:
    """Together they use all of it, with hardly a throttle. When one ends, the other one takes all of it."""
    endpoint.max_send_rate, endpoint.limit = "60", RateLimit(60, 0.3)
    database.sign_up_many(3000)
    with running(PIPELINE, pipeline_env()) as one, running(PIPELINE, pipeline_env()) as other:
        for pipeline in (one, other):
            pipeline.says("divides the rate of SES with 1 other sender: it sends to at most 29.4 recipients")
        until(lambda: rate_of_last(endpoint, 240) >= 0.95 * 60, "both together use all of it")
        assert endpoint.limit.throttled < 10  # when the second one began, before the first one knew
        throttled, count = endpoint.limit.throttled, len(endpoint.mailed)
        until(lambda: len(endpoint.mailed) >= count + 120, "two more seconds pass")
        assert endpoint.limit.throttled <= throttled + 1
        assert other.stop() == 0
        ended_at = len(endpoint.mailed)
        until(
            lambda: len(endpoint.mailed) > ended_at + 120 and rate_of_last(endpoint, 120) >= 0.95 * 60,
            "it uses all",
            20,
        )
        assert one.stop() == 0


def has_mailed(endpoint: Endpoint, count: int) -> bool:
    return len(endpoint.addresses) >= count


def rate_of_last(endpoint: Endpoint, count: int) -> float:
    """Return the recipients a second of the last mails."""
    times = endpoint.mailed_at[-count:]
    return (count - 1) / (times[-1] - times[0]) if len(times) == count else 0.0
