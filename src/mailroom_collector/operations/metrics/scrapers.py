"""Pure: which series each scraper was shown, so that a series begins at 0 for each of them.

Prometheus sees an increase only between two samples of a series. One that appears at 40 never increased, and
an alert on its first burst stays silent. So a series is shown at 0 once, and with its value from then on; and each
scraper has a 0 of its own, or a person's look at the page would take Prometheus's.
"""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

Series = tuple[str, str]

_RECENT: Final = 120.0
"""Seconds for which a series is news to a scraper that was not seen before: the longest usual interval of scrapes."""
_SCRAPERS: Final = 32
"""Scrapers that are remembered; what is forgotten first is the one that did not come for the longest time."""


class Scrapers:
    """What each scraper was shown. Times are monotonic seconds."""

    def __init__(self) -> None:
        self._appeared: dict[Series, float] = {}
        self._shown: OrderedDict[str, set[Series]] = OrderedDict()

    def first_shown(self, scraper: str, series: Iterable[Series], now: float) -> set[Series]:
        """Return those of the series that this scraper is to be shown at 0, and note that it was shown all of them.

        To a scraper that was not seen before, an old series is shown with its value. At 0 it would seem to
        increase by all that was counted since the start, at the next scrape.
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
