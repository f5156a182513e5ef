"""Pure: text in columns that fit."""

import unicodedata
from collections.abc import Sequence
from typing import Final

GAP: Final = "  "


def width(text: str) -> int:
    """Return the number of columns that the text needs on a terminal."""
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in ("W", "F")) for c in text
    )  # fmt: skip


def cut(text: str, columns: int) -> str:
    """Return text of at most so many columns. An ellipsis at the end means that some text was cut."""
    if width(text) <= columns:
        return text
    taken, left = [], columns - 1
    for c in text:
        left -= width(c)
        if left < 0:
            break
        taken.append(c)
    return "".join(taken) + "…" if columns > 0 else ""


def wrapped(text: str, columns: int) -> list[str]:
    """Split the text into lines of at most so many columns (2 or more), between words where possible."""
    lines, line = [], ""
    for word in text.split(" "):
        longer = f"{line} {word}" if line else word
        if width(longer) <= columns:
            line = longer
            continue
        if line:
            lines.append(line)
        line = ""
        for c in word:
            if width(line) + width(c) > columns:
                lines.append(line)
                line = ""
            line += c
    return [*lines, line]


def pad(text: str, columns: int, align: str = "<") -> str:
    """Return text of at least so many columns, aligned left ('<') or right ('>')."""
    space = " " * max(0, columns - width(text))
    return space + text if align == ">" else text + space


def table(rows: Sequence[Sequence[str]], align: str, most: int | None = None) -> list[str]:
    """Return a line for each row. `align` has '<' or '>' for each column; a line has at most `most` columns."""
    widths = [max(width(row[place]) for row in rows) for place in range(len(align))] if rows else []
    lines = [
        GAP.join(pad(cell, widths[place], align[place]) for place, cell in enumerate(row)).rstrip() for row in rows
    ]
    return lines if most is None else [cut(line, most) for line in lines]
