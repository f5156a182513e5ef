"""Mailroom's schema: its versions, the version of a database, and the way from one version to another.

migrations  the files that come with this version of mailroom
plan        pure: the steps from one version to another, and what they lose
contents    pure: whether it is mailroom's schema, and at which version
locks       pure: the locks that each step takes, and which locks conflict with them
catalog     reads what a schema has, and which sessions hold a lock
session     one transaction of a migration: its settings, its locks, its record of the version
lock_wait   tries until it gets the locks, and names the sessions that hold them
migrator    brings the schema to a version
"""
