"""The log of rows that may not be sent: a few of each reason by their tokens, the rest counted."""

from mailroom_runtime.repeated_log import RepeatedLog
from mailroom_runtime.repeats import Repeat
from mailroom_runtime.words import counted
from mailroom_sender.log import log

UNKNOWN_TOKEN = 0
"""The number of a token that the ledger does not know, or a sender without a database."""


def not_sent_log() -> RepeatedLog:
    """Return a log of tokens and the reasons why they are not sent; its owner calls tell()."""
    return RepeatedLog(log, "token_not_sent", "token", _one, _many)


def _one(token: int, reason: str) -> str:
    return f"token {_name(token)} is not sent: {reason}"


def _many(more: Repeat) -> str:
    return f"{counted(more.count, 'more token')} not sent, {_name(more.first)} to {_name(more.last)}: {more.reason}"


def _name(token: int) -> str:
    return "?" if token == UNKNOWN_TOKEN else str(token)
