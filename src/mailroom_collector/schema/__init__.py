"""Mailroom's schema: its versions, what a database has of it, and how a database is brought to a version.

migrations  the files that come with this version of mailroom
plan        pure: the steps from one version to another, and what they lose
contents    pure: whether it is mailroom's schema, and at which version
locks       pure: the locks that each step takes, and which locks conflict with them
catalog     reads what a schema has, and which sessions hold a lock
session     one transaction of a migration: its settings, its locks, its bookkeeping
lock_wait   tries until the locks are there, and names who holds them
migrator    brings the schema to a version
"""
