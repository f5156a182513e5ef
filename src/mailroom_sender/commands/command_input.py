"""What the program hands to a command."""

from mailroom_runtime.postgres.url import DatabaseUrl
from mailroom_sender.settings import SenderSettings

CommandInput = tuple[SenderSettings, DatabaseUrl]
"""The settings, and where the database is, if it is anywhere."""
