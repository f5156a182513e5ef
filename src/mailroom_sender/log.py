"""The sender's log."""

from typing import Final

from mailroom_runtime.log import Log

log: Final = Log("mailroom-send", "SES")
