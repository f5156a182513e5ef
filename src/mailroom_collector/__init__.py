"""From a token in PostgreSQL to a signed line on stdout.

The files and folders, in the order in which a row meets them:

    cli          options and environment to settings; errors to exit statuses
    collector    the loop around one poll, which puts the parts together
    schedule     when to claim: notifications, fast polling, pause
    ledger       connect and LISTEN; the steps in the database
    drain        claims chunk after chunk, while the one before is signed and printed
    sign         from a claimed token to a signed line
    output       stdout, and the leases of what was claimed
    report       the summary and the progress bar
    settings     what the collector was told
    secret_key   the secret key's option, and reading it
    errors       pure: errors of the collector's own
    log          the collector's log
    schema       brings the database up to date
    operations   what an operator does

Leaves that both programs use are in mailroom_runtime.
"""

from mailroom_collector.sign.action import Action
from mailroom_collector.sign.signature import verify_token

__all__ = ["Action", "verify_token"]
