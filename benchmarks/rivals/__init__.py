"""What mailroom is measured beside: workers of two queues that also need PostgreSQL only, and bare loops.

    procrastinate_worker, pgqueuer_worker    one job is one mail, in the way that their docs advise, tuned
    bare_boto3                               no queue at all: the calls that mailroom-send makes, made by threads
    bare_psycopg                             no mail at all: a line for each notification

All that mail use boto3 with mailroom-send's one try a call and a connection for each call at once, else as it comes.
"""

import json
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import psycopg
from botocore.config import Config

if TYPE_CHECKING:
    from types_boto3_ses import SESClient

SOURCE = "noreply@localhost"
CONFIG_SET = "default"
TEMPLATE = "activationv1"
SECRET = "s" * 86
"""As long as the secret of one of our mails. Nobody reads it."""


class EnqueueOne(Protocol):
    """How a single job is enqueued."""

    def __call__(self, connection: psycopg.Connection[Any], email: str, priority: int = 0) -> None:
        """Enqueue a job for this address. A higher priority goes first. Those of enqueue_many have 0."""


@dataclass(frozen=True, slots=True)
class Rival:
    """A queue, for the suites."""

    name: str
    module: str
    concurrency: int
    """The number of jobs at once that made it fastest with SES at 50 ms a call."""
    install: Callable[[str], None]
    """Makes its schema in the database of this URL."""
    enqueue_many: Callable[[str, int], None]
    """Puts this many jobs into the database of this URL, as fast as it can."""
    enqueue_one: EnqueueOne
    """Puts a job into the transaction that is open on a connection."""

    def command(self, database: str, endpoint: str, concurrency: int | None = None, rate: float | None = None) -> str:
        """Return the shell command that runs its worker, which sends at most `rate` mails a second."""
        words = [sys.executable, "-m", self.module, f"'{database}'", endpoint]
        limit = f" --rate {rate}" if rate else ""
        return f"exec {' '.join(words)} --concurrency {concurrency or self.concurrency}{limit}"


class Limiter:
    """Gives each job the moment when it may send: one after the other, at this rate. Can be used by threads."""

    def __init__(self, rate: float | None) -> None:
        """`rate` is in mails a second. None: no limit."""
        self._gap = 1 / rate if rate else 0.0
        self._lock = threading.Lock()
        self._next = 0.0

    def delay(self) -> float:
        """Take the next moment. Return the seconds until then."""
        with self._lock:
            now = time.monotonic()
            moment = max(now, self._next)
            self._next = moment + self._gap
            return moment - now


def ses_client(endpoint: str, connections: int) -> "SESClient":
    """Return a client with as many tries and connections as that of mailroom-send."""
    import boto3  # noqa: PLC0415 - only rivals that send need it

    config = Config(
        retries={"mode": "standard", "total_max_attempts": 1},
        max_pool_connections=connections,
        tcp_keepalive=True,
    )
    return boto3.client("ses", endpoint_url=endpoint, config=config)


def mail(client: "SESClient", email: str, login: str, secret: str) -> None:
    """Send one mail, as a job of a queue does."""
    client.send_templated_email(
        Source=SOURCE,
        ConfigurationSetName=CONFIG_SET,
        Destination={"ToAddresses": [email]},
        Template=TEMPLATE,
        TemplateData=json.dumps({"login": login, "secret": secret}, separators=(",", ":")),
    )


def address(number: int) -> str:
    """Return the address of a numbered account."""
    return f"user{number}@example.com"
