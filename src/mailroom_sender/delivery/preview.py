"""Debug mode: prints the request of each call, or its mails for a person, and sends nothing."""

from collections.abc import Callable, Sequence
from functools import partial

from mailroom_runtime.errors import MailroomError
from mailroom_sender.delivery.addresses import fault_of
from mailroom_sender.delivery.protocol import DeliveryResult
from mailroom_sender.input.row import Row
from mailroom_sender.output.mail_text import mail_text
from mailroom_sender.output.stdout import CallOutput
from mailroom_sender.output.unsent_rows import UnsentRows
from mailroom_sender.schedule.held_rows import HeldRows
from mailroom_sender.ses.request import Envelope, build


class Preview:
    """A delivery that only prints."""

    gives_back = False

    def __init__(self, envelope: Envelope, unsent: UnsentRows, output: CallOutput, *, as_text: bool) -> None:
        """`as_text`: print mails for a person."""
        self._as_text = as_text
        self._envelope = envelope
        self._unsent = unsent
        self._output = output

    def start(self, batch: Sequence[Row]) -> Callable[[], DeliveryResult]:
        """Print the batch's request in a worker thread. Raises MailroomError when nobody reads what is printed."""
        if self._output.is_closed:
            raise MailroomError("debug mode ends, because stdout can't be written")
        return partial(self._print, batch)

    def _print(self, batch: Sequence[Row]) -> DeliveryResult:
        faults = [fault_of(row) for row in batch]
        for row, fault in zip(batch, faults, strict=True):
            if fault:
                self._unsent.reject(row.raw, fault)
        fit = [row for row, fault in zip(batch, faults, strict=True) if not fault]
        if self._as_text:
            for row in fit:
                self._output.text(mail_text(row, self._envelope.base_url))
        elif fit:
            self._output.line(build(fit, self._envelope))
        return DeliveryResult(batch[0].action)

    def give_back(self, held: HeldRows) -> DeliveryResult:
        """Give nothing back, because no calls are held."""
        return DeliveryResult(held.rows[0].action)

    def release(self, rows: Sequence[Row]) -> None:
        """Do nothing, because nothing would be sent."""

    @property
    def log_at(self) -> float:
        """Return infinity, because there is never anything to log."""
        return float("inf")

    def log_counts(self, *, is_end: bool) -> None:
        """Do nothing, because nothing is counted."""
