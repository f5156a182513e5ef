"""Logs rows that may not be sent. A few tokens of each reason get a line each. The others are counted."""

from mailroom_runtime.repeated_log import RepeatedLog
from mailroom_runtime.repeats import Repeat
from mailroom_runtime.words import counted
from mailroom_sender.log import log

UNKNOWN_TOKEN = 0
"""Stands for the id of a token that is not in the ledger, or of any token if the sender has no database."""


def not_sent_log() -> RepeatedLog:
    """Return a log of tokens that are not sent, with their reasons. Its owner calls log_counts()."""
    return RepeatedLog(log, "token_not_sent", "token", _one, _many)


def _one(token: int, reason: str) -> str:
    return f"token {_name(token)} is not sent: {reason}"


def _many(more: Repeat) -> str:
    return f"{counted(more.count, 'more token')} not sent, {_name(more.first)} to {_name(more.last)}: {more.reason}"


def _name(token: int) -> str:
    return "?" if token == UNKNOWN_TOKEN else str(token)
