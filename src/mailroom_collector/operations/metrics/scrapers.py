"""Pure: which series each scraper has seen, so that a series begins at 0 for each scraper.

Prometheus sees an increase only between two samples of a series. If a series appears with the value 40, Prometheus
sees no increase, and an alert on it does not fire. So a series is 0 the first time, and has its value from then on.
Each scraper has its own record. Otherwise a person who opens the page would get the 0 that Prometheus needs.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

Series = tuple[str, str]

_RECENT: Final = 120.0
"""For so many seconds a series counts as new for a new scraper: the longest usual interval of scrapes."""
_SCRAPERS: Final = 32
"""The number of scrapers that are remembered. The one whose last scrape is the oldest is forgotten first."""


class Scrapers:
    """The series that each scraper has seen. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._appeared: dict[Series, float] = {}
        self._shown: OrderedDict[str, set[Series]] = OrderedDict()

    def first_shown(self, scraper: str, series: Iterable[Series], now: float) -> set[Series]:
        """Return the series that this scraper must see with 0, and note that it has seen all of the series.

        A new scraper gets an old series with its value. With 0, the series would seem to increase at the next scrape by
        everything that was counted since the start.
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
