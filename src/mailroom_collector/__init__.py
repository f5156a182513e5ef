"""From a token in PostgreSQL to a signed line on stdout.

The files, in the order in which a row meets them:

    cli         options and environment to settings; errors to exit statuses
    collector   the join: one loop around one poll
    agenda      pure: what is to be done now, and until when to wait
    hearing     what is rung: hears it, and looks without it when bells come fast
    attendance  pure: when inserts need not ring
    echo        pure: do notifications arrive
    pause       pure: has an operator paused the queue
    database    connect and LISTEN
    drain       a chunk at a time, while the one before is signed and printed
    ledger      the collector's steps, one SQL call each
    tokens      what is claimed
    actions     pure: what a token may be for
    signing     pure: token and key to the secret field, and back
    wire        pure: signed tokens to lines of bytes
    holding     what this process holds, until it is begun, emitted or given back
    outlet      stdout: whole lines; which the reader took; is it gone

Beside the way:

    summary     pure: what was done, a line every few minutes
    progress    pure: the bar of a backlog
    terminal    stderr, where the bar is drawn

And settings, errors, log, asking (before what is not easily undone), schema (brings the database up to
date), operations (what an operator does). Leaves that both programs use are in mailroom_runtime.
"""

from mailroom_collector.actions import Action
from mailroom_collector.signing import verify_token

__all__ = ["Action", "verify_token"]
