"""What both programs need and neither owns: leaves that know nothing of tokens, the ledger or SES.

errors         what a person reads: message, hint and exit status
words          pure: counts, times and the words of others, as people read them
log            one event a line on stderr, as text or as JSON
repeats        pure: of many events of one kind, which get a line and which are counted
repeated_log   logs such events
schema_name    pure: what a schema may be called, and the names of a statement in it
backoff        pure: how long to wait before the next try
settings       options, variables and secrets that both programs read
process        signals, the watchdog and the service manager
postgres       the database: its URL, connections with a deadline, what a failure means
"""
