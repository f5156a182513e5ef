"""From bytes on stdin to rows.

stdin             complete lines; what is behind the last newline is never a line
action            pure: what a mail may be for
row               pure: one row, with its own bytes
line              pure: a line to rows and bad rows
unknown_actions   asks the database for its actions; keeps the rows of unknown ones meanwhile
"""
