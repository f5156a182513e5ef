"""Reads the ledger, and changes it.

session       a connection for a command, and queries of one snapshot
overview      reads the state of the queue
paced         repeats a costly query only after many times its duration
live_status   reads the state of the queue again and again
failures      reads what was not mailed, and puts it back
histories     reads what became of tokens
unmatched     finds out why a choice matched nothing
removal       removes old settled deliveries, batch by batch
listen_test   tests whether notifications arrive through this URL
"""
