"""Pure: the reasons why calls wait, which calls wait, and what ends each wait."""

from dataclasses import dataclass
from enum import Enum
from typing import Final

PROBE: Final = 15.0
"""Seconds between calls while calls wait."""


class Scope(Enum):
    """Which calls wait."""

    ACCOUNT = "account"
    TEMPLATE = "template"


@dataclass(frozen=True, slots=True)
class Hold:
    """One kind of hold. `hint` says what a person can do."""

    hint: str
    scope: Scope = Scope.ACCOUNT
    ends_itself: bool = False
    first_probe: float = PROBE  # seconds; each following wait is twice as long, up to PROBE
    probe_rows: int = 1  # the most rows of a probe


CREDENTIALS: Final = Hold("correct the AWS credentials, and the clock of this machine")
PERMISSION: Final = Hold("allow ses:SendBulkTemplatedEmail on the resources that this sender uses")
SOURCE: Final = Hold(
    "verify the From address or its domain in SES, in the region in use, or change MAILROOM_SES_SOURCE"
)
CONFIG_SET: Final = Hold("create it in the region in use, or change MAILROOM_SES_CONFIG_SET")
CONFIG_SET_PAUSED: Final = Hold("enable sending for the configuration set again")
SENDING_POOL: Final = Hold("correct the sending pool of the configuration set")
ACCOUNT: Final = Hold("see the SES console, and the mail that AWS sent to the owner of the account")
QUOTA: Final = Hold("it ends by itself within 24 hours; ask AWS for a higher quota", ends_itself=True)
TEMPLATE: Final = Hold("bring it to SES with 'mailroom-send templates push'", Scope.TEMPLATE)
TEMPLATE_PERMISSION: Final = Hold("allow ses:SendBulkTemplatedEmail on that template", Scope.TEMPLATE)
REFUSALS: Final = Hold(
    "read SES's answers in MAILROOM_SES_OUTPUT_PATH, and run 'mailroom-send check'",
    Scope.TEMPLATE,
    first_probe=1.0,
    probe_rows=50,  # bad rows may stand before a good one, which ends the hold
)
