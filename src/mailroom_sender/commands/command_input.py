"""The values that the program passes to a command."""

from mailroom_runtime.postgres.url import DatabaseUrl
from mailroom_sender.settings import SenderSettings

CommandInput = tuple[SenderSettings, DatabaseUrl]
"""The settings, and the database URL, which may be unset."""
