"""Each oracle of the storm refuses a wrong history, and accepts one that is only just right."""

from dataclasses import replace

import pytest

from tests.storm.history import History, Mail, Step, Token, Trouble
from tests.storm.oracle import judge
from tests.storm.order import ALLOWANCE, CALL, judge_order
from tests.storm.plan import MOST_MAILS, MOST_WITHIN
from tests.storm.requests import LIMIT, NEWER, claimed_though_newer, over_the_limit, why_not_mailed

RECOVERY = 10_000
COMMITTED, MAILED = 100.0, 101.0


def handled(token: int, claimed: float, mailed: float, pipeline: int = 0) -> list[Step]:
    """Return the steps of a delivery without failures."""
    times = {"claimed": claimed, "sending": mailed - 0.01, "sent": mailed + 0.01}
    return [Step(at, token, state, pipeline) for state, at in times.items()]


def queue(overtaking: int, claimed: float) -> History:
    """Return a recovery, and a number of imported rows that were claimed at a time and mailed before it."""
    imported = range(1, overtaking + 1)
    tokens = {number: Token(number, account=number, action="activation", is_imported=True) for number in imported}
    tokens[RECOVERY] = Token(RECOVERY, account=RECOVERY, committed=COMMITTED)
    steps = handled(RECOVERY, 100.2, MAILED)
    for number in imported:
        steps += handled(number, claimed, 100.5)
    mails = [*(Mail(100.5, number) for number in imported), Mail(MAILED, RECOVERY)]
    return History(tokens, mails, sorted(steps), scarce=[(90.0, 110.0)])


def test_inversion_is_noticed() -> None:
    """More rows of an import than allowed went before a recovery, and none was outstanding when it was committed."""
    assert judge_order(queue(ALLOWANCE, claimed=100.1)).inversions == []
    (inversion,) = judge_order(queue(ALLOWANCE + 1, claimed=100.1)).inversions
    assert inversion.startswith("token 10000 (password_recovery): 201 imported mails went before it in 1.0 s")


def test_late_claim_is_noticed() -> None:
    """Rows of an import were claimed while a recovery waited for longer than any collector may overlook it."""
    for count, claimed, is_noticed in ((CALL, 103.1, False), (CALL + 1, 103.1, True), (CALL + 1, 102.9, False)):
        history = queue(count, claimed)
        waiting = [step for step in history.steps if step.token != RECOVERY]
        inversions = judge_order(replace(history, steps=waiting, mails=[])).inversions
        wrong = f"token 10000 (password_recovery): {CALL + 1} imported rows were claimed while it waited, more than 3 s"
        assert inversions == ([f"{wrong} after its commit"] if is_noticed else [])


def test_what_was_outstanding_may_go_first() -> None:
    """These rows were claimed before the recovery was committed. One more row is an inversion."""
    history = queue(1000, claimed=99.0)
    order = judge_order(history)
    assert (order.judged, order.most_outstanding, order.most_overtaking, order.inversions) == (1, 1000, 1000, [])
    given_back = [step for step in history.steps if step.state != "claimed" or step.token > ALLOWANCE]
    assert not judge_order(replace(history, steps=given_back)).inversions
    assert judge_order(replace(history, steps=[step for step in given_back if step.token != 1000])).inversions


def test_row_that_came_back_has_its_place_again() -> None:
    """Rows were outstanding once, and not any more when the recovery was committed. So they do not go before it."""
    history = queue(1000, claimed=100.1)
    back = [Step(at, number, state, 1) for number in range(1, 1001) for at, state in ((98, "claimed"), (99, "pending"))]
    assert judge_order(replace(history, steps=sorted(history.steps + back))).inversions


def test_recovery_that_is_not_mailed_is_judged() -> None:
    """It was never claimed while the rate was scarce. So nothing excuses it."""
    history = queue(ALLOWANCE + 1, claimed=100.1)
    waiting = [step for step in history.steps if step.token != RECOVERY]
    assert judge_order(replace(history, steps=waiting, mails=history.mails[:-1])).inversions


@pytest.mark.parametrize(
    "change",
    [
        {"scarce": [(90.0, 100.4)]},
        {"troubles": [Trouble(100.3, 100.3, 0)]},
        {"troubles": [Trouble(99.0, 99.5)]},  # after it the pipeline has begun nothing before the recovery
        {"steps": sorted([*queue(1000, 100.1).steps, Step(100.3, RECOVERY, "claimed", 1)])},
        {"steps": sorted([*queue(1000, 100.1).steps, Step(100.3, RECOVERY, "skipped", 0)])},
        {"tokens": queue(1000, 100.1).tokens | {RECOVERY: Token(RECOVERY, committed=100.0, stale_since=100.3)}},
    ],
    ids=["rate not scarce", "pipeline in trouble", "all in trouble before", "claimed twice", "skipped", "stale"],
)
def test_mail_that_something_else_delays_is_judged_no_longer(change: dict[str, object]) -> None:
    """The imported mails went after that."""
    history = queue(1000, claimed=100.1)
    assert judge_order(history).inversions
    order = judge_order(replace(history, **change))  # type: ignore[arg-type]
    assert (order.judged, order.until_mailed, order.most_overtaking) == (1, 0, 0)


