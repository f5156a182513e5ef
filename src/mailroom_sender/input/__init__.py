"""Makes rows from the bytes of stdin.

stdin             reads complete lines; bytes without a newline at their end are never a line
action            pure: the actions, which say what a mail is for
row               pure: one row, with its own bytes
line              pure: splits a line into rows and bad rows
unknown_actions   keeps rows of unknown actions until the database was asked
"""
