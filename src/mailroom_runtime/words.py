"""Pure: counts and times as people write them, and the words of others without harm to a terminal."""


def visible(text: str) -> str:
    """Return text with control, format (also bidirectional) and line-breaking characters written as escapes."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def counted(number: float, thing: str, things: str = "") -> str:
    """Return how many there are of a thing: "1 row", "2,000 rows"; `things` is a plural that is no mere s."""
    return f"{number:,.10g} {thing if number == 1 else things or thing + 's'}"


def spell(seconds: float) -> str:
    """Return a time: in seconds, from two minutes on in minutes."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"  # noqa: PLR2004 - two minutes
