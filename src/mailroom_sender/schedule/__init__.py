"""Decides which rows are sent next, and when.

waiting_rows    pure: makes batches of one action from waiting rows, the action with the highest head start first
pace            pure: limits the recipients a second
quota           asks SES for its rate, and sets the pace
rate_share      divides the rate among the senders that have mails to send
retries         pure: how often a row is tried, and the wait before the next try
retry_queue     pure: rows that this sender tries again
gates           pure: which calls are held, and when the next one may be made
held_rows       pure: chooses held rows that go back to the ledger
held_input      pure: how much of the pipe is read although all calls are held
call_schedule   pure: combines these
hold_log        logs calls that wait, and lower rates
"""
