"""How scrapers see counters: first 0, then their values."""

from collections import Counter

from mailroom_collector.operations.metrics.scrapers import Scrapers
from mailroom_collector.operations.metrics.settlement_counts import BOUNDS, EXPIRED, OTHER, SettlementCounts

SENT, FAILED = ("sent", ""), ("failed", "MessageRejected")


def test_new_series_is_shown_at_0_first() -> None:
    """A series from the start is 0 in the first scrape. A later one is 0 in the scrape that first shows it."""
    scrapers = Scrapers()
    assert scrapers.first_shown("prometheus", [SENT], 0) == {SENT}
    assert scrapers.first_shown("prometheus", [SENT], 15) == set()
    assert scrapers.first_shown("prometheus", [SENT, FAILED], 86_400) == {FAILED}
    assert scrapers.first_shown("prometheus", [SENT, FAILED], 86_415) == set()


def test_each_scraper_gets_its_own_0() -> None:
    """A person who opens the page, or a second Prometheus, takes nothing from the first one."""
    scrapers = Scrapers()
    for name in ("prometheus", "another"):
        scrapers.first_shown(name, [SENT], 0)
    for name in ("curl", "prometheus", "another"):
        assert scrapers.first_shown(name, [SENT, FAILED], 100) == ({SENT, FAILED} if name == "curl" else {FAILED})
    assert not any(scrapers.first_shown(name, [SENT, FAILED], 115) for name in ("curl", "prometheus", "another"))


def test_new_scraper_gets_old_series_with_their_values() -> None:
    """At 0 they would seem to increase by the counts of a month. Only recent series begin at 0."""
    scrapers = Scrapers()
    scrapers.first_shown("prometheus", [SENT], 0)
    scrapers.first_shown("prometheus", [SENT, FAILED], 1000)
    assert scrapers.first_shown("moved", [SENT, FAILED], 1119) == {FAILED}
    assert scrapers.first_shown("moved too", [SENT, FAILED], 1120) == set()


def test_endless_scrapers_do_not_fill_the_memory() -> None:
    """The one with the oldest scrape is forgotten. One that scrapes regularly is not."""
    scrapers = Scrapers()
    for n in range(1000):
        scrapers.first_shown("prometheus", [SENT], n)
        scrapers.first_shown(f"stranger {n}", [SENT], n)
    assert scrapers.first_shown("prometheus", [SENT, FAILED], 2000) == {FAILED}
    assert scrapers.first_shown("stranger 999", [SENT, FAILED], 3000) == {FAILED}
    assert scrapers.first_shown("stranger 0", [SENT, FAILED], 3000) == set()  # like a new one


def test_limit_of_remembered_scrapers() -> None:
    """At one more, the first is forgotten."""
    for others, expected in ((31, {FAILED}), (32, set())):
        scrapers = Scrapers()
        for name in ("first", *map(str, range(others))):
            scrapers.first_shown(name, [SENT], 0)
        scrapers.first_shown("0", [FAILED], 1)
        assert scrapers.first_shown("first", [SENT, FAILED], 1000) == expected


def test_counters_begin_with_the_series_of_the_alerts() -> None:
    """Known series exist at 0 before the first event."""
    counts = SettlementCounts()
    assert set(counts.settled.values()) == {0}
    assert {("sent", ""), ("skipped", EXPIRED), ("failed", OTHER)} <= set(counts.settled)
    assert (counts.doubts, counts.buckets) == (0, [0] * (len(BOUNDS) + 1))


def test_many_reasons_are_counted_together_and_the_expired_apart() -> None:
    """Above the limit a reason is "other". Tokens that expired after a try still count as expired."""
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
