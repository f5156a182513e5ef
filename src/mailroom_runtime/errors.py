"""Pure: errors with a message, a hint and an exit status. Only the command line turns an error into an exit."""

from typing import Literal


class MailroomError(Exception):
    """An error for a person: `message` says what is wrong, `hint` says what to do."""

    status = 1
    level: Literal["warning", "error"] = "error"
    """The level of its log line when the program continues. It is `error` when only a person can help."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.message, self.hint = message, hint


class SettingError(MailroomError):
    """A setting is missing or wrong. Nothing was changed."""

    status = 2


class OperatorNeeded(MailroomError):
    """The program can't continue until a person has fixed the configuration."""

    status = 2


class Unavailable(MailroomError):
    """The database can't run the statement now. Another try may help. Without another try the exit status is 2."""

    status = 2
    level = "warning"


class ConnectionLost(Unavailable):
    """The database can't be reached, or the connection can't be used any more. Another try may help."""


class StatementRefused(MailroomError):
    """A statement can't work: mailroom has a bug, or somebody has changed an object of the database."""
