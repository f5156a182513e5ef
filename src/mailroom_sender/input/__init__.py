"""Makes rows from the bytes of stdin.

stdin             reads complete lines; bytes after the last newline are not a line
action            pure: the actions: what a mail is for
row               pure: one row, with its bytes
line              pure: splits a line into rows and bad rows
unknown_actions   keeps rows of unknown actions until the database has answered
"""
