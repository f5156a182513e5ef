"""Serves the metrics: what the ledger says when it is asked, over HTTP, for all pipelines of a queue at once."""

import select
import threading
import time
from collections.abc import Iterable, Iterator
from importlib import metadata
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from mailroom_collector.log import log
from mailroom_collector.operations.figures import ListenResult, QueueProgress
from mailroom_collector.operations.metrics.scrapers import Scrapers
from mailroom_collector.operations.metrics.settlement_counts import BOUNDS, SettlementCounts
from mailroom_collector.operations.queries.listen_test import ListenTest
from mailroom_collector.operations.queries.overview import read_progress
from mailroom_collector.operations.queries.session import one_snapshot, open_session
from mailroom_runtime.errors import MailroomError, SettingError, Unavailable
from mailroom_runtime.log import Level
from mailroom_runtime.postgres.connection import DeadlineConnection
from mailroom_runtime.postgres.url import DatabaseUrl
from mailroom_runtime.process.wakeup import Wakeup

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

_PATIENCE: Final = 5.0  # seconds for an answer: Prometheus gives a scrape up after 10
_FRESH: Final = 1.0  # seconds for which an answer is good for other scrapes
_SHARE: Final = 10
"""An answer that took long is good for so many times that time."""
_ECHO: Final = 30.0  # seconds between tests whether notifications arrive
_DOUBTS: Final = ("doubts", "")
_LATENCY: Final = ("latency", "")
"""The other counters, beside those of a state and a reason."""


