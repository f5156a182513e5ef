"""Pure: the actions: what a mail may be for, and what that means for its row and its request.

They are in the table mailroom_actions (migrations/4_actions.up.sql). The first two come with mailroom.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final


@dataclass(frozen=True, slots=True)
class MailAction:
    """One action: what a mail is for."""

    ACTIVATION: ClassVar["MailAction"]
    PASSWORD_RECOVERY: ClassVar["MailAction"]

    number: str  # a row's first field
    name: str
    template: str
    needs_code: bool  # the row has a code of five digits, which the template gets


MailAction.ACTIVATION = MailAction("1", "activation", "activationv1", needs_code=False)
MailAction.PASSWORD_RECOVERY = MailAction("2", "password_recovery", "passwordrecoveryv1", needs_code=True)

SHIPPED: Final = (MailAction.ACTIVATION, MailAction.PASSWORD_RECOVERY)
"""The first rows of the table. A sender without a database knows only these."""

LIST: Final = "SELECT number::text, name, template, signs_code FROM mailroom.mailroom_list_actions()"


def by_number(actions: Iterable[MailAction]) -> Mapping[str, MailAction]:
    """Return the actions by their number, which is a row's first field."""
    return {action.number: action for action in actions}


class KnownActions:
    """The actions that this sender knows. Callable from any thread."""

    def __init__(self) -> None:
        self.by_number = by_number(SHIPPED)

    def replace(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Replace all known actions with those that LIST returned."""
        self.by_number = by_number(MailAction(*row) for row in rows)
