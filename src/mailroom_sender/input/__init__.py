"""From bytes on stdin to rows.

stdin             complete lines; the bytes behind the last newline are never a line
action            pure: the actions that a mail may be for
row               pure: one row, with its own bytes
line              pure: a line to rows and bad rows
unknown_actions   rows of unknown actions, kept until the database was asked
"""
