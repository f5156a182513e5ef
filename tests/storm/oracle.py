"""Compares SES's own record with the commits of the application, and judges what mailroom promises.

It knows little of mailroom: the ledger's column doubts, why a token was skipped, and the storm's own audit.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.storm.history import History
from tests.storm.order import Order, judge_order
from tests.storm.requests import claimed_though_newer, over_the_limit, why_not_mailed

_DOUBT = re.compile(r"may have been mailed twice.*?tokens \[([\d, ]+)\]|token (\d+) may have been mailed twice")


@dataclass
class Verdict:
    """What the storm proves."""

    committed: int = 0
    mailed: int = 0
    went_stale: int = 0
    lost: list[str] = field(default_factory=list)
    ghosts: list[str] = field(default_factory=list)
    doubles: dict[int, str] = field(default_factory=dict)  # token to the log line that explains it, or ""
    unexplained: list[int] = field(default_factory=list)
    doubts: int = 0
    longest_call: float = 0.0  # seconds from begin to SES
    states: Mapping[str, int] = field(default_factory=dict)
    not_mailed: Mapping[str, int] = field(default_factory=dict)  # of the tokens that did not go stale, by reason
    order: Order = field(default_factory=Order)
    over_the_limit: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Say whether the promises were kept."""
        return not (self.lost or self.ghosts or self.unexplained or self.order.inversions or self.over_the_limit)


def judge(history: History, log: str) -> Verdict:
    """Judge a whole history, in which every delivery is settled."""
    verdict = Verdict(committed=len(history.tokens), mailed=len(history.mails) + len(history.foreign))
    verdict.states = Counter(token.state for token in history.tokens.values())
    verdict.went_stale = sum(token.is_stale for token in history.tokens.values())
    verdict.doubts = sum(token.doubts for token in history.tokens.values())
    _judge_missing(history, verdict)
    _judge_mails(history, verdict)
    _judge_doubles(history, verdict, _explanations(log))
    verdict.order = judge_order(history)
    verdict.over_the_limit = over_the_limit(history)
    return verdict


def _judge_missing(history: History, verdict: Verdict) -> None:
    reasons: Counter[str] = Counter()
    for token in history.tokens.values():
        if token.is_stale or token.id in history.mailed:
            continue
        if wrong := why_not_mailed(history, token):
            verdict.lost.append(f"token {token.id}: {wrong}")
        reasons[token.error.partition(";")[0]] += 1
    verdict.not_mailed = reasons


def _judge_mails(history: History, verdict: Verdict) -> None:
    verdict.ghosts += history.foreign + claimed_though_newer(history)
    for mail in history.mails:
        token = history.tokens[mail.token]
        begins = [step.at for step in history.steps_of.get(mail.token, []) if step.state == "sending"]
        place = bisect_right(begins, mail.at)
        if not place:
            verdict.ghosts.append(f"token {mail.token}: never begun")
        elif begins[place - 1] >= token.expires or begins[place - 1] > token.stale_since:
            verdict.ghosts.append(f"token {mail.token}: stale when it was begun")
        else:
            verdict.longest_call = max(verdict.longest_call, mail.at - begins[place - 1])


def _judge_doubles(history: History, verdict: Verdict, logged: Mapping[int, str]) -> None:
    for token, mails in history.mailed.items():
        if len(mails) > 1 + history.tokens[token].doubts:
            verdict.unexplained.append(token)
        elif len(mails) > 1:
            verdict.doubles[token] = logged.get(token, "")


def _explanations(log: str) -> dict[int, str]:
    """Return, for each token that the log says may have been mailed twice, a line that says so."""
    found: dict[int, str] = {}
    for line in log.splitlines():
        for many, one in _DOUBT.findall(line):
            found.update(dict.fromkeys(map(int, (many or one).split(",")), line))
    return found
