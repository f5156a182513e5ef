"""What the command show says of a token: each situation with its next step, as text and as JSON."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from mailroom_collector.operations.figures import AccountHistory, QueuePause, TokenHistory
from mailroom_collector.operations.text.history_json import history_json
from mailroom_collector.operations.text.history_text import history_text
from mailroom_collector.operations.text.next_step import _SITUATIONS, next_step

NOW = datetime(2026, 1, 31, 23, 59, 59, tzinfo=UTC)
QUEUE = QueuePause(NOW, None, None)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


WAITS = TokenHistory(
    7, "activation", True, ago(10.5), ago(-889.5), None, None, "pending", ago(10), ago(10), True, None, 0, 0, None,
    None, None, 0, 0.04, False, 14.2,
)  # fmt: skip
CASES: list[tuple[str, dict[str, Any], str]] = [
    ("turn", {}, "No mail is ahead of it. At 14 mails a second its turn comes in 0.0 s."),
    ("turn", {"ahead": 1, "wait_s": None}, "1 mail is ahead of it. How fast mails go is not known yet."),
    ("turn", {"ahead": 1_400, "wait_s": 99.6}, "1,400 mails are ahead of it. At 14 mails a second its turn comes in 1"),
    ("late", {"ahead": 90_000, "is_late": True}, "90,000 mails are ahead of it. At 14 mails a second it expires"),
    ("nothing_sent", {"rate_per_s": 0.0, "wait_s": None, "is_late": True}, "It waits, and nothing was sent in the"),
    ("later", {"is_due": False, "due_at": ago(-60), "error": "Throttling: slow", "ahead": None},
     "It was not accepted so far: Throttling: slow. It is tried again at 2026-02-01 00:00:59 UTC. docs/refusals.md"),
    ("later", {"is_due": False, "due_at": ago(-60)}, "It is to be claimed again at 2026-02-01 00:00:59 UTC. Wait"),
    ("claimed", {"state": "claimed", "is_due": False}, "Its line is printed, and a sender begins it within seconds."),
    ("unlisted", {"listed": False}, "Its action is not in mailroom_actions. Insert it (docs/adding-an-action.md)."),
    ("stale", {"stale": "the account is suspended"}, "It is skipped when it is its turn: the account is suspended. If"),
    ("stale", {"stale": "a newer token took its place"},
     "It is skipped when it is its turn: a newer token took its place. Look at that one."),
    ("stale", {"stale": "the account reached its limit of mails: 5 in 900 s"},
     "It is skipped when it is its turn: the account reached its limit of mails: 5 in 900 s. Wait until the first"),
    ("stale", {"state": "claimed", "is_due": False, "stale": "the token expired"}, "It is skipped when it is its"),
    ("stale", {"consumed_at": ago(1), "stale": "the token was consumed"}, "It was used already, and is skipped when"),
    ("collector_lost", {"state": "claimed"}, "The lease of its holder ran out. The next claim takes it, by any"),
    ("sender_lost", {"state": "sending"}, "Its sender stopped in the call. The next collector claims it, and it may"),
    ("sending", {"state": "sending", "is_due": False}, "A sender is calling SES. Ask again in a moment."),
    ("skipped", {"state": "skipped", "error": "the account is suspended"},
     "It may be mailed now. mailroom-collect retry --token 7 puts it back."),
    ("skipped", {"state": "skipped", "error": "the account is suspended", "stale": "the account is suspended"},
     "It may not be mailed: the account is suspended. Once that has changed, insert a new token, as the"),
    ("limited", {"state": "skipped", "error": "the account reached its limit of mails: 5 in 900 s"},
     "The account got as many mails as its action allows in that time (docs/order.md). Wait until"),
    ("replaced", {"state": "skipped", "error": "a newer token took its place"}, "Of several tokens of this account"),
    ("expired", {"state": "skipped", "error": "the token expired; last try: Throttling"},
     "It expired before it was mailed. Insert a new token, as the application does."),
    ("consumed", {"state": "skipped", "error": "the token was consumed"}, "It was used before it was mailed. There is"),
    ("failed", {"state": "failed", "error": "its email has no @"},
     "Retry helps once the account's email is corrected. mailroom-collect retry --token 7 puts it back."),
    ("failed", {"state": "failed", "error": "its email has no @", "stale": "the token expired"},
     "It can't be mailed any more: the token expired. Correct the fault, and insert a new token, as the"),
    ("emitted", {"state": "emitted"}, "A program that does not keep the ledger has read its line: a sender"),
    ("sent", {"state": "sent"}, "SES accepted it. If it did not arrive, ask SES whether it suppresses the address:"),
    ("sent", {"state": "sent", "doubts": 1}, "SES accepted it. A call before had no answer, so it may have been"),
    ("no_delivery", {"state": None}, "The ledger has no delivery of it. The trigger mailroom_announce is missing or"),
    ("no_delivery", {"state": None, "stale": "the token expired"},
     "The ledger has no delivery of it, and the token expired. If it was mailed once, prune has removed its delivery."),
]  # fmt: skip


@pytest.mark.parametrize(("code", "changes", "words"), CASES)
def test_token_has_a_next_step(code: str, changes: dict[str, Any], words: str) -> None:
    """What is wrong comes first, then what to do."""
    step = next_step(replace(WAITS, **changes), QUEUE)
    assert (step.code, step.words[: len(words)]) == (code, words)
    assert step.words.endswith(".")


@pytest.mark.parametrize("changes", [{}, {"state": "claimed", "is_due": False}, {"is_due": False}, {"listed": False}])
def test_pause_comes_before_all_that_it_keeps_waiting(changes: dict[str, Any]) -> None:
    """But not before what makes the mail pointless, or what is settled."""
    paused = QueuePause(NOW, ago(60), "\x1bspam")
    step = next_step(replace(WAITS, **changes), paused)
    assert step == (
        "paused",
        r"The queue is paused since 2026-01-31 23:58:59 UTC: \x1bspam. mailroom-collect resume ends that.",
    )
    assert next_step(replace(WAITS, stale="the token expired", **changes), paused).code == "stale"
    assert next_step(replace(WAITS, state="sent"), paused).code == "sent"


def test_each_situation_has_a_case() -> None:
    """And no two have the same code."""
    codes = [one.code for one in _SITUATIONS]
    assert {code for code, _, _ in CASES} | {"paused"} == set(codes)
    assert len(codes) == len(set(codes))


SENT = replace(
    WAITS, id=8, state="sent", attempts=2, doubts=1, holder="send:web:1:x", message_id="m-1", settled_at=ago(1),
    consumed_at=ago(0.5), error="\x1b[31m",
)  # fmt: skip
HELD = replace(WAITS, id=6, state="sending", is_due=False, attempts=1, holder="send:web:1:x", due_at=ago(-20))
LOST = replace(HELD, id=5, is_due=True, due_at=ago(20), expires_at=ago(60))
ANN = AccountHistory(3, "ann", "ann@\u202eexample.com", "active", 5, [SENT, HELD, LOST])


def test_history_is_readable() -> None:
    """Foreign text is harmless, lines fit, and tokens that are not shown are counted."""
    lines = [line.text for line in history_text([ANN], QUEUE, 100)]
    assert lines == [
        r"account 3 ann <ann@\u202eexample.com>, active",
        "",
        "token 8  activation  sent",
        "  inserted    2026-01-31 23:59:49 UTC",
        "  expires     2026-02-01 00:14:48 UTC (in 14 min 50 s); used at 2026-01-31 23:59:58 UTC",
        "  delivery    2 tries; 1 call without an answer; sent at 2026-01-31 23:59:58 UTC",
        r"  error       \x1b[31m",
        "  message id  m-1",
        "  next        SES accepted it. A call before had no answer, so it may have been mailed more than",
        "              once. If it did not arrive, ask SES whether it suppresses the address: aws sesv2",
        "              get-suppressed-destination --email-address ADDRESS. docs/no-mail.md, step 3, says what",
        "              else to look at.",
        "",
        "token 6  activation  sending",
        "  inserted    2026-01-31 23:59:49 UTC",
        "  expires     2026-02-01 00:14:48 UTC (in 14 min 50 s)",
        "  delivery    1 try; held by send:web:1:x, until 2026-02-01 00:00:19 UTC",
        "  next        A sender is calling SES. Ask again in a moment.",
        "",
        "token 5  activation  sending",
        "  inserted    2026-01-31 23:59:49 UTC",
        "  expires     2026-01-31 23:58:59 UTC (1 min ago)",
        "  delivery    1 try; held by send:web:1:x, lease ran out 20 s ago",
        "  next        Its sender stopped in the call. The next collector claims it, and it may be mailed",
        "              twice. mailroom-collect status shows whether both programs run.",
        "",
        "  2 older tokens not shown; see them with --limit",
    ]
    assert max(len(line.text) for line in history_text([ANN], QUEUE, 40)) <= 40


def test_account_without_tokens_and_token_without_account() -> None:
    """Each says so."""
    nobody = AccountHistory(
        None, None, None, None, None, [replace(SENT, action=None, created_at=None, expires_at=None)]
    )
    lines = [line.text for line in history_text([replace(ANN, token_count=0, tokens=[]), nobody], QUEUE, 100)]
    assert lines[1:5] == [
        "  it has no token: the application inserted none, or has deleted it",
        "",
        "the account is not known, because the token is gone",
        "",
    ]


def test_json_has_every_figure_and_no_secret() -> None:
    """Times are in UTC, and names have their units."""
    (token, *_) = history_json(ANN, QUEUE)["tokens"]
    assert token["next"]["code"] == "sent"
    assert {name: token[name] for name in ("token", "settled_at", "wait_s", "rate_per_s", "late")} == {
        "token": 8, "settled_at": "2026-01-31T23:59:58.000Z", "wait_s": 0.0, "rate_per_s": 14.2, "late": False,
    }  # fmt: skip
    assert not {"secret", "code"} & set(token)
