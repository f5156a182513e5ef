"""From a token in PostgreSQL to a signed line on stdout.

The files and folders, in the order in which a row meets them:

    cli            reads options and environment, and starts the collector or a command
    secret_key     reads the secret key, and defines its option
    settings       the checked settings of the collector
    assembly       builds a collector from its settings
    collector      the main loop
    event_poll     the one poll: for signals, for notifications, for a writable stdout
    schedule       decides when to claim: notifications, fast polling, pause
    ledger         the session with the database, and the steps in the ledger
    claims         the claimed rows, until the ledger has recorded their outcome
    drain          claims chunk by chunk, and signs and prints the chunk before
    sign           makes signed lines from claimed tokens
    output         writes lines to stdout; tracks the place and the lease of each token
    report         the summary, the status for the service manager, and the progress bar
    log            the collector's log
    errors         pure: the collector's own errors
    schema         brings the database schema to a version
    operations     the commands of an operator

mailroom_runtime has the code that both programs share.
"""

from mailroom_collector.sign.action import Action
from mailroom_collector.sign.signature import verify_token

__all__ = ["Action", "verify_token"]
