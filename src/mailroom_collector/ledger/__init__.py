"""The database as the collector sees it.

connection   a connection that LISTENs, and one that notifies
scan         pure: where in the order of due rows a claim begins
steps        the collector's steps in the ledger, one SQL call each
outlook      reads what waits, by action, and what of it will be late
session      connects, connects again after a loss, and opens a second connection during a backlog
"""
