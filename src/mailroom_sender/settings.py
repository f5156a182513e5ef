"""The checked settings of the sender. The database URL comes from the environment or a file, never from options."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mailroom_runtime.postgres.url import DatabaseUrl

_TIMEOUT: Final = 10.0  # seconds, at least: a busy server may take long


@dataclass(frozen=True, slots=True)
class SenderSettings:
    """The sender's settings; times in ms."""

    database_url: DatabaseUrl | None
    queue_name: str
    debug: bool
    debug_format: str  # auto, json, text
    config_set: str
    source: str  # in the form that SES accepts
    output_path: Path
    escape_html: bool
    link_base_url: str | None
    concurrency: int
    max_rate: int | None
    lease_ms: int

    @property
    def answer_timeout(self) -> float:
        """Return the seconds for each answer of the database. An answer after the end of the lease is of no use."""
        return max(_TIMEOUT, self.lease_ms / 1000)
