"""Begins rows before a call, and settles them after it.

session             the sender's session with the database
retry_wait          the growing wait between two tries to reach the database
shared_connection   shares the session among the worker threads
not_sent_log        logs rows that may not be sent
pause_log           logs that the queue is paused
pending_begin       a begin whose answer has not come yet
protocol            pure: the methods of every ledger
database            begins and settles in the database
alone               begins and settles without a database
"""
