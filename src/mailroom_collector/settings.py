"""The checked settings of the collector. Secrets come from the environment or a file, never from options."""

import os
import re
import secrets
import socket
from dataclasses import dataclass, field
from typing import Final

from mailroom_runtime.errors import SettingError
from mailroom_runtime.postgres.url import DatabaseUrl
from mailroom_runtime.words import counted

_KEY = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)


LEDGER_CHANNEL: Final = "token_insert"
"""The channel that the ledger's own functions notify (migrations/1_ledger.up.sql)."""
_TIMEOUT: Final = 10.0  # seconds, at least, because a busy server answers late


@dataclass(frozen=True, slots=True)
class CollectorSettings:
    """The collector's settings; times in ms."""

    database_url: DatabaseUrl
    secret_key: bytes = field(repr=False)
    channel_name: str
    queue_name: str
    healthcheck_interval_ms: int
    batch_timeout_ms: int
    batch_limit: int
    lease_ms: int

    def __post_init__(self) -> None:
        """Check settings against each other. Raises SettingError."""
        if self.healthcheck_interval_ms < self.batch_timeout_ms:
            raise SettingError(
                f"MAILROOM_HEALTHCHECK_INTERVAL is {self.healthcheck_interval_ms} ms",
                f"it may not be less than MAILROOM_BATCH_TIMEOUT, which is {self.batch_timeout_ms} ms",
            )

    @property
    def channels(self) -> tuple[str, ...]:
        """Return the channels to listen on: the one that is set, and the one that the ledger itself notifies."""
        return tuple(dict.fromkeys((self.channel_name, LEDGER_CHANNEL)))

    @property
    def answer_timeout(self) -> float:
        """Return the seconds for each answer of the database. An answer after the end of the lease is of no use."""
        return max(_TIMEOUT, self.lease_ms / 1000)


def parse_key(text: str) -> bytes:
    """Return the 32 bytes of 64 hexadecimal digits. Raises SettingError; its text does not contain the digits."""
    if not _KEY.fullmatch(text):
        raise SettingError(
            f"MAILROOM_SECRET_KEY is wrong ({counted(len(text), 'character')})",
            "it must be 64 hexadecimal digits; 'openssl rand -hex 32' makes a new one",
        )
    key = bytes.fromhex(text)
    if len(set(key)) == 1:
        raise SettingError(
            "MAILROOM_SECRET_KEY is 32 times the same byte: anybody can guess it and make valid links",
            "'openssl rand -hex 32' makes a new one",
        )
    return key


def new_holder() -> str:
    """Return a name that no other process has ever had: host name, process id, and random digits."""
    return f"collect:{socket.gethostname()[:64]}:{os.getpid()}:{secrets.token_hex(8)}"
