"""Reads the ledger, and changes it.

session       a connection for a command, and queries of one snapshot
overview      reads the state of the queue
live_status   reads the state of the queue again and again
failures      reads what was not mailed, and puts it back
unmatched     finds out why a choice matched nothing
removal       removes old settled deliveries, batch by batch
listen_test   tests whether notifications arrive through this URL
"""
