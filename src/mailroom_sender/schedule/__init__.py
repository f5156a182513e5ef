"""Which rows are sent next, and when.

waiting_rows    pure: waiting rows to batches of one action
pace            pure: how many recipients may go when
quota           asks SES for its rate, and hands it to the pace
retries         pure: how often a row is tried, and when again
retry_queue     pure: rows that this sender tries again
gates           pure: the calls that wait, and when the next one is made
call_schedule   pure: all of these together
hold_log        the log of calls that wait and of rates
"""
