"""Pure: errors of the sender's own."""


class Stopped(Exception):
    """The sender is to stop, and what was being waited for has not come."""
