"""Asks the database whether a lone recovery waits for other mails."""

from typing import Final

from mailroom_runtime.errors import MailroomError
from mailroom_runtime.postgres.connection import OPERATOR, connect, translated
from mailroom_runtime.postgres.url import DatabaseUrl
from mailroom_sender.check.finding import Finding, Status

_TIMEOUT: Final = 10.0  # seconds
_WAITS: Final = (
    "SELECT EXISTS (SELECT FROM mailroom.mailroom_action_settings() WHERE name = 'password_recovery' AND NOT urgent)"
)
_TURN_ON: Final = "UPDATE mailroom_actions SET urgent = true WHERE name = 'password_recovery' (docs/order.md)"


def lone_mails(url: DatabaseUrl | str | None) -> list[Finding]:
    """Return a finding if a lone recovery waits. If the database can't be read, the other checks of it say why."""
    if url is None:
        return []
    try:
        with connect(url, OPERATOR, _TIMEOUT) as connection, translated():
            row = connection.execute(_WAITS).fetchone()
    except MailroomError:
        return []
    if not (row and row[0]):
        return [Finding("lone mails", Status.OK, "a password recovery is urgent: it waits for no other mails")]
    found = (
        "a lone password recovery waits up to MAILROOM_BATCH_TIMEOUT (5 s) for other mails, while a person waits for it"
    )
    return [Finding("lone mails", Status.WARNING, found, _TURN_ON)]
