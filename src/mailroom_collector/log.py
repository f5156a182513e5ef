"""The collector's log."""

from typing import Final

from mailroom_runtime.log import Log
from mailroom_runtime.repeated_log import RepeatedLog
from mailroom_runtime.words import counted

log: Final = Log("mailroom-collect", "PG")


def token_log(event: str, fate: str) -> RepeatedLog:
    """Return the log of tokens that share a fate, each with its reason; `event` names it in JSON."""
    return RepeatedLog(
        log,
        event,
        "token",
        lambda token, reason: f"token {token} is {fate}: {reason}",
        lambda more: f"{counted(more.count, 'more token')} {fate}, {more.first} to {more.last}: {more.reason}",
    )
