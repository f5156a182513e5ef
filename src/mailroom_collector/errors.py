"""Pure: the collector's own errors."""

from mailroom_runtime.errors import MailroomError


class ReaderGone(MailroomError):
    """Nothing more can be written to stdout: its reader has gone, or the disk is full."""


class UnknownAction(Exception):
    """A token has an action that is not among the actions that were read last."""


class UnfitToken(Exception):
    """A token can't be signed or printed. The text is the reason, without the token's values."""
