"""Pure: compares local templates with those in SES."""

import difflib
from collections.abc import Collection
from typing import Final

from mailroom_sender.texts.handlebars import names
from mailroom_sender.texts.template import ENDINGS, Template

SENT_BY: Final = {
    "login_text": "every running sender is of version 0.3 or newer, with MAILROOM_LINK_BASE_URL",
    "base_url": "every running sender has MAILROOM_LINK_BASE_URL",
}
"""Values that not every sender sends, each with the condition under which every sender sends it."""


def different_parts(ours: Template, theirs: Template) -> list[str]:
    """Return the names of the parts that differ. Line breaks, and spaces at the end of a line, don't count."""
    return [part for part in ENDINGS if _lines(ours.part(part)) != _lines(theirs.part(part))]


def state(ours: Template, theirs: Template | None) -> str:
    """Return the state in SES: same, different (with the parts that differ), or missing."""
    if theirs is None:
        return "missing"
    parts = different_parts(ours, theirs)
    return f"different: {', '.join(parts)}" if parts else "same"


def difference(ours: Template, theirs: Template | None) -> list[str]:
    """Return what a push would change: the lines of a unified diff of each part, without line breaks."""
    other = theirs or Template(ours.name, "", "", "")
    lines: list[str] = []
    for part in different_parts(ours, other):
        before = f"SES/{ours.name}{ENDINGS[part]}" if theirs else "/dev/null"
        after = f"here/{ours.name}{ENDINGS[part]}"
        lines += difflib.unified_diff(_lines(other.part(part)), _lines(ours.part(part)), before, after, lineterm="")
    return lines


def _lines(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]


def unknown_names(template: Template, known: Collection[str]) -> dict[str, list[str]]:
    """Return the values that a template uses and the sender does not send, with the parts that use them."""
    unknown: dict[str, list[str]] = {}
    for part in ENDINGS:
        for name in sorted(names(template.part(part)) - set(known)):
            unknown.setdefault(name, []).append(part)
    return unknown


def newly_needed(ours: Template, theirs: Template) -> list[str]:
    """Return the conditions under which every sender sends the values that only the local template uses."""
    ours_use, theirs_use = ({name for part in ENDINGS for name in names(one.part(part))} for one in (ours, theirs))
    return [condition for name, condition in SENT_BY.items() if name in ours_use - theirs_use]


def fault_and_remedy(name: str, parts: Collection[str], known: Collection[str]) -> tuple[str, str]:
    """Return the fault of a template that uses a value that is not sent, and what to do."""
    found = f"its {' and '.join(parts)} {'uses' if len(parts) == 1 else 'use'} {{{{{name}}}}}, which is not sent"
    if name in SENT_BY:
        return found, "set MAILROOM_LINK_BASE_URL, here and for the sender"
    return found, f"use only {', '.join(known)}"
