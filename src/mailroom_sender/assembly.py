"""Builds a sender from its settings. The imports are slow, so only a sender that starts makes them."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

from mailroom_runtime.errors import SettingError
from mailroom_runtime.postgres.schema import check_schema
from mailroom_runtime.process.systemd import Notifier
from mailroom_runtime.process.watchdog import Watchdog
from mailroom_sender.address.from_address import domain_of, is_public
from mailroom_sender.aws.session import is_of_aws
from mailroom_sender.call_dispatcher import CallDispatcher
from mailroom_sender.delivery.preview import Preview
from mailroom_sender.delivery.protocol import Delivery
from mailroom_sender.delivery.ses_calls import SesCalls
from mailroom_sender.delivery.ses_delivery import SesDelivery
from mailroom_sender.input.action import KnownActions
from mailroom_sender.input.stdin import LineInput
from mailroom_sender.input.unknown_actions import UnknownActions
from mailroom_sender.ledger.alone import LedgerAlone
from mailroom_sender.ledger.database import ACKNOWLEDGE, STEP, DatabaseLedger
from mailroom_sender.ledger.not_sent_log import not_sent_log
from mailroom_sender.ledger.protocol import SenderLedger
from mailroom_sender.ledger.session import DatabaseSession, read_actions_once
from mailroom_sender.ledger.shared_connection import SharedConnection
from mailroom_sender.log import log
from mailroom_sender.output.folder import prepare_folder
from mailroom_sender.output.responses import ResponseFiles
from mailroom_sender.output.stdout import CallOutput
from mailroom_sender.output.unsent_rows import UnsentRows
from mailroom_sender.row_reader import RowReader
from mailroom_sender.schedule.call_schedule import CallSchedule
from mailroom_sender.schedule.pace import Pace
from mailroom_sender.schedule.quota import Quota
from mailroom_sender.schedule.rate_share import RateShare
from mailroom_sender.schedule.waiting_rows import MOST_DESTINATIONS
from mailroom_sender.sender import Sender
from mailroom_sender.sender_status import SenderStatus
from mailroom_sender.ses.client import SesClient
from mailroom_sender.ses.request import Envelope
from mailroom_sender.settings import SenderSettings

_STDIN, _STDOUT = 0, 1
_HANG: Final = 4
"""The main loop counts as hung after so many answer timeouts. In one round it waits for at most three answers."""


def sender(settings: SenderSettings, environment: Mapping[str, str]) -> Sender:
    """Return a sender that reads stdin. Raises SettingError or OperatorNeeded."""
    known = KnownActions()
    unsent = UnsentRows(prepare_folder(settings.output_path))
    database = None if settings.debug else _database(settings, known)
    pace = Pace() if settings.max_rate is None else Pace(settings.max_rate)
    delivery, quota, share = _delivery(settings, unsent, database, pace)
    # A preview prints its calls in the order in which they would be made.
    concurrency = 1 if settings.debug else settings.concurrency
    schedule = CallSchedule(pace, 2 * MOST_DESTINATIONS * concurrency, gives_back=delivery.gives_back)
    unknown_actions = UnknownActions(known, _action_reader(settings, database, known))
    reader = RowReader(LineInput(_STDIN), unknown_actions, schedule, unsent)
    calls = CallDispatcher(delivery, schedule, quota, unsent, concurrency, share=share)
    notifier = Notifier(environment)
    return Sender(
        reader, calls, database, SenderStatus(notifier, Watchdog(_HANG * settings.answer_timeout, notifier, log))
    )


def _action_reader(
    settings: SenderSettings, database: SharedConnection | None, known: KnownActions
) -> Callable[[], None] | None:
    """Return a function that reads the actions from the database, if there is one. Debug mode reads them too."""
    if database is not None:
        return database.read_actions
    if settings.database_url is None:
        return None
    read = partial(read_actions_once, settings.database_url, known, settings.answer_timeout)
    read()
    return read


def _database(settings: SenderSettings, known: KnownActions) -> SharedConnection | None:
    if settings.database_url is None:
        log(
            "MAILROOM_DATABASE_URL is unset: nothing is acknowledged, and rows that can't be sent go to replay files",
            "warning",
            event="no_database",
        )
        return None
    queue = settings.queue_name
    check = partial(check_schema, queue=queue, function=STEP)
    return SharedConnection(
        DatabaseSession(settings.database_url, (ACKNOWLEDGE, (queue,)), settings.answer_timeout, known, check)
    )


def _delivery(
    settings: SenderSettings, unsent: UnsentRows, database: SharedConnection | None, pace: Pace
) -> tuple[Delivery, Quota, RateShare | None]:
    """Return the delivery, and what asks SES for its rate, and the database for this sender's share of it."""
    envelope = Envelope(settings.source, settings.config_set, settings.escape_html, settings.link_base_url)
    if settings.debug:
        _warn_of_debug()
        output = CallOutput(_STDOUT, without="debug mode ends with the next call")
        return Preview(envelope, unsent, output, as_text=_is_text(settings.debug_format)), Quota(None, pace), None
    if settings.link_base_url is None:
        _warn_of_no_base_url()
    ses = _ses_client(settings.concurrency, settings.lease_ms)
    _check_source(settings.source, ses.endpoint)
    calls = SesCalls(ses, envelope, ResponseFiles(settings.output_path), CallOutput(_STDOUT))
    not_sent = not_sent_log()
    ledger: SenderLedger = LedgerAlone(unsent)
    share = None
    if database is not None:
        ledger = DatabaseLedger(database, settings.queue_name, settings.lease_ms, not_sent)
        if settings.max_rate is None:
            share = RateShare(partial(_count_senders, ledger, ses), pace)
    quota = Quota(ses.max_send_rate if settings.max_rate is None else None, pace)
    return SesDelivery(ledger, calls, not_sent), quota, share


