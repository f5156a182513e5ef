"""The database as the collector sees it.

connection   connects and LISTENs; notifies
scan         pure: where in the order of due rows a claim begins, and how many rows it asks for
steps        the collector's steps, one SQL call each
session      connects, connects again after a loss, and opens a second connection for a backlog
"""
