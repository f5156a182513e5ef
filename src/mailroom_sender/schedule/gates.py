"""Pure: which calls are held, and when the next one may be made. Times are monotonic seconds that the caller passes."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from mailroom_sender.schedule.retries import backoff
from mailroom_sender.ses.holds import PROBE, Hold, Scope
from mailroom_sender.ses.verdict import Outcome, Verdict


@dataclass(frozen=True, slots=True)
class GateChange:
    """Calls begin to wait, or may be made again."""

    is_closed: bool
    reason: str
    hold: Hold
    action: str | None  # the action whose calls wait; None: all calls


@dataclass(slots=True)
class _Gate:
    until: float
    reason: str
    hold: Hold
    probe: float  # seconds to the next call


@dataclass(slots=True)
class Gates:
    """Which calls are held, and when the next one may be made as a probe. Actions are given by their names."""

    _account: _Gate | None = field(default=None, init=False)
    _actions: dict[str, _Gate] = field(default_factory=dict, init=False)
    _throttled: int = field(default=0, init=False)
    _slow_until: float = field(default=0.0, init=False)

    def closed(self, actions: Iterable[str], now: float) -> frozenset[str]:
        """Return those of these actions that may not be called now."""
        if now < self._slow_until or (self._account and now < self._account.until):
            return frozenset(actions)
        return frozenset(action for action in actions if (gate := self._actions.get(action)) and now < gate.until)

    def opens_at(self, now: float) -> float:
        """Return when the next closed gate opens for a call; infinite if none is closed."""
        gates = [gate.until for gate in (self._account, *self._actions.values()) if gate]
        return min((time for time in (self._slow_until, *gates) if time > now), default=float("inf"))

    @property
    def reason(self) -> str:
        """Return why calls are held; empty when none is."""
        gates = [self._account, *self._actions.values()]
        return next((gate.reason for gate in gates if gate), "")

    @property
    def held(self) -> bool:
        """Return whether some calls wait for an operator or for the quota."""
        return self._account is not None or bool(self._actions)

    def note_call(self, action: str, now: float) -> None:
        """Note that a call is made. After a probe no other call follows until its answer comes, or a probe is due."""
        for gate in (self._account, self._actions.get(action)):
            if gate and gate.until <= now:
                gate.probe = min(PROBE, 2 * gate.probe)
                gate.until = now + gate.probe

    def answered(self, action: str, verdicts: Sequence[Verdict], now: float, random: float) -> list[GateChange]:
        """Close or open gates according to a call's verdicts. Return what changed. `random` is from 0 to 1."""
        for verdict in verdicts:
            if verdict.hold is not None:
                return self._close(action, verdict, verdict.hold, now)
        opened: list[GateChange] = []
        if any(verdict.outcome in (Outcome.SENT, Outcome.NEVER) for verdict in verdicts):
            opened = self._open(action)
        if any(verdict.slower for verdict in verdicts):
            self._throttled += 1
            self._slow_until = now + backoff(self._throttled, random)
        elif opened or any(verdict.outcome is Outcome.SENT for verdict in verdicts):
            self._throttled = 0
        return opened

    def _close(self, action: str, verdict: Verdict, hold: Hold, now: float) -> list[GateChange]:
        is_for_all = hold.scope is Scope.ACCOUNT
        known = self._account if is_for_all else self._actions.get(action)
        probe = known.probe if known else hold.first_probe
        gate = _Gate(now + probe, verdict.reason, hold, probe)
        if is_for_all:
            self._account = gate
        else:
            self._actions[action] = gate
        if known and known.reason == verdict.reason:
            return []
        return [GateChange(True, verdict.reason, hold, None if is_for_all else action)]

    def _open(self, action: str) -> list[GateChange]:
        gates = ((None, self._account), (action, self._actions.pop(action, None)))
        self._account = None
        return [GateChange(False, gate.reason, gate.hold, who) for who, gate in gates if gate]
