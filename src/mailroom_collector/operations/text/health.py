"""Pure: whether mails are sent, in one line."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from mailroom_collector.operations.figures import QueueProgress
from mailroom_collector.operations.text.durations import format_duration, stamp
from mailroom_collector.report.outlook import Outlook, late_words
from mailroom_runtime.words import counted, visible

_UNKNOWN: Final = Outlook()


class Health(NamedTuple):
    """Whether mails are sent, and one line with the reason."""

    well: bool
    words: str


def health(progress: QueueProgress, max_age: float, public: Sequence[str] = (), outlook: Outlook = _UNKNOWN) -> Health:
    """Return whether nothing has waited for longer than `max_age` seconds or will be late, and the queue is not paused.

    Due deliveries without a claim count too, because expired tokens are not mailable. If nothing is sent at all, only
    `max_age` decides: a pipeline may be restarting. `public`: functions that every role may execute. The line mentions
    them, but the result does not depend on them.
    """
    result = _flow(progress, max_age)
    if outlook.late and outlook.rate_per_s and progress.paused_at is None:
        late = late_words(outlook)
        result = Health(False, late if result.well else f"{result.words}; {late}")
    return Health(result.well, f"{result.words}; {public_rights(public)}") if public else result


def _flow(progress: QueueProgress, max_age: float) -> Health:
    if progress.paused_at is not None:
        why = f": {visible(progress.paused_reason)}" if progress.paused_reason else ""
        return Health(False, f"the queue is paused since {stamp(progress.paused_at)} UTC{why}")
    if progress.oldest is not None and progress.age > max_age:
        left = (progress.oldest.expires_at - progress.at).total_seconds()
        return Health(
            False,
            f"token {progress.oldest.token} has waited for {format_duration(progress.age)},"
            f" longer than {format_duration(max_age)}; it expires in {format_duration(left)}",
        )
    if progress.overdue > max_age:
        return Health(
            False,
            f"due deliveries have waited for {format_duration(progress.overdue)},"
            f" longer than {format_duration(max_age)}",
        )
    if progress.oldest is None:
        return Health(True, "no mailable token waits")
    return Health(True, f"the oldest mailable token has waited for {format_duration(progress.age)}")


def public_rights(names: Sequence[str]) -> str:
    """Return the warning about functions that every role may execute."""
    functions = counted(len(names), "function")
    return f"every role may execute {functions} of mailroom; mailroom-collect migrate says how to end that"
