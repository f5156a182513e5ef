"""Pure: the sender's own errors."""


class Stopped(Exception):
    """The sender stops before the database has answered."""
