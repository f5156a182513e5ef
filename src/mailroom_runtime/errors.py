"""Errors: what happened, what to do, and the exit status. Only the command exits on them."""


class MailroomError(Exception):
    """Something a person reads: one sentence that says what is wrong, one that says what to do."""

    status = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(f"{message}; {hint}" if hint else message)
        self.message, self.hint = message, hint


class SettingError(MailroomError):
    """A setting is missing or bad. Nothing was touched."""

    status = 2


class OperatorNeeded(MailroomError):
    """Trying again does not help until somebody has changed something."""

    status = 2


class ConnectionLost(MailroomError):
    """The database can't be reached now. Trying again may help; a program that does not try again ends with 2."""

    status = 2
