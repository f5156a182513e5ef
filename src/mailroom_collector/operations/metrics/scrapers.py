"""Pure: which series each scraper was shown, so that a series begins at 0 for each of them.

Prometheus sees an increase only between two samples of a series. One that appears at 40 never increased, and
an alert on its first burst stays silent. So a series is shown at 0 once, and with its value from then on; and each
scraper gets a 0 of its own; else a person who opens the page would take the 0 that Prometheus needs.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

Series = tuple[str, str]

_RECENT: Final = 120.0
"""Seconds for which a series is new to a scraper that was not seen before: the longest usual interval of scrapes."""
_SCRAPERS: Final = 32
"""Scrapers that are remembered. The one whose last scrape is the oldest is forgotten first."""


class Scrapers:
    """What each scraper was shown. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._appeared: dict[Series, float] = {}
        self._shown: OrderedDict[str, set[Series]] = OrderedDict()

    def first_shown(self, scraper: str, series: Iterable[Series], now: float) -> set[Series]:
        """Return those of the series that this scraper is to be shown at 0, and note that it was shown all of them.

        A scraper that was not seen before is shown an old series with its value. If it were shown 0, the series would
        seem to increase at the next scrape by all that was counted since the start.
        """
        series = set(series)
        for one in series:
            self._appeared.setdefault(one, now)
        known = scraper in self._shown
        shown = self._shown.setdefault(scraper, set())
        self._shown.move_to_end(scraper)
        first = {one for one in series - shown if known or now < self._appeared[one] + _RECENT}
        shown |= series
        while len(self._shown) > _SCRAPERS:
            self._shown.popitem(last=False)
        return first
