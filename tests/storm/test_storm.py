"""A short storm in CI. `make storm SECONDS=300 SEED=1` runs a long one."""

from pathlib import Path

import pytest

from tests.storm.__main__ import table
from tests.storm.plan import plan
from tests.storm.storm import run_storm
from tests.support.postgres import running_server
from tests.support.ses_endpoint import Endpoint

SEED, SECONDS = 1, 15.0


def test_same_seed_makes_the_same_plan() -> None:
    """A storm that found a bug can be repeated."""
    assert plan(7, 60) == plan(7, 60) != plan(8, 60)


@pytest.mark.long
@pytest.mark.timeout(400)
def test_storm_keeps_the_promises(endpoint: Endpoint, tmp_path: Path) -> None:
    """No mail is lost or stale, the right one goes first, and each doubled mail is recorded in the ledger."""
    with running_server() as server:  # its own server, because the storm restarts it
        storm, verdict = run_storm(server, endpoint, tmp_path, SEED, SECONDS)
    assert verdict.holds, table(storm, verdict, SEED, SECONDS, SECONDS)
    assert verdict.mailed > 100
    assert sum(storm.faults.values()) > 3
    assert verdict.order.judged > 10
