"""PostgreSQL as both programs and all commands use it.

url         the database URL; a file is read again before each connection
failures    pure: a table of the meaning of each failure
pins        pure: settings that mailroom sets in each session, because others would change what statements do
connection  connections whose statements have a deadline, with errors that the table translates
schema      checks that schema and queue exist
"""
