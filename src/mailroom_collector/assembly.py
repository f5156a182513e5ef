"""Builds a collector from its settings."""

import os
import time
from collections.abc import Callable

from mailroom_collector.claims import Claims
from mailroom_collector.collector import Collector
from mailroom_collector.drain import Drain
from mailroom_collector.ledger.connection import notify
from mailroom_collector.ledger.outlook import OutlookQuestion
from mailroom_collector.ledger.session import LedgerAddress, LedgerSession
from mailroom_collector.log import log
from mailroom_collector.output.leases import Leases
from mailroom_collector.output.outstanding_rows import OutstandingRows
from mailroom_collector.output.stdout import LineOutput
from mailroom_collector.output.token_places import TokenPlaces
from mailroom_collector.report.backlog_bar import BacklogBar
from mailroom_collector.report.late_mails import LateMails
from mailroom_collector.report.reporter import Reporter
from mailroom_collector.report.terminal import Terminal
from mailroom_collector.schedule.claim_timer import ClaimTimer
from mailroom_collector.schedule.ledger_polls import LedgerPolls
from mailroom_collector.schedule.listen_check import ListenCheck
from mailroom_collector.schedule.notifications import TEST_TIMEOUT, Notifications
from mailroom_collector.schedule.pause import Pause
from mailroom_collector.settings import CollectorSettings, new_holder
from mailroom_collector.sign.signature import Signer
from mailroom_runtime.process.systemd import Notifier
from mailroom_runtime.process.watchdog import Watchdog

_STDERR = 2
Clock = Callable[[], float]


def build_collector(
    settings: CollectorSettings, stdout: int, notifier: Notifier, watchdog: Watchdog, clock: Clock = time.monotonic
) -> Collector:
    """Return a collector that writes to the descriptor `stdout`."""
    holder = new_holder()
    address = _address(settings, holder)
    session = LedgerSession(address, clock)
    claims = _claims(settings, LineOutput(stdout, TokenPlaces()), session, clock)
    terminal = Terminal(_STDERR, os.environ)
    if terminal.can_draw:
        log.before = terminal.erase
    late_mails = LateMails(OutlookQuestion(lambda: address.connect().link.connection, address.queue), clock)
    reporter = Reporter(notifier, BacklogBar(terminal, clock), late_mails, clock)
    return Collector(session, _polls(settings, holder, clock), claims, reporter, watchdog, clock)


def _address(settings: CollectorSettings, holder: str) -> LedgerAddress:
    return LedgerAddress(
        settings.database_url,
        settings.channels,
        settings.queue_name,
        holder,
        settings.lease_ms,
        settings.answer_timeout,
    )


def _claims(settings: CollectorSettings, output: LineOutput, session: LedgerSession, clock: Clock) -> Claims:
    leases = Leases(output, settings.lease_ms, clock)
    drain = Drain(Signer(settings.secret_key), output, leases, session, settings.batch_limit, clock)
    return Claims(drain, leases, output, OutstandingRows(settings.batch_limit), clock)


def _polls(settings: CollectorSettings, holder: str, clock: Clock) -> LedgerPolls:
    # At least once per lease: no notification announces the rows of a collector that died.
    interval_ms = min(settings.healthcheck_interval_ms, settings.lease_ms)
    timer = ClaimTimer(settings.batch_limit, settings.batch_timeout_ms / 1000, interval_ms / 1000)
    check = ListenCheck(settings.healthcheck_interval_ms / 1000, holder, settings.channels)
    notifications = Notifications(check, lambda calls: notify(settings.database_url, calls, TEST_TIMEOUT), clock)
    return LedgerPolls(timer, notifications, Pause(settings.queue_name), clock)
