"""Pure: renders the part of SES's template language that mailroom knows.

SES renders a part of Handlebars, and does not escape the values (SES Developer Guide, "Advanced email
personalization"). This module knows {{name}} and {{{name}}}. For SES both mean the same. It refuses all other tags,
because it can't know what SES makes of them.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_TAG = re.compile(r"\\?(?:\{\{\{(?P<three>.*?)\}\}\}|\{\{(?P<two>.*?)\}\})|\{\{", re.DOTALL)
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_WORDS: Final = frozenset({"else", "this", "true", "false", "null", "undefined"})  # of the language
_SHOWN: Final = 60  # characters of a tag in a message


class Unrenderable(Exception):
    """The meaning of a tag is not certain, or its value is missing. The text says which tag, and where it is."""


@dataclass(frozen=True, slots=True)
class TemplateTag:
    """One tag. `name` is None if the tag is not just a name. Places count from 0, lines from 1."""

    text: str
    name: str | None
    start: int
    end: int
    line: int


def tags(template: str) -> list[TemplateTag]:
    """Return all tags, in order."""
    return [_tag(template, match) for match in _TAG.finditer(template)]


def _tag(template: str, match: re.Match[str]) -> TemplateTag:
    inner = match["three"] if match["three"] is not None else match["two"]
    name = inner.strip() if inner is not None and match[0].startswith("{") else None
    is_name = name is not None and _NAME.fullmatch(name) and name not in _WORDS
    line = template.count("\n", 0, match.start()) + 1
    return TemplateTag(match[0], name if is_name else None, match.start(), match.end(), line)


def names(template: str) -> set[str]:
    """Return the names of the values that a template certainly needs."""
    return {tag.name for tag in tags(template) if tag.name is not None}


def render(template: str, data: Mapping[str, str]) -> str:
    """Return the text that SES would make of the template. Raises Unrenderable."""
    out, at = [], 0
    for tag in tags(template):
        if tag.name is None:
            shown = " ".join(tag.text.split())[:_SHOWN]
            raise Unrenderable(f"line {tag.line}: {shown} is not known here; only SES can render it")
        if tag.name not in data:
            raise Unrenderable(f"line {tag.line}: the sender sends no {tag.name}")
        out += [template[at : tag.start], data[tag.name]]
        at = tag.end
    return "".join([*out, template[at:]])
