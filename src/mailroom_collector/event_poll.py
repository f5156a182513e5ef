"""The one poll of the collector: for signals, for notifications, and for a writable stdout."""

import select
from collections.abc import Callable
from typing import NamedTuple

from mailroom_collector.ledger.connection import ListeningConnection
from mailroom_collector.output.stdout import LineOutput
from mailroom_runtime.process.wakeup import Wakeup

_READER_GONE = select.POLLERR | select.POLLHUP | select.POLLNVAL


class Events(NamedTuple):
    """The events of a poll."""

    is_signalled: bool
    is_reader_gone: bool


class EventPoll:
    """Waits until something happens or a deadline passes."""

    def __init__(self, output: LineOutput) -> None:
        self._output = output

    def wait(
        self,
        wakeup: Wakeup,
        link: ListeningConnection | None,
        *,
        wants_output: bool,
        timeout_ms: Callable[[], float],
    ) -> Events:
        """Wait for a signal, the database, or the end of the reader; with `wants_output` also for a writable stdout.

        `timeout_ms` is called only if no event is there yet. A negative timeout means without a limit.
        """
        poll = select.poll()
        poll.register(wakeup, select.POLLIN)
        poll.register(self._output.fd, select.POLLOUT if wants_output and not self._output.is_writable else 0)
        if link is not None:
            poll.register(link, select.POLLIN)
        ready = dict(poll.poll(0) or poll.poll(timeout_ms()))
        seen = ready.get(self._output.fd, 0)
        if seen & select.POLLOUT:
            self._output.is_writable = True
        return Events(wakeup.fileno() in ready, bool(seen & _READER_GONE))
