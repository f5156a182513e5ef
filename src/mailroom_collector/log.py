"""The collector's log."""

from typing import Final

from mailroom_runtime.log import Log
from mailroom_runtime.repeated_log import RepeatedLog
from mailroom_runtime.words import counted

log: Final = Log("mailroom-collect", "PG")


def token_log(event: str, result: str) -> RepeatedLog:
    """Return a log of tokens that all got the same result, each with its reason.

    `result` is the result in words, `event` is its name in JSON.
    """
    return RepeatedLog(
        log,
        event,
        "token",
        lambda token, reason: f"token {token} is {result}: {reason}",
        lambda more: f"{counted(more.count, 'more token')} {result}, {more.first} to {more.last}: {more.reason}",
    )
