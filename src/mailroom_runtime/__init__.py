"""The code that both programs share: leaves that know nothing of tokens, the ledger or SES.

errors         pure: errors with a message, a hint and an exit status
words          pure: counts, durations and foreign text, as people read them
log            writes one line for each event to stderr, as text or as JSON
repeats        pure: decides which of many similar events get a line, and counts the others
repeated_log   logs many similar events
schema_name    pure: the allowed names of a schema, and statements with their schema
backoff        pure: how long to wait before the next try
settings       options, variables and secrets that both programs read
process        signals, the watchdog and the service manager
postgres       the database: its URL, connections with a deadline, the meaning of failures
"""
