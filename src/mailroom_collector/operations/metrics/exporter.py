"""Reads the ledger for a scrape, unless the last answer is fresh enough, and makes metric families of the answer."""

import threading
import time
from collections.abc import Iterable, Iterator
from importlib import metadata
from typing import TYPE_CHECKING, Final

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from mailroom_collector.ledger.outlook import OutlookQuestion
from mailroom_collector.log import log
from mailroom_collector.operations.figures import ListenResult, QueueProgress
from mailroom_collector.operations.metrics.families import DOUBTS, LATENCY, QueueFamilies, build
from mailroom_collector.operations.metrics.outlook_reader import OutlookReader
from mailroom_collector.operations.metrics.scrapers import Scrapers
from mailroom_collector.operations.metrics.settlement_counts import SettlementCounts
from mailroom_collector.operations.queries.listen_test import ListenTest
from mailroom_collector.operations.queries.overview import read_progress
from mailroom_collector.operations.queries.session import one_snapshot, open_session
from mailroom_collector.report.outlook import Outlook
from mailroom_runtime.errors import MailroomError
from mailroom_runtime.postgres.connection import OPERATOR, DeadlineConnection, connect
from mailroom_runtime.postgres.url import DatabaseUrl
from mailroom_runtime.settings.program import DISTRIBUTION

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_TIMEOUT: Final = 5.0  # seconds for an answer: Prometheus gives up a scrape after 10
_FRESH: Final = 1.0  # seconds for which further scrapes use an answer, at least
_SHARE: Final = 10
"""Further scrapes use an answer for so many times the duration of its query."""
_OUTLOOK_TIMEOUT: Final = 60.0  # seconds for what waits by action: it reads each waiting row
_LISTEN_TEST_INTERVAL: Final = 30.0  # seconds


class Exporter(Collector):
    """Reads one queue when it is scraped. It connects again after a failure."""

    def __init__(self, url: DatabaseUrl | str, queue: str) -> None:
        self._url = url
        self._queue = queue
        self._families = QueueFamilies(queue)
        self._lock = threading.Lock()
        self._connection: DeadlineConnection | None = None
        self._listen_test: ListenTest | None = None
        self._listen_result = ListenResult(None)
        self._listen_test_at = 0.0
        self._counts = SettlementCounts()
        self._scrapers = Scrapers()
        self._scraper = threading.local()  # each request has a thread of its own
        self._progress: QueueProgress | None = None
        self._outlook = Outlook()
        question = OutlookQuestion(lambda: connect(url, OPERATOR, _OUTLOOK_TIMEOUT), queue)
        self._outlook_reader = OutlookReader(question)
        self._took = 0.0
        self._fresh_until = 0.0
        self._problem = ""

    def ask(self) -> None:
        """Read the ledger. Raises MailroomError."""
        try:
            self._ask()
        except MailroomError:
            self._progress = None
            self.close()
            raise

    def _ask(self) -> None:
        began = time.monotonic()
        if self._connection is None:
            self._connection = open_session(self._url, self._queue, _TIMEOUT)
            self._listen_test, self._listen_test_at = ListenTest(self._connection, self._url), 0.0
        with one_snapshot(self._connection):
            progress = read_progress(self._connection, self._queue)
            self._counts.update(self._connection, self._queue, progress.at)
        self._progress, self._took = progress, time.monotonic() - began
        self._outlook = self._outlook_reader.read()
        if self._listen_test is not None and time.monotonic() >= self._listen_test_at:
            self._listen_result = self._listen_test.run()
            self._listen_test_at = time.monotonic() + _LISTEN_TEST_INTERVAL

    def close(self) -> None:
        """End the sessions."""
        self._outlook_reader.close()
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def collect(self) -> Iterable[Metric]:
        """Return the metrics of a scrape. If the database can't be read, mailroom_up is 0."""
        with self._lock:
            if time.monotonic() >= self._fresh_until:
                self._refresh()
            return list(self._metrics())

    def naming_scrapers(self, app: "WSGIApplication") -> "WSGIApplication":
        """Return an application that notes the scraper's address and program, and then calls `app`."""

        def named(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
            self._scraper.name = f"{environ.get('REMOTE_ADDR', '')} {environ.get('HTTP_USER_AGENT', '')}"
            return app(environ, start_response)

        return named

    def _refresh(self) -> None:
        began = time.monotonic()
        problem = ""
        try:
            self.ask()
        except MailroomError as error:
            problem = str(error)
            if problem != self._problem:
                log(problem, error.level, event="database_unavailable", reason=error.message, hint=error.hint or None)
        if self._problem and not problem:
            log("the database answers again", event="database_connected")
        self._problem = problem
        ended = time.monotonic()
        self._fresh_until = ended + (_FRESH if problem else max(_FRESH, _SHARE * (ended - began)))

    def _metrics(self) -> Iterator[Metric]:
        yield build(metadata.version(DISTRIBUTION))
        yield self._families.up(answered=not self._problem)
        scraper = getattr(self._scraper, "name", "")
        at_zero = self._scrapers.first_shown(scraper, [*self._counts.settled, DOUBTS, LATENCY], time.monotonic())
        yield from self._families.totals(self._counts, at_zero)
        if self._progress is not None:
            yield from self._families.now(self._progress, self._took)
            yield from self._families.outlook(self._outlook)
            yield from self._families.notifications(self._listen_result)
