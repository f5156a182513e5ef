"""From a token in PostgreSQL to a signed line on stdout.

The files and folders, in the order in which a row meets them:

    cli            options and environment to settings; errors to exit statuses
    secret_key     the secret key's option, and reading it
    settings       the collector's settings, checked
    assembly       puts the parts together, by the settings
    collector      the loop around one poll
    event_poll     the poll: signals, notifications, room in stdout
    schedule       when to claim: notifications, fast polling, pause
    ledger         the session with the database; the steps in the ledger
    claims         the claimed rows, from the claim to the record of what became of them
    drain          claims chunk after chunk, while the one before is signed and printed
    sign           from a claimed token to a signed line
    output         stdout, where each token is, and the leases of the claimed tokens
    report         the summary, the service manager's status and the progress bar
    log            the collector's log
    errors         pure: errors of the collector's own
    schema         brings the database up to date
    operations     what an operator does

Leaves that both programs use are in mailroom_runtime.
"""

from mailroom_collector.sign.action import Action
from mailroom_collector.sign.signature import verify_token

__all__ = ["Action", "verify_token"]
