"""Pure: chooses held rows that go back to the ledger, so that they fill no buffer, and another sender may send them."""

from dataclasses import dataclass

from mailroom_sender.input.row import Row
from mailroom_sender.schedule.gates import Gate, Gates
from mailroom_sender.schedule.retries import delay_of_given_back
from mailroom_sender.schedule.waiting_rows import MOST_DESTINATIONS, WaitingRows
from mailroom_sender.ses.holds import Hold


@dataclass(frozen=True, slots=True)
class HeldRows:
    """Rows of one action that are given back, and why."""

    rows: list[Row]
    reason: str
    hold: Hold
    probe: float  # seconds between two probes

    def delay(self, random: float) -> float:
        """Return the seconds until one of the rows is due again; `random` is from 0 to 1."""
        return delay_of_given_back(self.hold, self.probe, random)


def take_held(waiting: WaitingRows, gates: Gates) -> HeldRows | None:
    """Remove and return rows of one held action; None if there are no more than the next probe needs."""
    for action in waiting.actions:
        gate = gates.account or gates.actions.get(action)
        if gate is None:
            continue
        rows = waiting.take_newest(action, MOST_DESTINATIONS, keep=_kept(action, gate, waiting, gates))
        if rows:
            return HeldRows(rows, gate.reason, gate.hold, gate.probe)
    return None


def _kept(action: str, gate: Gate, waiting: WaitingRows, gates: Gates) -> int:
    """Return how many rows of the action stay for the next probe. If all calls are held, one action is probed."""
    if gates.account and action != (waiting.first(gates.actions) or waiting.first()):
        return 0
    return gate.hold.probe_rows
