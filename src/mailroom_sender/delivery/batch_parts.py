"""Pure: the parts of a batch that are still to be called, when SES refuses a call for what may be one row's fault."""

from collections.abc import Sequence

from mailroom_sender.input.row import Row
from mailroom_sender.ses.verdict import Outcome, Verdict


class BatchParts:
    """At first the whole batch is one part. The part to be called next stands last."""

    def __init__(self, batch: Sequence[Row]) -> None:
        self._parts = [list(batch)]
        self._postponed: list[list[Row]] = []
        self.postponed_for = ""
        """SES's words about the part that was postponed last; empty when none is."""

    def __bool__(self) -> bool:
        return bool(self._parts)

    @property
    def next(self) -> list[Row]:
        """Return the part to be called next."""
        return self._parts[-1]

    def pop(self) -> list[Row]:
        """Return that part, and go on to the one after it."""
        return self._parts.pop()

    def put_back(self, rows: Sequence[Row], verdicts: Sequence[Verdict], *, splits: bool) -> None:
        """Put back the rows to be called again at once. Without `splits`, a part that would be halved is postponed."""
        again = [
            (row, verdict) for row, verdict in zip(rows, verdicts, strict=True) if verdict.outcome is Outcome.SPLIT
        ]
        if not again:
            return
        whole = [row for row, _ in again]
        apart = [row for row, verdict in again if verdict.apart]
        if len(whole) < len(rows):  # the other rows were at fault
            self._parts.append(whole)
        elif apart:
            self._parts += [apart, [row for row, verdict in again if not verdict.apart]]
        elif splits:
            middle = (len(whole) + 1) // 2
            self._parts += [whole[middle:], whole[:middle]]
        else:
            self._postponed.append(whole)
            self.postponed_for = again[0][1].reason

    def resume(self) -> None:
        """Put back the parts that were postponed."""
        self._parts += self._postponed
        self._postponed, self.postponed_for = [], ""
