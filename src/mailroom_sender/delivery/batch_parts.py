"""Pure: the parts of a batch that remain to be called, when one row may be the reason why SES refused a call."""

from collections.abc import Sequence

from mailroom_sender.input.row import Row
from mailroom_sender.ses.verdict import Outcome, Verdict


class BatchParts:
    """At first the whole batch is one part. The next part to call is the last one."""

    def __init__(self, batch: Sequence[Row]) -> None:
        self._parts = [list(batch)]
        self._postponed: list[list[Row]] = []
        self.postponed_for = ""
        """SES's message about the part that was postponed last; empty when no part is postponed."""

    def __bool__(self) -> bool:
        return bool(self._parts)

    @property
    def next(self) -> list[Row]:
        """Return the next part to call."""
        return self._parts[-1]

    def pop(self) -> list[Row]:
        """Remove and return the next part to call."""
        return self._parts.pop()

    def put_back(self, rows: Sequence[Row], verdicts: Sequence[Verdict], *, splits: bool) -> None:
        """Put back the rows to call again at once. Without `splits`, postpone a part that would be halved."""
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
