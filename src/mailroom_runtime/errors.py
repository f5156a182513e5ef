"""Pure: errors: what happened, what to do, and the exit status. Only the command line exits because of them."""

from typing import Literal


class MailroomError(Exception):
    """An error for a person: one sentence says what is wrong, one says what to do."""

    status = 1
    level: Literal["warning", "error"] = "error"
    """The level of its line in the log when the program goes on: error when only a person can help."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.message, self.hint = message, hint


class SettingError(MailroomError):
    """A setting is missing or wrong. Nothing was changed."""

    status = 2


class OperatorNeeded(MailroomError):
    """Trying again does not help until a person has fixed the configuration."""

    status = 2


class Unavailable(MailroomError):
    """The database can't do it now. Trying again may help. A program that does not try again ends with status 2."""

    status = 2
    level = "warning"


class ConnectionLost(Unavailable):
    """The database can't be reached, or the connection can't be used any more. Trying again may help."""


class StatementRefused(MailroomError):
    """A statement can't work, because of a programming error or because an object of the database was changed."""
