"""Whether a row that SES refused alone is at fault, or no row is. This is for refusals that no table knows.

SES refuses a row alone, and names nobody: the row may be bad, or the From, the template or the account may be, in
words that no table knows. So a refusal alone decides nothing:

1. A row that is refused alone fails when SES takes another mail of the same action: in the same answer, or in a call
   made after this row was first refused, alone or in company. Until then it is put back as "later", at the latest
   before its lease ends, and tried again with growing pauses while its token lives. So a row is never lost to a fault
   that is not its own, and one that was settled as failed never has to be brought back.
2. When RUN_LENGTH different rows in a row were refused for the same reason, and none was taken between, no call is split any
   further: what is left of it is tried once, in the parts there are. If SES takes one of them, the run is over, and
   splitting goes on. If it takes none, the calls of this action are held, which is said, and probed after 1, 2, 4 ...
   15 seconds; a probe counts to RUN_LENGTH anew.

So a run of bad addresses among good ones fails one by one, and a fault that lies in no row fails no row. There are
two exceptions. Where such a fault begins while a call is being split, and after a part of it was taken, the rest of
that call may fail. Where it comes back before the rows that it had put back were mailed, RUN_LENGTH - 1 of them may fail a
probe. docs/refusals.md tells the same to operators.

The same reason: the same code and words, but for addresses, numbers and what stands in quotes.
Times are monotonic seconds handed in by the caller. Any thread may ask.
"""

import re
import threading
from dataclasses import dataclass, replace
from typing import Final

RUN_LENGTH: Final = 5
"""Different rows, refused alone and none accepted between, from which on no row is at fault."""
_MOST_REMEMBERED: Final = 2000
"""Rows; one that is forgotten needs one more refusal."""
_VARYING = re.compile(r"\"[^\"]*\"|'[^']*'|<[^>]*>|\S*[@0-9]\S*")


def kind_of(reason: str) -> str:
    """Return what two refusals for the same reason have in common."""
    return _VARYING.sub("*", reason)


@dataclass(slots=True)
class _Refusal:
    first_at: float  # alone or in company
    alone_at: float
    kind: str


class RefusalRun:
    """What SES did with the rows of one action."""

    def __init__(self) -> None:
        self._refused: dict[str, _Refusal] = {}  # by the row's secret, the one refused longest ago first
        self._accepted_at = float("-inf")
        self._counts_from = float("-inf")
        self._lock = threading.Lock()

    def accepted(self, called_at: float) -> None:
        """SES took a mail in a call that was made then."""
        with self._lock:
            self._accepted_at = max(self._accepted_at, called_at)

    def refused(self, row: str, reason: str, now: float, *, alone: bool = True) -> None:
        """SES refused a row, alone or in company."""
        with self._lock:
            known = self._refused.pop(row, None) or _Refusal(now, float("-inf"), "")
            self._refused[row] = replace(known, alone_at=now, kind=kind_of(reason)) if alone else known
            if len(self._refused) > _MOST_REMEMBERED:
                del self._refused[next(iter(self._refused))]

    def is_at_fault(self, row: str) -> bool:
        """Say whether SES took another mail since it first refused this row, which is no part of a run."""
        with self._lock:
            known = self._refused.get(row)
            return known is not None and known.first_at < self._accepted_at and self._length(known.kind) < RUN_LENGTH

    def forget(self, row: str) -> None:
        """SES took it after all. One that failed stays: it counts for the run."""
        if self._refused:
            with self._lock:
                self._refused.pop(row, None)

    def is_no_rows_fault(self, reason: str) -> bool:
        """Say whether so many rows were refused for this reason, one after another, that no row is at fault."""
        with self._lock:
            return self._length(kind_of(reason)) >= RUN_LENGTH

    def _length(self, kind: str) -> int:
        since = max(self._accepted_at, self._counts_from)
        return sum(one.alone_at > since and one.kind == kind for one in self._refused.values())

    def held(self, now: float) -> None:
        """Calls are held; the next of them, a probe, counts anew."""
        with self._lock:
            self._counts_from = now