class Exporter(Collector):
    """Asks one queue when it is scraped, over one connection after another."""

    def __init__(self, url: DatabaseUrl, queue: str) -> None:
        self._url = url
        self._queue = queue
        self._lock = threading.Lock()
        self._connection: DeadlineConnection | None = None
        self._echo_test: ListenTest | None = None
        self._echo = ListenResult(None)
        self._echo_at = 0.0
        self._counts = SettlementCounts()
        self._scrapers = Scrapers()
        self._scraper = threading.local()  # each request has a thread of its own
        self._progress: QueueProgress | None = None
        self._took = 0.0
        self._fresh_until = 0.0
        self._problem = ""

    def ask(self) -> None:
        """Ask the ledger. Raises MailroomError."""
        began = time.monotonic()
        try:
            if self._connection is None:
                self._connection = open_session(self._url, self._queue, _PATIENCE)
                self._echo_test, self._echo_at = ListenTest(self._connection, self._url), 0.0
            with one_snapshot(self._connection):
                progress = read_progress(self._connection, self._queue)
                self._counts.look(self._connection, self._queue, progress.at)
            self._progress, self._took = progress, time.monotonic() - began
            if self._echo_test is not None and time.monotonic() >= self._echo_at:
                self._echo = self._echo_test.call()
                self._echo_at = time.monotonic() + _ECHO
        except MailroomError:
            self._progress = None
            self.close()
            raise

    def close(self) -> None:
        """End the session."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def collect(self) -> Iterable[Metric]:
        """Return what a scrape shows; a database that is away only means that mailroom_up is 0."""
        with self._lock:
            if time.monotonic() >= self._fresh_until:
                self._refresh()
            return list(self._metrics())

    def naming_scrapers(self, app: "WSGIApplication") -> "WSGIApplication":
        """Return an application that notes who scrapes, by address and program, and then does what `app` does."""

        def named(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
            self._scraper.name = f"{environ.get('REMOTE_ADDR', '')} {environ.get('HTTP_USER_AGENT', '')}"
            return app(environ, start_response)

        return named

    def _refresh(self) -> None:
        began = time.monotonic()
        problem = ""
        level: Level = "info"
        try:
            self.ask()
        except MailroomError as error:
            problem, level = str(error), error.level
        if problem != self._problem:
            log(problem or "the database answers again", level)
        self._problem = problem
        ended = time.monotonic()
        self._fresh_until = ended + (_FRESH if problem else max(_FRESH, _SHARE * (ended - began)))

    def _gauge(self, name: str, documentation: str, value: float) -> GaugeMetricFamily:
        family = GaugeMetricFamily(f"mailroom_{name}", documentation, labels=["queue"])
        family.add_metric([self._queue], value)
        return family

    def _metrics(self) -> Iterator[Metric]:
        build = InfoMetricFamily("mailroom_build", "The version of this exporter.")
        build.add_metric([], {"version": metadata.version("mailroom-ses")})
        yield build
        yield self._gauge("up", "Whether the ledger answered the last question: 1, or 0.", not self._problem)
        yield from self._totals()
        if self._progress is not None:
            yield from self._moment(self._progress)
        if self._echo.arrives is not None and self._progress is not None:
            yield self._gauge(
                "notifications_arrive",
                "Whether a notification of another session arrived: 1, or 0.",
                self._echo.arrives,
            )
        if self._echo.ms is not None and self._progress is not None:
            yield self._gauge(
                "notification_echo_seconds", "How long the last notification took to arrive.", self._echo.ms / 1000
            )

    def _totals(self) -> Iterator[Metric]:
        counts = self._counts
        first = self._scrapers.first_shown(
            getattr(self._scraper, "name", ""), [*counts.settled, _DOUBTS, _LATENCY], time.monotonic()
        )
        settled = CounterMetricFamily(
            "mailroom_deliveries_settled",
            "Deliveries settled since this exporter started, by state and reason.",
            labels=["queue", "state", "reason"],
        )
        for (state, reason), number in sorted(counts.settled.items()):
            settled.add_metric([self._queue, state, reason], 0 if (state, reason) in first else number)
        yield settled
        doubts = CounterMetricFamily(
            "mailroom_doubts",
            "Calls to SES without an answer, each perhaps a second mail, of deliveries settled since this exporter"
            " started.",
            labels=["queue"],
        )
        doubts.add_metric([self._queue], 0 if _DOUBTS in first else counts.doubts)
        yield doubts
        yield self._latency(SettlementCounts() if _LATENCY in first else counts)
        if counts.last_sent_at is not None:
            yield self._gauge(
                "last_sent_timestamp_seconds", "When a mail was last recorded as sent, within a day before the start.",
                counts.last_sent_at.timestamp(),
            )  # fmt: skip

    def _latency(self, counts: SettlementCounts) -> Metric:
        histogram = HistogramMetricFamily(
            "mailroom_commit_to_sent_seconds",
            "From the begin of the transaction that inserted a token until its mail was recorded as sent.",
            labels=["queue"],
        )
        upto, buckets = 0, []
        for bound, mails in zip([*map(str, BOUNDS), "+Inf"], counts.buckets, strict=True):
            upto += mails
            buckets.append((bound, float(upto)))
        histogram.add_metric([self._queue], buckets, counts.seconds)
        return histogram

    def _moment(self, progress: QueueProgress) -> Iterator[Metric]:
        unsettled = GaugeMetricFamily(
            "mailroom_deliveries_unsettled",
            "Deliveries that are not settled: waiting (due, later), held (claimed, sending), or held under a lease that"
            " ran out (lapsed).",
            labels=["queue", "state"],
        )
        for state, number in (
            ("due", progress.count("pending", due=True)),
            ("later", progress.count("pending", due=False)),
            ("claimed", progress.count("claimed", due=False)),
            ("sending", progress.count("sending", due=False)),
            ("lapsed", progress.lapsed),
        ):
            unsettled.add_metric([self._queue, state], number)
        yield unsettled
        holders = GaugeMetricFamily(
            "mailroom_lease_holders", "Processes that hold deliveries, by state.", labels=["queue", "state"]
        )
        for state in ("claimed", "sending"):
            holders.add_metric([self._queue, state], sum(one.state == state and not one.due for one in progress.leases))
        yield holders
        yield self._gauge(
            "oldest_mailable_age_seconds", "Age of the oldest token that may still be mailed; 0 without any.",
            progress.age,
        )  # fmt: skip
        if progress.oldest is not None:
            yield self._gauge(
                "oldest_mailable_expiry_timestamp_seconds", "When the oldest token expires that may still be mailed.",
                progress.oldest.expires_at.timestamp(),
            )  # fmt: skip
        yield self._gauge(
            "overdue_seconds", "For how long something is due that nobody took up; 0 without any.", progress.overdue
        )
        yield self._gauge(
            "attended", "Whether a collector attends, so that inserts don't notify: 1, or 0.", progress.attended
        )
        if progress.acknowledged_at is not None:
            yield self._gauge(
                "acknowledged_timestamp_seconds", "When a sender last said that it settles what it sends.",
                progress.acknowledged_at.timestamp(),
            )  # fmt: skip
        yield self._gauge(
            "paused", "Whether an operator has paused the queue: 1, or 0.", progress.paused_at is not None
        )
        yield self._gauge("ledger_answer_seconds", "How long the ledger took for its last answer.", self._took)


def serve(url: DatabaseUrl, queue: str, address: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT. Raises MailroomError when a person must fix the database, and SettingError."""
    exporter = Exporter(url, queue)
    try:
        exporter.ask()
    except Unavailable as error:
        log(f"{error}; a scrape will try again", error.level)
    registry = CollectorRegistry(auto_describe=False)
    registry.register(exporter)
    with Wakeup() as wakeup:
        try:
            server, thread = start_http_server(port, address, registry)
        except OSError as error:
            raise SettingError(
                f"{address} port {port} can't be listened on: {error.strerror}", "give another --address or --port"
            ) from None
        if app := server.get_app():
            server.set_app(exporter.naming_scrapers(app))
        log(f"metrics of queue {queue} at http://{address}:{server.server_port}/metrics")
        select.select([wakeup], [], [])
        server.shutdown()
        thread.join()
    exporter.close()
