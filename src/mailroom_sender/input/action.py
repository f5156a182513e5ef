"""Pure: the actions: what a mail may be for, and what that means for its row and its request.

They are in the table mailroom_actions (migrations/4_actions.up.sql and 6_order.up.sql). The first two come with
mailroom.
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
    head_start: int = 43_200  # seconds: rows of an action with a higher one go first


MailAction.ACTIVATION = MailAction("1", "activation", "activationv1", False, 43_200)
MailAction.PASSWORD_RECOVERY = MailAction("2", "password_recovery", "passwordrecoveryv1", True, 86_400)

SHIPPED: Final = (MailAction.ACTIVATION, MailAction.PASSWORD_RECOVERY)
"""The first rows of the table. A sender without a database knows only these."""

LIST: Final = "SELECT number::text, name, template, signs_code, head_start FROM mailroom.mailroom_action_settings()"


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
