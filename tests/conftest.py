import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from demo.embedded import server_version, what_root_changes
from tests.support import processes
from tests.support.postgres import PROGRAMS, Database, Server, running_server
from tests.support.ses_endpoint import Endpoint, running_endpoint

settings.register_profile("mailroom", deadline=None, print_blob=True)  # a shared machine may pause for seconds
settings.load_profile("mailroom")

Environment = Callable[..., dict[str, str]]


@pytest.fixture(scope="session", autouse=True)
def default_signals() -> None:
    """Ignore no signal. Under nohup or in a shell's background, the started programs would inherit an ignored one."""
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    with running_server() as server:
        yield server


@pytest.fixture
def database(server: Server) -> Iterator[Database]:
    database = Database(server, server.new_database())
    yield database
    database.close()


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    with running_endpoint() as endpoint:
        yield endpoint


@pytest.fixture
def collector_env(database: Database) -> Environment:
    """The collector's environment. Its batch timeout is short, because most tests wait for it."""

    def env(**settings: str) -> dict[str, str]:
        defaults = {"MAILROOM_DATABASE_URL": database.url, "MAILROOM_BATCH_TIMEOUT": "50"}
        return processes.environment(**(defaults | settings))

    return env


@pytest.fixture
def sender_env(endpoint: Endpoint, tmp_path: Path) -> Environment:
    """The sender's environment without a database."""

    def env(**settings: str) -> dict[str, str]:
        defaults = {
            "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
            "AWS_SECRET_ACCESS_KEY": "example",
            "AWS_ENDPOINT_URL_SES": endpoint.url,
            "AWS_EC2_METADATA_DISABLED": "true",
            "MAILROOM_SES_OUTPUT_PATH": str(tmp_path / "output"),
            "MAILROOM_SES_SOURCE": "Mailroom <noreply@example.com>",
            "MAILROOM_SES_CONFIG_SET": "tracking",
        }
        return processes.environment(**(defaults | settings))

    return env


@pytest.fixture
def pipeline_env(collector_env: Environment, sender_env: Environment) -> Environment:
    """Both programs' environment: the sender acknowledges."""

    def env(**settings: str) -> dict[str, str]:
        return sender_env() | collector_env() | settings

    return env


@pytest.hookimpl(trylast=True)  # after pytest-randomly
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the longest tests first. A long test that began last would run alone at the end."""
    items.sort(key=lambda item: item.get_closest_marker("first") is None)


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Show the versions of the parts, and how many tests run at a time. pytest-randomly adds the seed."""
    changes = what_root_changes(Path(tempfile.gettempdir()) / "mailroom" / "pg")
    workers = config.getoption("numprocesses", None) or 1
    server = f"PostgreSQL {server_version(PROGRAMS)} ({PROGRAMS or 'embedded'}), one for each worker"
    return [f"python {sys.version.split()[0]}; {server}; workers: {workers}", *filter(None, [changes])]
