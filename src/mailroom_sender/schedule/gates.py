"""Pure: which calls are held, and when the next one may be made. Times are monotonic seconds that the caller passes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mailroom_runtime.backoff import backoff
from mailroom_sender.ses.holds import PROBE, Hold, Scope
from mailroom_sender.ses.verdict import Outcome, Verdict

_THROTTLED, _FIRST, _CAP = 0.2, 1.0, 60.0  # seconds
"""The longest first pause of all calls after throttling, and after a failure of SES or the network; the longest of all.

A pause is twice as long each time that it goes on.
"""


@dataclass(frozen=True, slots=True)
class GateChange:
    """Calls begin to wait, or may be made again."""

    is_closed: bool
    reason: str
    hold: Hold
    action: str | None  # the action whose calls wait; None: all calls


@dataclass(slots=True)
class Gate:
    """Calls that are held. A probe is made from time to time; it may have some rows in one or more calls."""

    until: float
    reason: str
    hold: Hold
    probe: float  # seconds to the next probe
    rows_left: int  # of the probe that is due or in progress

    def note_call(self, rows: int, now: float) -> None:
        """Note a call of the probe, if it is one. After the last row no other call follows until the next probe."""
        if self.until > now:
            return
        self.rows_left -= rows
        if self.rows_left <= 0:
            self.probe = min(PROBE, 2 * self.probe)
            self.until = now + self.probe
            self.rows_left = self.hold.probe_rows

    @property
    def next_probe(self) -> float:
        """Return the seconds to the next probe if the present one fails now."""
        return min(PROBE, 2 * self.probe) if self.rows_left < self.hold.probe_rows else self.probe


@dataclass(slots=True)
class Gates:
    """Which calls are held, and when the next one may be made as a probe. Actions are given by their names."""

    account: Gate | None = field(default=None, init=False)
    actions: dict[str, Gate] = field(default_factory=dict, init=False)
    _slowed: int = field(default=0, init=False)
    _slow_until: float = field(default=0.0, init=False)

    def closed(self, actions: Iterable[str], now: float) -> frozenset[str]:
        """Return those of these actions that may not be called now."""
        if now < self._slow_until or (self.account and now < self.account.until):
            return frozenset(actions)
        if not self.actions:
            return frozenset()
        return frozenset(action for action in actions if (gate := self.actions.get(action)) and now < gate.until)

    def most_rows(self, action: str) -> float:
        """Return how many rows the next call of an action may have: those of a probe, or any number."""
        gates = (self.account, self.actions.get(action))
        return min((gate.rows_left for gate in gates if gate), default=float("inf"))

    def opens_at(self, now: float) -> float:
        """Return when the next closed gate opens for a call; infinite if none is closed."""
        gates = [gate.until for gate in (self.account, *self.actions.values()) if gate]
        return min((time for time in (self._slow_until, *gates) if time > now), default=float("inf"))

    @property
    def reason(self) -> str:
        """Return why calls are held; empty when none is."""
        gates = [self.account, *self.actions.values()]
        return next((gate.reason for gate in gates if gate), "")

    @property
    def held(self) -> bool:
        """Return whether some calls wait for an operator or for the quota."""
        return self.account is not None or bool(self.actions)

    def note_call(self, action: str, rows: int, now: float) -> None:
        """Note that a call is made."""
        for gate in (self.account, self.actions.get(action)):
            if gate:
                gate.note_call(rows, now)

    def answered(self, action: str, verdicts: Sequence[Verdict], now: float, random: float) -> list[GateChange]:
        """Close or open gates according to a call's verdicts. Return what changed. `random` is from 0 to 1."""
        for verdict in verdicts:
            if verdict.hold is not None:
                return self._close(action, verdict, verdict.hold, now)
        opened: list[GateChange] = []
        if any(verdict.outcome in (Outcome.SENT, Outcome.NEVER) for verdict in verdicts):
            opened = self._open(action)
        slower = [verdict for verdict in verdicts if verdict.slower]
        if slower:
            self._pause(now, random, is_moment=all(verdict.throttled for verdict in slower))
        elif opened or any(verdict.outcome is Outcome.SENT for verdict in verdicts):
            self._slowed = 0
        return opened

    def _pause(self, now: float, random: float, *, is_moment: bool) -> None:
        """Let all calls wait: for a moment if SES only throttles, because each pause costs a part of the rate."""
        if is_moment and now < self._slow_until:
            return  # this call was in progress when the pause began
        self._slowed += 1
        first = _THROTTLED if is_moment else _FIRST
        self._slow_until = now + backoff(self._slowed, random, first=first, cap=_CAP)

    def _close(self, action: str, verdict: Verdict, hold: Hold, now: float) -> list[GateChange]:
        is_for_all = hold.scope is Scope.ACCOUNT
        known = self.account if is_for_all else self.actions.get(action)
        probe = known.next_probe if known else hold.first_probe
        gate = Gate(now + probe, verdict.reason, hold, probe, hold.probe_rows)
        if is_for_all:
            self.account = gate
        else:
            self.actions[action] = gate
        if known and known.reason == verdict.reason:
            return []
        return [GateChange(True, verdict.reason, hold, None if is_for_all else action)]

    def _open(self, action: str) -> list[GateChange]:
        gates = ((None, self.account), (action, self.actions.pop(action, None)))
        self.account = None
        return [GateChange(False, gate.reason, gate.hold, who) for who, gate in gates if gate]
