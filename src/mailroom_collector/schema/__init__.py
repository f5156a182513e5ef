"""Mailroom's schema: its versions, whose schema a database has, and how it is brought to a version.

migrations  the files that come with this version of mailroom
plan        pure: the steps from one version to another, and what is lost by them
contents    pure: is it mailroom's schema, at which version, or another program's
locks       pure: the locks that each step takes, and the locks that are in their way
catalog     reads from the database what is there, and who holds a lock
session     one transaction of a migration: its settings, its locks, its bookkeeping
lock_wait   tries until the locks are there, and names who holds them
migrator    brings the schema to a version
"""