def _count_senders(ledger: DatabaseLedger, ses: SesClient, rate: float) -> int:
    """Return how many senders of this account have mails to send. Its endpoint, region and rate stand for its name."""
    return ledger.count_senders(f"{ses.endpoint} {ses.region} {rate:g}")


def _ses_client(concurrency: int, lease_ms: int) -> SesClient:
    return SesClient(
        connections=concurrency + 1,  # one for the question for the rate
        # Begin, the call and settle must fit into the lease.
        connect_timeout=lease_ms / 6000,
        call_timeout=lease_ms / 2000,
    )


def _is_text(debug_format: str) -> bool:
    return debug_format == "text" or (debug_format == "auto" and os.isatty(_STDOUT))


def _warn_of_debug() -> None:
    log(
        "debug: requests are printed, and nothing is sent or acknowledged; a printed row stays claimed until its"
        " collector ends, so other pipelines of the queue do not get it; where no sender acknowledges, it counts as"
        " handed out",
        "warning",
        event="debug_mode",
    )


def _warn_of_no_base_url() -> None:
    log(
        "MAILROOM_LINK_BASE_URL is unset: SES would not render a template that uses base_url, as the shipped ones do,"
        " and would drop its mails without an error; set it, unless your templates do not use it",
        "warning",
        event="base_url_unset",
    )


def _check_source(source: str, endpoint: str) -> None:
    """Check that SES can accept the domain of the From. For another endpoint than AWS's, only warn.

    Raises SettingError.
    """
    if is_public(source):
        return
    fault = f"MAILROOM_SES_SOURCE is {source}, and SES refuses every mail from {domain_of(source)}"
    if is_of_aws(endpoint):
        raise SettingError(fault, "set it to an address of a domain that is verified in SES")
    log(
        f"{fault}; mails still go to {endpoint}, which is not AWS and may accept them",
        "warning",
        event="source_not_public",
        source=source,
        endpoint=endpoint,
    )
