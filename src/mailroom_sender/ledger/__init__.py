"""The record of what may be sent and of what became of it.

connection   the sender's connection, shared by its workers
steps        begin and settle: in the database, or alone without one
"""
