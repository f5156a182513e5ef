"""PostgreSQL as both programs and all commands use it.

url         where the database is; a file is read again before each connection
failures    pure: what a failure means, as data
pins        pure: settings of the role or the database that would change what statements do, as data
connection  connects: a connection whose statements have a deadline; its errors, translated by the table
schema      checks that schema and queue exist
"""
