"""Pure: finds what the message of a refusal names: rows, a part that all calls share, the account, or nothing.

The code alone is not enough. `MessageRejected` may mean that a recipient is not verified (in the sandbox), that the
From is not verified, or that the account is paused. `AccessDenied` may be about a recipient whose domain is another
identity of the account. So the name in the message decides. It is compared with the call, because SES may repeat a
part of the call that a stranger has chosen: an address or a login.

Sources: the SES API reference (Common Errors), the IAM service authorization reference (resource types of SES), and
public reports of the messages. moto has its own ("Email address not verified App <noreply@example.com>").
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote

from mailroom_sender.address.email_address import for_ses
from mailroom_sender.address.identity import address_of, identities_of
from mailroom_sender.input.row import Row
from mailroom_sender.ses.login import for_html
from mailroom_sender.ses.request import Envelope

_DENIALS: Final = frozenset({"AccessDenied", "NotAuthorized", "UnauthorizedOperation"})
_RESOURCE = re.compile(r"arn:[a-z-]+:ses:[a-z0-9-]*:[0-9]*:([a-z-]+)/(\S+)", re.ASCII | re.IGNORECASE)
_ADDRESS = re.compile(r"[^\s<>()\[\],;:\"]+@[^\s<>()\[\],;:\"]+")
_LIST = re.compile(r"failed the check in region [^:]*:(.*)", re.DOTALL | re.IGNORECASE)
_ROUND: Final = ".,;:'`\"()<>[]"  # characters that may surround a name in a sentence

_ACCOUNT = re.compile(
    r"\b(?:aws|my|our|ses|the|this|your) account\b|\baccount(?:'s)? (?:has|is|status|was)\b"
    r"|\b(?:account|sending)\b.{0,40}\b(?:blocked|disabled|on hold|paused|probation|shut down|suspended|under review)\b"
    r"|\b(?:production access|sandbox)\b",
    re.IGNORECASE,
)
_DAILY_QUOTA = re.compile(r"\bdaily\b.*\bquota\b|\bquota\b.*\b(?:a day|daily|per day|24[ -]hours?)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class NamedFault:
    """What a refusal names of a call: places of rows, and parts that all calls share, or all calls of an action."""

    rows: frozenset[int] = frozenset()
    source: bool = False
    config_set: bool = False
    template: bool = False


def is_denial(code: str) -> bool:
    """Return whether a code means that a policy does not allow the call. It has no `Exception` at its end."""
    return code in _DENIALS


def named(code: str, message: str, rows: Sequence[Row], envelope: Envelope) -> NamedFault:
    """Return what the message names. In a denial only the resource counts: its user's name may look like an address."""
    resources = {(kind.lower(), name) for kind, text in _RESOURCE.findall(message) for name in _spellings(text)}
    found = _names(text for kind, text in resources if kind == "identity")
    source = address_of(envelope.source)
    if not is_denial(code):
        message = _without_logins(message, rows, re.compile(re.escape(source), re.IGNORECASE))
        found |= _names(_ADDRESS.findall(message))
        if listed := _LIST.search(message):
            found |= _names(listed[1].replace(",", " ").split())
    return NamedFault(
        rows=frozenset(place for place, row in enumerate(rows) if found and _is_among(found, for_ses(row.email))),
        source=_is_among(found, source),
        config_set=("configuration-set", envelope.config_set) in resources,
        template=("template", rows[0].action.template) in resources,
    )


def speaks_of_account(message: str, rows: Iterable[Row]) -> bool:
    """Return whether the message is about the account. The suppression list of the account is about a recipient."""
    message = _ADDRESS.sub("", _without_logins(message, rows, _ACCOUNT))
    return bool(_ACCOUNT.search(message)) and "suppress" not in message.lower()


def speaks_of_daily_quota(message: str, rows: Iterable[Row]) -> bool:
    """Return whether the message says that the daily quota is used up."""
    return bool(_DAILY_QUOTA.search(_without_logins(message, rows, _DAILY_QUOTA)))


def _without_logins(message: str, rows: Iterable[Row], meant: re.Pattern[str]) -> str:
    """Return the message without the logins that match `meant`. A login that is the row's address stays."""
    for row in rows:
        if meant.search(row.login) and row.login != row.email:
            message = message.replace(row.login, "").replace(for_html(row.login), "")
    return message


def _names(texts: Iterable[str]) -> set[str]:
    return {name.lower() for text in texts for name in _spellings(text)}


def _spellings(text: str) -> set[str]:
    """Return the names that a text may mean: unchanged, without surrounding characters, and with %40 decoded to @."""
    bare = text.strip(_ROUND)
    return {text, bare, unquote(text), unquote(bare)}


def _is_among(found: set[str], address: str) -> bool:
    return any(identity.lower() in found for identity in identities_of(address))
