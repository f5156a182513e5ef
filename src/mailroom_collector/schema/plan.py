"""Pure: the steps from one version of the schema to another, what they create, and what they lose."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from mailroom_runtime.errors import MailroomError

NONE: Final = -1
"""The version of a database without any migration."""

_LOST: Final = {
    5: "which queues are paused, and which call began what",
    4: "the actions of your own, whose waiting mails fail",
    3: "the times at which deliveries were queued, and what status, failed, retry and prune need",
    2: "what the pipelines of this version need",
    1: "the ledger, with all that is known of each delivery",
}
"""What a database loses when it goes below a version."""
_ALL_LOST: Final = "everything, with all accounts and tokens"
_CREATED = re.compile(r"^CREATE (?:TABLE|TYPE) (\w+)", re.ASCII | re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Migration:
    """A version, with the SQL for both directions."""

    version: int
    name: str
    up: str
    down: str


@dataclass(frozen=True, slots=True)
class MigrationStep:
    """One migration file, and the version of the database after it."""

    name: str
    sql: str
    leads_to: int


def plan(known: Sequence[Migration], current: int, target: int) -> list[MigrationStep]:
    """Return the steps from one version to another. Raises MailroomError when one of them is not known."""
    versions = [NONE, *(migration.version for migration in known)]
    for what, version in (("the database is at", current), ("the target is", target)):
        if version not in versions:
            raise MailroomError(
                f"{what} version {version}, which this mailroom doesn't know", f"it knows {NONE} to {versions[-1]}"
            )
    up = [MigrationStep(f"{m.version}_{m.name}.up", m.up, m.version) for m in known if current < m.version <= target]
    down = [
        MigrationStep(f"{m.version}_{m.name}.down", m.down, versions[place])
        for place, m in enumerate(known)
        if target < m.version <= current
    ]
    return up or down[::-1]


def created(steps: Sequence[MigrationStep]) -> list[str]:
    """Return the tables and types that these steps create."""
    return [name for step in steps if step.name.endswith(".up") for name in _CREATED.findall(step.sql)]


def lost(steps: Sequence[MigrationStep], current: int) -> str:
    """Return what these steps down from a version lose; empty when they lose nothing."""
    goal = steps[-1].leads_to if steps else current
    if goal == NONE and current != NONE:
        return _ALL_LOST
    gone = [what for version, what in _LOST.items() if goal < version <= current]
    return "; ".join(gone) or (f"what version {current} has stored" if goal < current else "")
