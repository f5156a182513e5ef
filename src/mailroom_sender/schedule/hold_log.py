"""Logs that calls wait, that they are made again, and that the rate is lowered."""

from mailroom_runtime.log import Level
from mailroom_sender.log import log
from mailroom_sender.schedule.gates import GateChange
from mailroom_sender.ses.holds import PROBE


def log_gate(change: GateChange, *, gives_back: bool) -> None:
    """Log that calls wait, where their rows wait, and what a person can do; or that calls are made again."""
    if not change.is_closed:
        log(
            f"calls are made again; they waited for: {change.reason}",
            event="calls_resumed",
            action=change.action,
            reason=change.reason,
        )
        return
    calls = "all calls wait" if change.action is None else f"calls for {change.action} wait"
    where = "their rows go back to the queue, and come again later" if gives_back else "their rows wait in this program"
    level: Level = "warning" if change.hold.ends_itself else "error"
    log(
        f"{calls}, probing every {PROBE:.0f} s: {change.reason}; {where}; {change.hold.hint}",
        level,
        event="calls_held",
        action=change.action,
        reason=change.reason,
        hint=change.hold.hint,
        probe_every_s=PROBE,
    )


def log_lower_rate(rate: float) -> None:
    """Log that calls are slowed down; `rate` is in recipients a second."""
    log(
        f"SES throttles, fails or can't be reached: lowering the rate to {rate:.1f} recipients a second;"
        " it rises again with time",
        "warning",
        event="rate_lowered",
        recipients_per_s=round(rate, 3),
    )
