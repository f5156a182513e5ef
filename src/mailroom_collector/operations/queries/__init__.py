"""Questions to the ledger, and changes of it.

session       a connection for a command, and answers of one snapshot
overview      how the queue is
live_status   how the queue is, again and again
failures      what was not mailed; puts it back
unmatched     why a choice matched nothing
removal       removes what is old, batch by batch
listen_test   whether notifications arrive through this URL
"""
