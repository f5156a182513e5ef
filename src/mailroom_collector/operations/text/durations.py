"""Pure: durations and times as people write and read them."""

import re
from datetime import UTC, datetime, timedelta
from typing import Final

_SECONDS: Final = {"w": 604_800, "d": 86_400, "h": 3600, "m": 60, "s": 1}
_DURATION = re.compile(r"(?:[0-9]{1,9}[wdhms])+", re.ASCII)
_PART = re.compile(r"([0-9]+)([wdhms])", re.ASCII)
_UNITS: Final = (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1))
_LONGEST: Final = 36_500 * 86_400  # seconds: a hundred years
DURATION_WANTED: Final = "a duration such as 90s, 15m, 2h, 30d or 1d12h"
MOMENT_WANTED: Final = f"{DURATION_WANTED}, or a time such as 2026-01-31 or 2026-01-31T23:59 (UTC)"


def parse_duration(text: str) -> timedelta:
    """Return the duration. Raises ValueError."""
    if not _DURATION.fullmatch(text):
        raise ValueError(text)
    seconds = sum(int(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
    if seconds > _LONGEST:
        raise ValueError(text)
    return timedelta(seconds=seconds)


def parse_moment(text: str, now: datetime) -> datetime:
    """Return the time in the text, or the time this duration ago. Without a zone it is UTC. Raises ValueError."""
    try:
        return now - parse_duration(text)
    except ValueError:
        moment = datetime.fromisoformat(text)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def format_duration(seconds: float) -> str:
    """Return a duration in its two largest units: '0.4 s', '12 s', '14 min 55 s', '3 d 4 h'."""
    if seconds < 10:  # noqa: PLR2004 - below it, tenths matter
        return f"{max(0.0, seconds):.1f} s"
    left = round(seconds)
    parts: list[str] = []
    for unit, length in _UNITS:
        number, left = divmod(left, length)
        if number or parts:
            parts.append(f"{number} {unit}" if number else "")
        if len(parts) == 2:  # noqa: PLR2004
            break
    return " ".join(filter(None, parts))


def format_ms(ms: float) -> str:
    """Return a short time: '0.8 ms', '12 ms', '1.5 s', '2 min 10 s'."""
    if ms < 10:  # noqa: PLR2004 - as above
        return f"{ms:.1f} ms"
    return f"{ms:.0f} ms" if ms < 1000 else format_duration(ms / 1000)  # noqa: PLR2004


def stamp(moment: datetime) -> str:
    """Return a time as people read it, in UTC."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def iso(moment: datetime | None) -> str | None:
    """Return a time as programs read it, in UTC (RFC 3339)."""
    return None if moment is None else moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
