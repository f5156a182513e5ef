"""Pure: again when, and who waits meanwhile. Times are seconds of a clock handed in by the caller."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from mailroom_runtime.backoff import backoff as exponential
from mailroom_sender.ses.holds import PROBE, Hold, Scope
from mailroom_sender.ses.verdict import Outcome, Verdict

_FIRST: Final = 1.0  # seconds
_CAP: Final = 60.0  # seconds: a token lives 15 minutes, so it gets a dozen tries
MOST_ATTEMPTS: Final = 12
"""Tries of a row by a sender without a database, which makes about eight minutes."""
MOST_REFUSALS: Final = 4
"""The same for one that SES refuses alone while it takes no other: some seconds, as nobody may come to tell."""


def backoff(attempt: int, random: float) -> float:
    """Return the seconds before a row is tried again after its attempt number `attempt` (from 1)."""
    return exponential(attempt, random, first=_FIRST, cap=_CAP)


@dataclass(slots=True)
class _Gate:
    until: float
    reason: str
    probe: float  # seconds to the next call


@dataclass(slots=True)
class Gates:
    """Which calls are held, and until when the next one may probe. Actions go by their names."""

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
        """Return when the next closed gate lets a call through; never, when none is closed."""
        gates = [gate.until for gate in (self._account, *self._actions.values()) if gate]
        return min((time for time in (self._slow_until, *gates) if time > now), default=float("inf"))

    @property
    def reason(self) -> str:
        """Return why calls are held; empty when none is."""
        gates = [self._account, *self._actions.values()]
        return next((gate.reason for gate in gates if gate), "")

    @property
    def held(self) -> bool:
        """Say whether some calls wait until an operator or the quota lets them go on."""
        return self._account is not None or bool(self._actions)

    def probing(self, action: str, now: float) -> None:
        """A call is made: if its gate is ajar, nobody else goes until its answer is known."""
        for gate in (self._account, self._actions.get(action)):
            if gate and gate.until <= now:
                gate.probe = min(PROBE, 2 * gate.probe)
                gate.until = now + gate.probe

    def learn(self, action: str, verdicts: list[Verdict], now: float, random: float) -> list[str]:
        """Close or open gates by a call's verdicts; return what is worth a log line."""
        for verdict in verdicts:
            if verdict.hold is not None:
                return self._close(action, verdict, verdict.hold, now)
        said: list[str] = []
        if any(verdict.outcome in (Outcome.SENT, Outcome.NEVER) for verdict in verdicts):
            said = self._open(action)
        if any(verdict.slower for verdict in verdicts):
            self._throttled += 1
            self._slow_until = now + backoff(self._throttled, random)
        elif said or any(verdict.outcome is Outcome.SENT for verdict in verdicts):
            self._throttled = 0
        return said

    def _close(self, action: str, verdict: Verdict, hold: Hold, now: float) -> list[str]:
        is_for_all = hold.scope is Scope.ACCOUNT
        known = self._account if is_for_all else self._actions.get(action)
        probe = known.probe if known else hold.first_probe
        gate = _Gate(now + probe, verdict.reason, probe)
        if is_for_all:
            self._account = gate
        else:
            self._actions[action] = gate
        if known and known.reason == verdict.reason:
            return []
        who = "all calls wait" if is_for_all else f"calls for {action} wait"
        return [f"{who}, probing every {PROBE:.0f} s: {verdict.reason}; {hold.hint}"]

    def _open(self, action: str) -> list[str]:
        gates = [self._account, self._actions.pop(action, None)]
        self._account = None
        return [f"calls go on; it was: {gate.reason}" for gate in gates if gate]
