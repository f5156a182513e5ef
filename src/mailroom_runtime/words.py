"""Pure: counts and durations as people write them, and foreign text made harmless for a terminal."""


def visible(text: str) -> str:
    """Return the text with escapes in place of control, format (also bidirectional) and line-breaking characters."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def is_storable(text: str) -> bool:
    """Return whether PostgreSQL can have the text: no NUL, and no byte of an argument that is not valid UTF-8."""
    return "\0" not in text and not any("\ud800" <= c <= "\udfff" for c in text)


def counted(number: float, thing: str, things: str = "") -> str:
    """Return a number and its noun: "1 row", "2,000 rows". `things` is the plural, if it is not `thing` and an s."""
    return f"{number:,.10g} {thing if number == 1 else things or thing + 's'}"


def round_duration(seconds: float) -> str:
    """Return a duration in whole seconds, or in whole minutes if it is two minutes or more."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"  # noqa: PLR2004 - two minutes
