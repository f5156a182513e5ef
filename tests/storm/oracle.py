"""Compares SES's own record with the commits of the application.

It knows only two things of mailroom: the ledger's column doubts, and an audit of each begin, which a trigger of the
storm itself writes.
"""

import base64
import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from tests.support.postgres import Database
from tests.support.ses_endpoint import Endpoint

AUDIT = """
CREATE TABLE storm_begun (token bigint, began double precision);
CREATE INDEX ON storm_begun (token);
CREATE FUNCTION storm_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.storm_begun VALUES (NEW.token, extract(epoch FROM now()));
    RETURN NULL;
END $$;
CREATE TRIGGER storm_audit AFTER UPDATE ON deliveries
    FOR EACH ROW WHEN (NEW.state = 'sending') EXECUTE FUNCTION storm_audit();
"""
_DOUBT = re.compile(r"may have been mailed twice.*?tokens \[([\d, ]+)\]|token (\d+) may have been mailed twice")


@dataclass
class Verdict:
    """What the storm proves."""

    committed: int = 0
    mailed: int = 0
    went_stale: int = 0
    lost: list[int] = field(default_factory=list)
    ghosts: list[str] = field(default_factory=list)
    doubles: dict[int, str] = field(default_factory=dict)  # token to the log line that explains it, or ""
    unexplained: list[int] = field(default_factory=list)
    doubts: int = 0
    longest_call: float = 0.0  # seconds from begin to SES
    states: dict[str, int] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Say whether the promises were kept."""
        return not (self.lost or self.ghosts or self.unexplained)


def judge(database: Database, endpoint: Endpoint, clock: float, stale_since: dict[int, float], log: str) -> Verdict:
    """Judge when every delivery is settled. `clock` is the difference between the endpoint's times and the epoch."""
    verdict = Verdict(states=database.states())
    tokens = {
        bytes(secret): (token, expires, is_stale)
        for token, secret, expires, is_stale in database.run(
            "SELECT t.id, t.secret, t.expires_at,"
            " t.consumed_at IS NOT NULL OR a.status = 'suspended' OR t.expires_at < t.created_at + 600"
            " FROM tokens t JOIN accounts a ON a.id = t.account"
        )
    }
    begun: dict[int, list[float]] = defaultdict(list)
    for token, began in database.run("SELECT token, began FROM storm_begun ORDER BY began"):
        begun[token].append(began)
    verdict.committed = len(tokens)
    mails: Counter[int] = Counter()
    for (template, address, data), arrived in zip(endpoint.mailed, endpoint.mailed_at, strict=True):
        secret = base64.urlsafe_b64decode(json.loads(data)["secret"] + "==")[:32]
        if secret not in tokens:
            verdict.ghosts.append(f"{template} to {address}: never committed")
            continue
        token, expires, _ = tokens[secret]
        mails[token] += 1
        began = max((at for at in begun[token] if at <= arrived + clock), default=None)
        if began is None:
            verdict.ghosts.append(f"token {token}: never begun")
        elif began >= expires or began > stale_since.get(token, float("inf")):
            verdict.ghosts.append(f"token {token}: stale when it was begun")
        else:
            verdict.longest_call = max(verdict.longest_call, arrived + clock - began)
    doubts = dict(database.run("SELECT token, doubts FROM deliveries WHERE doubts > 0"))
    logged = _explanations(log)
    for token, _, is_stale in tokens.values():
        verdict.went_stale += is_stale
        if not mails[token] and not is_stale:
            verdict.lost.append(token)
        if mails[token] > 1 + doubts.get(token, 0):
            verdict.unexplained.append(token)
        elif mails[token] > 1:
            verdict.doubles[token] = logged.get(token, "")
    verdict.mailed = sum(mails.values())
    verdict.doubts = sum(doubts.values())
    return verdict


def _explanations(log: str) -> dict[int, str]:
    """Return, for each token that the log says may have been mailed twice, a line that says so."""
    found: dict[int, str] = {}
    for line in log.splitlines():
        for many, one in _DOUBT.findall(line):
            found.update(dict.fromkeys(map(int, (many or one).split(",")), line))
    return found
