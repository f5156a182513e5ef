"""What a scraper is shown of counters: 0 first, then their values."""

from collections import Counter

from mailroom_collector.operations.metrics.scrapers import Scrapers
from mailroom_collector.operations.metrics.settlement_counts import BOUNDS, EXPIRED, OTHER, SettlementCounts

SENT, FAILED = ("sent", ""), ("failed", "MessageRejected")


def test_series_that_appears_is_shown_at_0_once() -> None:
    """What was there from the start is 0 in the first scrape, and what comes later in the one that first shows it."""
    scrapers = Scrapers()
    assert scrapers.first_shown("prometheus", [SENT], 0) == {SENT}
    assert scrapers.first_shown("prometheus", [SENT], 15) == set()
    assert scrapers.first_shown("prometheus", [SENT, FAILED], 86_400) == {FAILED}
    assert scrapers.first_shown("prometheus", [SENT, FAILED], 86_415) == set()


def test_each_scraper_has_a_0_of_its_own() -> None:
    """A person who looks at the page, and a second Prometheus, take nothing from the first one."""
    scrapers = Scrapers()
    for name in ("prometheus", "another"):
        scrapers.first_shown(name, [SENT], 0)
    for name in ("curl", "prometheus", "another"):
        assert scrapers.first_shown(name, [SENT, FAILED], 100) == ({SENT, FAILED} if name == "curl" else {FAILED})
    assert not any(scrapers.first_shown(name, [SENT, FAILED], 115) for name in ("curl", "prometheus", "another"))


def test_new_scraper_is_shown_old_series_as_they_are() -> None:
    """At 0 they would seem to increase by all that was counted in a month; only what is recent begins at 0."""
    scrapers = Scrapers()
    scrapers.first_shown("prometheus", [SENT], 0)
    scrapers.first_shown("prometheus", [SENT, FAILED], 1000)
    assert scrapers.first_shown("moved", [SENT, FAILED], 1119) == {FAILED}
    assert scrapers.first_shown("moved too", [SENT, FAILED], 1120) == set()


def test_scrapers_without_end_do_not_fill_the_memory() -> None:
    """The one that did not come for the longest time is forgotten; one that comes is not."""
    scrapers = Scrapers()
    for n in range(1000):
        scrapers.first_shown("prometheus", [SENT], n)
        scrapers.first_shown(f"stranger {n}", [SENT], n)
    assert scrapers.first_shown("prometheus", [SENT, FAILED], 2000) == {FAILED}
    assert scrapers.first_shown("stranger 999", [SENT, FAILED], 3000) == {FAILED}
    assert scrapers.first_shown("stranger 0", [SENT, FAILED], 3000) == set()  # as if it had never come


def test_so_many_scrapers_are_remembered() -> None:
    """One more, and the first is forgotten."""
    for others, expected in ((31, {FAILED}), (32, set())):
        scrapers = Scrapers()
        for name in ("first", *map(str, range(others))):
            scrapers.first_shown(name, [SENT], 0)
        scrapers.first_shown("0", [FAILED], 1)
        assert scrapers.first_shown("first", [SENT, FAILED], 1000) == expected


def test_counts_begin_with_what_alerts_wait_for() -> None:
    """Known series are there at 0 before anything happened."""
    counts = SettlementCounts()
    assert set(counts.settled.values()) == {0}
    assert {("sent", ""), ("skipped", EXPIRED), ("failed", OTHER)} <= set(counts.settled)
    assert (counts.doubts, counts.buckets) == (0, [0] * (len(BOUNDS) + 1))


def test_flood_of_reasons_is_counted_together_and_the_expired_apart() -> None:
    """Past the limit a reason is "other"; tokens that expired after a try of whatever kind stay expired tokens."""
    counts = SettlementCounts()
    for n in range(1000):
        counts.add("failed", f"Reason{n}", 1)
    for n in range(1000):
        counts.add("skipped", f"{EXPIRED}; last try: Reason{n}", 1, EXPIRED)
    counts.add("skipped", "what nobody has seen; last try: x", 1, "what nobody has seen")
    assert len(counts.settled) == 50
    by_state: Counter[str] = Counter()
    for (state, _), number in counts.settled.items():
        by_state[state] += number
    assert by_state == {"sent": 0, "emitted": 0, "failed": 1000, "skipped": 1001}
    assert counts.settled["skipped", EXPIRED] == 1000
    assert counts.settled["skipped", OTHER] == 1
    assert counts.settled["failed", OTHER] == 1000 - 45
