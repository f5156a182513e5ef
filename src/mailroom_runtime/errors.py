"""Pure: errors, that is what happened, what to do, and the exit status. Only the command exits on them."""

from typing import Literal


class MailroomError(Exception):
    """Something a person reads: one sentence that says what is wrong, one that says what to do."""

    status = 1
    level: Literal["warning", "error"] = "error"
    """Of the log's line about it, for a program that goes on: error when only a person can help."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.message, self.hint = message, hint


class SettingError(MailroomError):
    """A setting is missing or bad. Nothing was touched."""

    status = 2


class OperatorNeeded(MailroomError):
    """Trying again does not help until somebody has changed something."""

    status = 2


class Unavailable(MailroomError):
    """The database can't do it now. Trying again may help; a program that does not try again ends with 2."""

    status = 2
    level = "warning"


class ConnectionLost(Unavailable):
    """The database can't be reached, or the connection is of no more use. Trying again may help."""


class StatementRefused(MailroomError):
    """A statement can't work: a programming error, or an object of the database that was changed."""