def test_trouble_of_another_pipeline_does_not_matter() -> None:
    """The recovery's own pipeline worked all the time."""
    history = replace(queue(1000, claimed=100.1), troubles=[Trouble(100.1, 105.0, 1)])
    assert judge_order(history).inversions


def asked(*mailed: float | None, **columns: object) -> History:
    """Return requests of one account, one each second from 1 on. None: it was not mailed, but skipped."""
    tokens, mails, steps = {}, [], []
    for number, at in enumerate(mailed, 1):
        sent = Token(number, account=7, committed=number, settled=number + 0.5)
        tokens[number] = sent if at else replace(sent, state="skipped", **columns)  # type: ignore[arg-type]
        if at:
            mails.append(Mail(at, number))
            steps += handled(number, number + 0.1, at)
    return History(tokens, sorted(mails), sorted(steps))


def test_mails_above_the_limit_are_noticed() -> None:
    """One mail more than the most within the time; a doubt is apart, and another action too."""
    times = [1.5 + n for n in range(MOST_MAILS + 1)]
    history = asked(*times)
    assert over_the_limit(history) == [f"account 7: {MOST_MAILS + 1} mails within {MOST_MAILS}.00 s"]
    assert over_the_limit(asked(*times[:-1], times[0] + MOST_WITHIN)) == []
    history.mails.append(Mail(times[-1] + 0.1, MOST_MAILS + 1))
    assert over_the_limit(History(history.tokens, history.mails)) == []
    other = {number: replace(token, action="activation") for number, token in history.tokens.items()}
    assert over_the_limit(History(other, asked(*times).mails)) == []


def test_request_that_a_newer_one_replaced_is_not_lost() -> None:
    """The newer one was mailed later. Without it, or if it was stale or given up by then, the older one is lost."""
    history = asked(None, 2.5, error=NEWER)
    old, new = history.tokens.values()
    assert why_not_mailed(history, old) == ""
    wrong = "skipped, but no newer token was to be mailed"
    alone = asked(None, error=NEWER)
    assert why_not_mailed(alone, alone.tokens[1]) == wrong
    stale_before = {"stale_since": old.settled - 0.1}, {"expires": old.settled - 0.1}
    for change in (*stale_before, {"state": "failed", "settled": old.settled - 1.1}):
        tokens = {1: old, 2: replace(new, **change)}
        assert why_not_mailed(History(tokens, history.mails, history.steps), old) == wrong, change


def test_request_above_the_limit_is_not_lost() -> None:
    """Its account had reached its limit when it was skipped. With one mail less, the token is lost."""
    reason = f"{LIMIT}{MOST_MAILS} in {MOST_WITHIN} s"
    mailed = [1.2 + n for n in range(MOST_MAILS)]
    history = asked(*mailed, None, error=reason)
    assert why_not_mailed(history, history.tokens[MOST_MAILS + 1]) == ""
    wrong = "skipped, but its account had not reached its limit"
    fewer = asked(*mailed[1:], None, error=reason)
    assert why_not_mailed(fewer, fewer.tokens[MOST_MAILS]) == wrong
    late = replace(history.tokens[MOST_MAILS + 1], settled=mailed[0] + MOST_WITHIN + 0.1)
    assert why_not_mailed(history, late) == wrong


def test_request_that_was_claimed_after_a_newer_one_is_noticed() -> None:
    """The older one was claimed when a newer one was committed, and could be mailed all the time."""
    history = asked(4.5, 2.5)
    late = Step(2.1, 1, "claimed")
    assert claimed_though_newer(history) == []
    history = replace(history, steps=sorted([*history.steps, late]))
    wrong = ["token 1: claimed when token 2 was waiting or sent"]
    assert claimed_though_newer(history) == wrong
    new = history.tokens[2]
    for change in ({"stale_since": 3.0}, {"expires": 3.0}, {"state": "skipped"}, {"is_stale": True}):
        tokens = history.tokens | {2: replace(new, **change)}
        assert claimed_though_newer(replace(history, tokens=tokens)) == [], change
    assert judge(history, "").ghosts == wrong


def test_lost_stale_and_doubled_mails_are_noticed() -> None:
    """Each of today's promises is still judged."""
    history = asked(1.5, 12.5)
    assert judge(history, "").holds
    lost = judge(replace(history, mails=history.mails[:1]), "")
    assert (lost.holds, lost.lost) == (False, ["token 2: sent"])
    stale = judge(replace(history, tokens=history.tokens | {2: replace(history.tokens[2], stale_since=12.4)}), "")
    assert (stale.holds, stale.ghosts) == (False, ["token 2: stale when it was begun"])
    twice = replace(history, mails=[*history.mails, Mail(12.6, 2)])
    assert (judge(twice, "").holds, judge(twice, "").unexplained) == (False, [2])
    doubt = replace(twice, tokens=history.tokens | {2: replace(history.tokens[2], doubts=1)})
    log = "token 2 may have been mailed twice"
    assert (judge(doubt, log).holds, judge(doubt, log).doubles) == (True, {2: log})
    assert not judge(replace(history, foreign=["x to y: never committed"]), "").holds
    assert judge(replace(history, steps=[]), "").ghosts == ["token 1: never begun", "token 2: never begun"]
