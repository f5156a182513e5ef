"""The list of deliveries that were not mailed, as text and as JSON, character by character."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from mailroom_collector.operations.figures import (
    Choice,
    Hidden,
    History,
    Owner,
    RetryResult,
    Settled,
    Unmatched,
    UnsentDelivery,
)
from mailroom_collector.operations.text.delivery_list import SENT, as_json, text, unmatched, verdicts
from mailroom_collector.operations.text.status_line import Kind, StatusLine

NOW = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)
ONE = UnsentDelivery(154, "activation", 7, "ann", "ann@b.example", "failed", "why", 2, 0, NOW, NOW, None)
NEVER = UnsentDelivery(9, None, None, None, None, "skipped", None, 0, 1, None, NOW, "expired")
HEAD = "2026-01-31 23:59:59"


def printed(columns: int, *failures: UnsentDelivery) -> list[str]:
    return [line.text for line in text(failures, columns)]


def test_each_failure_has_a_head_and_its_reason() -> None:
    """The head is one line. A deleted token has no account and no action."""
    assert list(text([ONE, NEVER], 200)) == [
        StatusLine(f"{HEAD}  154  activation  failed   2 tries      7 ann <ann@b.example>", Kind.HEAD),
        StatusLine("    why (retry would try it again)"),
        StatusLine(f"{HEAD}    9              skipped  never tried", Kind.HEAD),
        StatusLine("    without a reason (may have been sent; now expired)"),
    ]


@pytest.mark.parametrize(
    ("columns", "head"),
    [
        (76, f"{HEAD}  154  activation  failed  2 tries  7 ann <ann@b.example>"),
        (75, f"{HEAD}  154  activation  failed  7 ann <ann@b.example>"),
        (67, f"{HEAD}  154  activation  failed  7 ann <ann@b.example>"),
        (66, f"{HEAD}  154  failed  7 ann <ann@b.example>"),
    ],
)
def test_head_omits_what_does_not_fit(columns: int, head: str) -> None:
    """The tries are omitted first, then the action."""
    assert printed(columns, ONE) == [head, "    why (retry would try it again)"]


def test_account_has_its_own_line_if_it_does_not_fit() -> None:
    """It is wrapped there. What is too wide for a line is cut."""
    assert printed(40, ONE) == [
        f"{HEAD}  154  failed",
        "    7 ann <ann@b.example>",
        "    why (retry would try it again)",
    ]
    assert printed(20, replace(ONE, reason="r" * 25)) == [
        f"{HEAD[:19]}…",
        "    7 ann",
        "    <ann@b.example>",
        "    " + "r" * 15 + "…",
        "    rrrrr (retry wo…",
        "    try it again)",
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, "why (retry would try it again)"),
        ({"doubts": 1}, "why (may have been sent; retry would try it again)"),
        ({"stale": "expired"}, "why (now expired)"),
        ({"stale": "expired", "reason": "expired in the queue"}, "expired in the queue"),
        ({"reason": "its email is empty"}, "its email is empty (retry helps once the account's email is corrected)"),
        ({"reason": "its login is empty"}, "its login is empty (retry helps once the account's login is corrected)"),
        ({"reason": "its secret is bad"}, "its secret is bad (retry can't help; insert a new token)"),
        ({"reason": "its code is bad"}, "its code is bad (retry can't help; insert a new token)"),
        ({"reason": "its row"}, "its row (retry helps once that is corrected)"),
        ({"reason": "InvalidParameterValue: x"}, "InvalidParameterValue: x (retry helps once that is corrected)"),
        ({"reason": None}, "without a reason (retry would try it again)"),
        ({"reason": "\x1b"}, r"\x1b (retry would try it again)"),
    ],
)
def test_reason_comes_with_advice(changes: dict[str, object], words: str) -> None:
    """A fault of the row itself is refused again while the row has it."""
    assert printed(200, replace(ONE, **changes))[1] == f"    {words}"  # type: ignore[arg-type]


@pytest.mark.parametrize(("attempts", "words"), [(0, "never tried"), (1, "1 try"), (1000, "1,000 tries")])
def test_tries_are_counted(attempts: int, words: str) -> None:
    """They are in words."""
    assert printed(200, replace(ONE, attempts=attempts))[0].endswith(f"failed  {words}  7 ann <ann@b.example>")


def test_account_without_a_name_keeps_its_number() -> None:
    """All known fields are printed."""
    assert printed(200, replace(ONE, login=None, email=None))[0].endswith("  7  <>")


def test_failure_for_programs_has_each_documented_key() -> None:
    """Times are in UTC, and missing values are null."""
    assert as_json(ONE) == {
        "token": 154, "action": "activation", "account": 7, "login": "ann", "email": "ann@b.example",
        "state": "failed", "reason": "why", "attempts": 2, "doubts": 0, "queued_at": "2026-01-31T23:59:59.000Z",
        "settled_at": "2026-01-31T23:59:59.000Z", "pointless": None,
    }  # fmt: skip
    assert as_json(NEVER) == {
        **dict.fromkeys(as_json(ONE)), "token": 9, "state": "skipped", "attempts": 0, "doubts": 1,
        "settled_at": "2026-01-31T23:59:59.000Z", "pointless": "expired",
    }  # fmt: skip


ANEW = (
    "if a mail never arrived, insert a new token:"
    " INSERT INTO tokens (action, account) SELECT action, account FROM tokens WHERE id = ..."
)


@pytest.mark.parametrize(
    ("dry_run", "lines"),
    [
        (False, ["put back 1 of 3", "token 2 is not put back: expired", "token 3 is not put back: already sent", ANEW]),
        (True, ["would put back 1 of 3", "token 2 would not be put back: expired",
                "token 3 would not be put back: already sent", ANEW]),
    ],
)  # fmt: skip
def test_tokens_that_are_not_put_back_are_listed(dry_run: bool, lines: list[str]) -> None:
    """Each one has its reason, and sent ones have advice."""
    seen = [RetryResult(1, None), RetryResult(2, "expired"), RetryResult(3, "already sent", SENT)]
    assert list(verdicts(seen, dry_run=dry_run)) == lines
    assert list(verdicts(seen[:2], dry_run=dry_run)) == [lines[0].replace("3", "2"), lines[1]]


def many(number: int) -> list[RetryResult]:
    """Return one unknown token and this many expired ones."""
    return [RetryResult(0, "unknown"), *(RetryResult(n, "expired") for n in range(1, number + 1))]


@pytest.mark.parametrize(
    ("dry_run", "lines"),
    [
        (False, ["put back 0 of 21", "20 tokens are not put back: expired", "1 token is not put back: unknown"]),
        (True, ["would put back 0 of 21", "20 tokens would not be put back: expired",
                "1 token would not be put back: unknown"]),
    ],
)  # fmt: skip
def test_more_than_twenty_are_counted_by_reason(dry_run: bool, lines: list[str]) -> None:
    """The most frequent reason is first."""
    assert list(verdicts(many(20), dry_run=dry_run)) == lines
    assert len(list(verdicts(many(19), dry_run=dry_run))) == 21


def test_tokens_that_do_not_match_are_listed_alike() -> None:
    """Up to twenty are listed. More are counted."""
    assert list(unmatched(Choice(), Unmatched(many(1)))) == [
        "token 0 is not listed: unknown", "token 1 is not listed: expired",
    ]  # fmt: skip
    assert len(list(unmatched(Choice(), Unmatched(many(19))))) == 20
    assert list(unmatched(Choice(), Unmatched(many(20)))) == [
        "20 tokens are not listed: expired", "1 token is not listed: unknown",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("owners", "lines"),
    [
        ([Owner(7, "ann", {"sent": 1234, "failed": 2})],
         ["account 7 ann: nothing matches; its deliveries: 1,234 sent, 2 failed"]),
        ([Owner(7, "ann", {}), Owner(8, "\x1b", {})],
         ["account 7 ann: nothing matches; its deliveries: none",
          r"account 8 \x1b: nothing matches; its deliveries: none"]),
        ([], [r"there is no account with the id, login or address 'x\x1b'"]),
        (Hidden(), [r"no delivery of an account 'x\x1b' matches; this role may not read "
                    "whether the account exists"]),
        (None, []),
    ],
)  # fmt: skip
def test_account_that_does_not_match_is_told(owners: list[Owner] | Hidden | None, lines: list[str]) -> None:
    """With what there is of it."""
    assert list(unmatched(Choice(account="x\x1b"), Unmatched([], owners))) == lines
    assert list(unmatched(Choice(), Unmatched([], owners))) == []


def history(*reasons: tuple[str, str | None, int]) -> History:
    return History([Settled(state, reason, 0, 0, day, 0, NOW) for state, reason, day in reasons], None, None)


@pytest.mark.parametrize(
    ("seen", "reasons"),
    [
        (history(), "none"),
        (history(("sent", "x", 1)), "none"),
        (history(("failed", "a", 1), ("skipped", "\x1b", 2000), ("failed", None, 30)),
         r"\x1b (2,000), without a reason (30), a (1)"),
        (history(*(("failed", str(n), n) for n in range(1, 6))), "5 (5), 4 (4), 3 (3), 2 (2), 1 (1)"),
        (history(*(("failed", str(n), n) for n in range(1, 8))), "7 (7), 6 (6), 5 (5), 4 (4), 3 (3), and 2 more"),
    ],
)  # fmt: skip
def test_reason_that_does_not_match_is_told(seen: History, reasons: str) -> None:
    """With those of the last day, the most frequent first."""
    expected = rf"no reason contains 'x\x1b'; the reasons of the last day: {reasons}"
    assert list(unmatched(Choice(reason="x\x1b"), Unmatched([], history=seen))) == [expected]
    assert list(unmatched(Choice(), Unmatched([], history=seen))) == []
    assert list(unmatched(Choice(reason="x"), Unmatched([]))) == []


def test_reasons_are_in_order() -> None:
    """The most frequent first; of as many, by name."""
    seen = history(("failed", "b", 1), ("failed", None, 1), ("failed", "a", 1), ("failed", "z", 2), ("sent", "x", 9))
    assert [one.reason for one in seen.of("failed")] == ["z", None, "a", "b"]
