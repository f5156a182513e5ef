"""The collector's log."""

from typing import Final

from mailroom_runtime.log import Log

log: Final = Log("mailroom-collect", "PG")
