"""Pure: separates rows whose address SES can accept from the others."""

from collections.abc import Sequence

from mailroom_sender.address.email_address import UnfitAddress, for_ses
from mailroom_sender.input.row import Row
from mailroom_sender.ledger.protocol import Settlement
from mailroom_sender.ses.permission import Begun
from mailroom_sender.ses.verdict import Outcome, Verdict


def fault_of(row: Row) -> str:
    """Return why SES can never accept this row's address; empty if it can."""
    try:
        for_ses(row.email)
    except UnfitAddress as reason:
        return str(reason)
    return ""


def split_by_address(begun: Sequence[Begun]) -> tuple[list[Begun], list[Settlement]]:
    """Return the rows whose address SES can accept, and settlements of the others."""
    fit: list[Begun] = []
    unfit: list[Settlement] = []
    for one in begun:
        if reason := fault_of(one.row):
            unfit.append(Settlement(one, Verdict(Outcome.NEVER, reason)))
        else:
            fit.append(one)
    return fit, unfit
