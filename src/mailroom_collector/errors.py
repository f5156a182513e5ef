"""Errors: what happened, what to do, and the exit status. Only the command exits on them."""

from typing import Final

UNREACHABLE: Final = "look at MAILROOM_DATABASE_URL and whether the server runs"
"""What to do about a ConnectionLost, for who doesn't try again."""


class MailroomError(Exception):
    """Something a person reads: one sentence that says what is wrong, one that says what to do."""

    status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}; {hint}" if hint else message)


class SettingError(MailroomError):
    """A setting is missing or bad. Nothing was touched."""

    status = 2


class OperatorNeeded(MailroomError):
    """Trying again won't help until somebody has changed something."""

    status = 2


class ConnectionLost(MailroomError):
    """The database can't be reached now; trying again may help. who doesn't, ends with 2."""

    status = 2


class ReaderGone(MailroomError):
    """stdout leads nowhere: nobody reads it any more, or its disk is full."""


class UnknownAction(Exception):
    """A token of an action that was not there when the actions were last read."""


class UnfitToken(Exception):
    """A token that can't be signed or printed; the text is the reason, without its values."""
