"""Pure: counts and times as people write them, and text of others made harmless for a terminal."""


def visible(text: str) -> str:
    """Return text with control, format (also bidirectional) and line-breaking characters written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(number: float, thing: str, things: str = "") -> str:
    """Return how many there are of a thing: "1 row", "2,000 rows". `things` is the plural, if an s is not enough."""
    return f"{number:,.10g} {thing if number == 1 else things or thing + 's'}"


def spell(seconds: float) -> str:
    """Return a duration in seconds, or in minutes from two minutes on."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"  # noqa: PLR2004 - two minutes
