"""What happened in a storm, as the oracles read it: SES's own record, the commits of the application, and an audit.

A trigger of the storm itself writes the audit: each claim, begin and settlement, with the pipeline that did it.
Times are epoch seconds.
"""

import base64
import json
from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from tests.storm.plan import MOST_MAILS, MOST_WITHIN
from tests.storm.writers import IMPORTED, Writers
from tests.support.postgres import Database
from tests.support.ses_endpoint import Endpoint

NEVER = float("inf")
PIPELINE_SETTING = "storm.pipeline"
"""The PostgreSQL setting in which each pipeline's sessions have its number."""

AUDIT = f"""
CREATE TABLE storm_steps (token bigint, state text, at double precision, pipeline integer);
CREATE FUNCTION storm_audit() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO public.storm_steps VALUES (
        NEW.token, NEW.state, extract(epoch FROM now()), nullif(current_setting('{PIPELINE_SETTING}', true), '')::int);
    RETURN NULL;
END $$;
CREATE TRIGGER storm_audit AFTER UPDATE ON deliveries FOR EACH ROW
    WHEN (NEW.state = 'sending' OR NEW.state <> OLD.state OR NEW.holder <> OLD.holder)  -- not an extended lease
    EXECUTE FUNCTION storm_audit();
"""
_TOKENS = """
SELECT t.id, t.secret, t.account, t.action::text, t.expires_at, d.state::text, d.error,
       extract(epoch FROM d.settled_at)::float8, d.doubts, a.email LIKE '%%' || %s,
       t.consumed_at IS NOT NULL OR a.status = 'suspended' OR t.expires_at < t.created_at + 600
FROM tokens t JOIN accounts a ON a.id = t.account JOIN deliveries d ON d.token = t.id
"""


class Step(NamedTuple):
    """A delivery entered a state, in a transaction that began at this time."""

    at: float
    token: int
    state: str
    pipeline: int | None = None


class Mail(NamedTuple):
    """SES took a mail."""

    at: float
    token: int


class Trouble(NamedTuple):
    """A failure of one pipeline, or of all."""

    begins: float
    ends: float
    pipeline: int | None = None


@dataclass(frozen=True)
class Token:
    """A committed token, and what the ledger says of it at the end."""

    id: int
    account: int = 0
    action: str = "password_recovery"
    expires: float = NEVER
    state: str = "sent"
    error: str = ""
    settled: float = NEVER
    doubts: int = 0
    is_imported: bool = False
    is_stale: bool = False
    committed: float = NEVER  # the time after its commit, if the application noted it
    stale_since: float = NEVER


@dataclass
class History:
    """All that happened. The record is in the order of time."""

    tokens: dict[int, Token]
    mails: list[Mail]
    steps: list[Step] = field(default_factory=list)
    troubles: list[Trouble] = field(default_factory=list)
    scarce: list[tuple[float, float]] = field(default_factory=list)  # when SES's rate was scarce
    foreign: list[str] = field(default_factory=list)  # mails of no committed token
    most: tuple[int, float] = (MOST_MAILS, MOST_WITHIN)  # mails of an action, and seconds
    limited_action: str = "password_recovery"

    @cached_property
    def steps_of(self) -> dict[int, list[Step]]:
        """The steps of each token."""
        found: dict[int, list[Step]] = defaultdict(list)
        for step in self.steps:
            found[step.token].append(step)
        return found

    @cached_property
    def mailed(self) -> dict[int, list[float]]:
        """The times of each token's mails."""
        found: dict[int, list[float]] = defaultdict(list)
        for mail in self.mails:
            found[mail.token].append(mail.at)
        return found

    @cached_property
    def requests(self) -> dict[tuple[int, str], list[Token]]:
        """The tokens of each account and action, oldest first."""
        found: dict[tuple[int, str], list[Token]] = defaultdict(list)
        for token in sorted(self.tokens.values(), key=lambda token: token.id):
            found[token.account, token.action].append(token)
        return found

    def state_at(self, token: int, at: float) -> str:
        """Return the state of a delivery at a time."""
        steps = self.steps_of.get(token, [])
        place = bisect_right(steps, at, key=lambda step: step.at)
        return steps[place - 1].state if place else "pending"

    def mails_between(self, begins: float, ends: float) -> list[Mail]:
        """Return the mails between two times."""
        first = bisect_right(self.mails, begins, key=lambda mail: mail.at)
        return self.mails[first : bisect_left(self.mails, ends, key=lambda mail: mail.at)]


def read_history(database: Database, endpoint: Endpoint, writers: Writers, clock: float) -> History:
    """Read it when every delivery is settled. `clock` is the difference between the endpoint's times and the epoch."""
    tokens, secrets = {}, {}
    for row in database.run(_TOKENS, IMPORTED):
        token, secret, account, action, expires, state, error, settled, doubts, is_imported, is_stale = row
        secrets[bytes(secret)] = token
        tokens[token] = Token(
            token, account, action, expires, state, error or "", settled, doubts, is_imported, is_stale,
            writers.committed.get(token, NEVER), writers.stale_since.get(token, NEVER),
        )  # fmt: skip
    history = History(tokens, [])
    for (template, address, data), at in zip(endpoint.mailed, endpoint.mailed_at, strict=True):
        secret = base64.urlsafe_b64decode(json.loads(data)["secret"] + "==")[:32]
        if secret in secrets:
            history.mails.append(Mail(at + clock, secrets[secret]))
        else:
            history.foreign.append(f"{template} to {address}: never committed")
    history.steps = [
        Step(*row) for row in database.run("SELECT at, token, state, pipeline FROM storm_steps ORDER BY at")
    ]
    return history
