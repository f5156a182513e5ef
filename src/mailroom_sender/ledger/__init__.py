"""The record of the rows that may be sent, and of their outcomes.

session             the sender's session with the database
retry_wait          the growing wait between two tries to reach it
shared_connection   the session, shared by the workers
not_sent_log        the log of rows that may not be sent
pause_log           the log of a queue that is paused
pending_begin       a begin on its way to the database
protocol            pure: what every ledger can do
database            begin and settle in the database
alone               begin and settle without one
"""
