"""The database as the collector sees it.

connection   connects and LISTENs; notifies
scan         pure: where in the order of due rows a claim begins, and how many rows it asks for
steps        the collector's steps, one SQL call each
"""
