"""Pure: the findings of the check, as lines for people and as JSON for programs."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final

from mailroom_runtime.words import counted


class Status(Enum):
    """The weight of a finding."""

    OK = "ok"
    WARNING = "warning"
    TASK = "to do"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of a check: what was checked, what was found, what to do, and the permission that the check needed."""

    check: str
    status: Status
    found: str
    todo: str = ""
    permission: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the finding as a JSON object for programs."""
        return {
            "check": self.check,
            "status": self.status.value,
            "found": self.found,
            "to_do": self.todo or None,
            "permission": self.permission or None,
        }


_CHECK_WIDTH: Final = 20
_INDENT: Final = len("warning  ") + _CHECK_WIDTH + 1


def lines(finding: Finding, width: int | None) -> list[str]:
    """Return a finding as lines of at most `width` characters, or as one line of any length if `width` is None."""
    head = f"{finding.status.value:<8} {finding.check:<{_CHECK_WIDTH}} "
    permission = f" [{finding.permission}]" if finding.permission else ""
    text = f"{finding.found}{permission}"
    if width is None:
        return [f"{head}{text}{f'; {finding.todo}' if finding.todo else ''}"]
    room = max(20, width - _INDENT)
    wrapped = textwrap.wrap(text, room, break_on_hyphens=False)
    wrapped += textwrap.wrap(finding.todo, room, initial_indent="-> ", subsequent_indent="   ", break_on_hyphens=False)
    return [head + wrapped[0], *(" " * _INDENT + line for line in wrapped[1:])]


def summary(findings: Sequence[Finding]) -> str:
    """Return the last line, which counts the findings."""
    count = {status: sum(f.status is status for f in findings) for status in Status}
    if count[Status.TASK]:
        return f"{counted(count[Status.TASK], 'thing')} to do, {counted(count[Status.WARNING], 'warning')}"
    return "ready" if not count[Status.WARNING] else f"ready, with {counted(count[Status.WARNING], 'warning')}"


def exit_status(findings: Sequence[Finding]) -> int:
    """Return 1 if something must be done, else 0."""
    return int(any(f.status is Status.TASK for f in findings))
