"""Pure: errors of the collector's own."""

from mailroom_runtime.errors import MailroomError


class ReaderGone(MailroomError):
    """stdout leads nowhere: nobody reads it any more, or its disk is full."""


class UnknownAction(Exception):
    """A token of an action that was not there when the actions were last read."""


class UnfitToken(Exception):
    """A token that can't be signed or printed; the text is the reason, without its values."""
