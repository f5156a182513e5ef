"""Decides whether a row that SES refused alone is at fault. It is for refusals that no table knows.

SES may refuse a call for one row and name no cause. The row may be bad, or the From, the template or the account. So a
refusal alone decides nothing:

1. A row that was refused alone fails if SES accepts another mail of the same action. That counts in the same answer,
   or in a call made after the first refusal of this row. Until then the row is put back as "later", before its lease
   ends, and is tried again with growing pauses until its token expires. So a row never fails for a fault that is not
   its own.
2. A run is RUN_LENGTH different rows that were refused for the same reason, with no accepted mail between them. After
   a run no call is split any further: each of its parts is tried once. If SES accepts one of them, the run is over,
   and splitting continues. If it accepts none, the calls of this action are held. That is logged, and a call is made
   as a probe after 1, 2, 4 ... 15 seconds. After a probe the run counts from 0.

So bad addresses among good ones fail one by one, and a fault that lies in no row fails no row. There are two
exceptions. If such a fault begins during the split of a call, after SES has accepted a part of it, the rest of that
call may fail. If the fault comes back before the rows that were put back are mailed, RUN_LENGTH - 1 of them may fail
with a probe. docs/refusals.md explains this to operators.

Two reasons are the same if their code and words are, apart from addresses, numbers and quoted text.
Times are monotonic seconds that the caller passes. Any thread may call it.
"""

import re
import threading
from dataclasses import dataclass, replace
from typing import Final

RUN_LENGTH: Final = 5
"""If so many different rows were refused alone, and none was accepted between them, no row is at fault."""
_MOST_REMEMBERED: Final = 2000
"""The number of rows that are remembered. A forgotten row needs one more refusal."""
_VARYING = re.compile(r"\"[^\"]*\"|'[^']*'|<[^>]*>|\S*[@0-9]\S*")


def kind_of(reason: str) -> str:
    """Return the reason without its varying parts. It is equal for two refusals for the same reason."""
    return _VARYING.sub("*", reason)


@dataclass(slots=True)
class _Refusal:
    first_at: float  # alone or in company
    alone_at: float
    kind: str


class RefusalRun:
    """The refusals and acceptances of the rows of one action."""

    def __init__(self) -> None:
        self._refused: dict[str, _Refusal] = {}  # by the row's secret, the one refused longest ago first
        self._accepted_at = float("-inf")
        self._counts_from = float("-inf")
        self._lock = threading.Lock()

    def accepted(self, called_at: float) -> None:
        """Note that SES accepted a mail of a call that was made at this time."""
        with self._lock:
            self._accepted_at = max(self._accepted_at, called_at)

    def refused(self, row: str, reason: str, now: float, *, alone: bool = True) -> None:
        """Note that SES refused a row: `alone`, or in a call with other rows."""
        with self._lock:
            known = self._refused.pop(row, None) or _Refusal(now, float("-inf"), "")
            self._refused[row] = replace(known, alone_at=now, kind=kind_of(reason)) if alone else known
            if len(self._refused) > _MOST_REMEMBERED:
                del self._refused[next(iter(self._refused))]

    def is_at_fault(self, row: str) -> bool:
        """Return whether SES has accepted another mail since it first refused this row, and the row is in no run."""
        with self._lock:
            known = self._refused.get(row)
            return known is not None and known.first_at < self._accepted_at and self._length(known.kind) < RUN_LENGTH

    def forget(self, row: str) -> None:
        """Forget a row, because SES has accepted it. A failed row is not forgotten: it counts for the run."""
        if self._refused:
            with self._lock:
                self._refused.pop(row, None)

    def is_no_rows_fault(self, reason: str) -> bool:
        """Return whether there is a run of refusals for this reason, so that no row is at fault."""
        with self._lock:
            return self._length(kind_of(reason)) >= RUN_LENGTH

    def _length(self, kind: str) -> int:
        since = max(self._accepted_at, self._counts_from)
        return sum(one.alone_at > since and one.kind == kind for one in self._refused.values())

    def held(self, now: float) -> None:
        """Note that calls are held. The run counts from 0 with the next call, a probe."""
        with self._lock:
            self._counts_from = now
