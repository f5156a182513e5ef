"""Pure: the actions that a mail may be for, and what each means for its row and its request.

They are in the table mailroom_actions (migrations/4_actions.up.sql); the first two come with mailroom.
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
    needs_code: bool  # the code is five digits, and given to the template


MailAction.ACTIVATION = MailAction("1", "activation", "activationv1", needs_code=False)
MailAction.PASSWORD_RECOVERY = MailAction("2", "password_recovery", "passwordrecoveryv1", needs_code=True)

SHIPPED: Final = (MailAction.ACTIVATION, MailAction.PASSWORD_RECOVERY)
"""The first rows of the table, and all that a sender without a database knows."""

LIST: Final = "SELECT number::text, name, template, signs_code FROM mailroom.mailroom_list_actions()"


def by_number(actions: Iterable[MailAction]) -> Mapping[str, MailAction]:
    """Return actions by their number, which is a row's first field."""
    return {action.number: action for action in actions}


class KnownActions:
    """The actions that this sender knows. Callable from any thread."""

    def __init__(self) -> None:
        self.by_number = by_number(SHIPPED)

    def replace(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Know the actions that LIST returned, and no others."""
        self.by_number = by_number(MailAction(*row) for row in rows)
