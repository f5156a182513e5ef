import pytest

from tests.support.ledger import Steps
from tests.support.postgres import Database


@pytest.fixture
def steps(database: Database) -> Steps:
    return Steps(database.connection)
