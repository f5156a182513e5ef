"""The SQL steps against a plain model of the ledger, in random orders from hypothesis.

Time is counted in ticks of 500 s. It passes when the database's own times are moved into the past, so the duration of
the test itself does not matter.
"""

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from tests.support.ledger import Steps, add_invitation
from tests.support.postgres import Database, Server

TICK = 500  # seconds
LEASE = 2  # ticks
LIFE = 9  # ticks
COLLECTORS, SENDERS = ("c1", "c2"), ("s1", "s2")
LEASE_MS = LEASE * TICK * 1000
STATES = {
    "activation": ("provisioned",),
    "password_recovery": ("provisioned", "active"),
    "invitation": ("provisioned", "suspended"),  # an application's own
}
HOUR = 3600 / TICK
HEAD_STARTS = {"activation": 43200 / TICK, "password_recovery": 86400 / TICK, "invitation": 43200 / TICK}
MAIL_LIFE, LONGEST_WAIT = 3, LIFE - 3  # ticks, of an invitation, whose life begins with its mail
MOST_WITHIN = 4  # ticks
IMPORT = 11  # the fewest tokens of a statement that is an import
ALIKE = 0.1  # ticks; times that differ by less are in any order
MOST_TOKENS = 6  # few, so that steps meet
ROLLED_BACK = st.sampled_from([False, False, False, False, True])


@dataclass
class Delivery:
    """A row of deliveries, with the columns of its token and account that matter."""

    account: int
    action: str
    expires: float
    queued: float
    head_start: float
    due: float
    lifetime: float | None = None
    consumed: bool = False
    state: str = "pending"
    attempts: int = 0
    doubts: int = 0
    holder: str | None = None
    calls: int = 0  # that may have mailed it
    begun_by: str | None = None
    printed: str | None = None  # the address
    readdressed: bool = False
    mailed: float | None = None  # when it was sent or emitted

    @property
    def place(self) -> float:
        return self.queued - self.head_start - HOUR

    @property
    def settled(self) -> bool:
        return self.state in ("sent", "failed", "skipped", "emitted")


@dataclass
class Model:
    """The ledger as docs/internals.md describes it."""

    now: float = 0
    acknowledged: bool = False
    paused: bool = False
    deliveries: dict[int, Delivery] = field(default_factory=dict)
    accounts: dict[int, str] = field(default_factory=dict)
    emails: dict[int, str] = field(default_factory=dict)
    newest_only: dict[str, bool] = field(default_factory=dict)
    most_mails: dict[str, int | None] = field(default_factory=dict)

    def others(self, token: int) -> dict[int, Delivery]:
        """Return the other deliveries of its account and action."""
        d = self.deliveries[token]
        alike = {t: o for t, o in self.deliveries.items() if (o.account, o.action) == (d.account, d.action)}
        return {t: o for t, o in alike.items() if t != token}

    def replaced(self, token: int) -> bool:
        return self.newest_only[self.deliveries[token].action] and any(
            other > token and o.state not in ("failed", "skipped") and not o.consumed and o.expires > self.now
            for other, o in self.others(token).items()
        )

    def mails(self, others: Iterable[Delivery]) -> list[float]:
        """Return when these were mailed, the newest first. What is being sent may be mailed now."""
        sending = [self.now for o in others if o.state == "sending"]
        return sorted(sending + [o.mailed for o in others if o.mailed is not None], reverse=True)

    def limited(self, token: int) -> bool:
        most = self.most_mails[self.deliveries[token].action]
        mails = [at for at in self.mails(list(self.others(token).values())) if self.now - at < MOST_WITHIN]
        return most is not None and len(mails) >= most

    def stale(self, d: Delivery) -> bool:
        return d.consumed or d.expires <= self.now or self.accounts[d.account] not in STATES[d.action]

    def due(self) -> set[int]:
        unsettled = {} if self.paused else {token: d for token, d in self.deliveries.items() if not d.settled}
        return {token for token, d in unsettled.items() if d.due <= self.now}

    def put_in_place(self) -> None:
        """Give what has come back its place again: that of its insert, or after three tries that of this moment."""
        for d in (self.deliveries[token] for token in self.due()):
            if d.due > self.now - HOUR:
                d.due = d.place if d.attempts < 3 else d.due - d.head_start - HOUR

    def claim(self, holder: str, tokens: Sequence[int]) -> list[int]:
        skipped = {t for t in tokens if self.stale(self.deliveries[t]) or self.replaced(t) or self.limited(t)}
        for token in tokens:
            d = self.deliveries[token]
            d.doubts += d.state == "sending"
            d.holder = holder
            if token in skipped:
                d.state = "skipped"
            else:
                d.state, d.due = "claimed", self.now + LEASE
                d.printed = self.emails[d.account]
        return [token for token in tokens if not self.deliveries[token].settled]

    def held(self, holder: str, tokens: Sequence[int], state: str) -> list[int]:
        return [
            token for token in tokens if (d := self.deliveries.get(token)) and (d.state, d.holder) == (state, holder)
        ]

    def refused(self, holder: str, token: int) -> bool:
        d = self.deliveries[token]
        return (
            d.state in ("sent", "failed", "skipped")
            or (d.state == "sending" and d.holder != holder)
            or (d.state == "pending" and (d.due > self.now or self.paused))
        )

    def put_back(self, d: Delivery) -> None:
        again = d.state == "sending"
        d.attempts -= again
        d.calls -= again
        d.state, d.holder, d.due = "pending", None, d.place

    def locked(self, tokens: Sequence[int]) -> set[int]:
        """Of several tokens of one account and action that has a limit, all but the newest."""
        limited = [token for token in tokens if self.most_mails[self.deliveries[token].action] is not None]
        return {token for token in limited if any(other in limited and other > token for other in self.others(token))}

    def begin(self, holder: str, tokens: Sequence[int]) -> set[int]:
        begun = set()
        stale = {token for token in tokens if self.stale(self.deliveries[token]) or self.limited(token)}
        for token in set(tokens) - self.locked(tokens):
            d = self.deliveries[token]
            if self.refused(holder, token):
                continue
            if self.paused:
                self.put_back(d)
                continue
            if token in stale:
                d.state, d.holder = "skipped", holder
                continue
            if d.printed not in (None, self.emails[d.account]):
                self.put_back(d)
                if d.readdressed:
                    d.due = self.now + 0.01
                d.readdressed = True
                continue
            again = d.state == "sending"
            d.attempts += not again
            d.calls += not again
            d.state, d.holder, d.due = "sending", holder, self.now + LEASE
            d.begun_by = holder
            if d.attempts == 1 and d.lifetime is not None:
                d.expires = min(d.expires, self.now + d.lifetime)
            begun.add(token)
        return begun

    def settle(self, holder: str, token: int, outcome: str, delay: float) -> bool:
        d = self.deliveries[token]
        end = outcome if outcome in ("sent", "failed") else "pending"
        late = outcome == "sent" and d.state not in ("sending", "sent", "failed") and d.begun_by == holder
        if not late and (d.state, d.holder) != ("sending", holder):
            return (d.state, d.holder) == (end, holder)
        d.attempts -= outcome == "release"
        d.doubts += outcome == "unknown"
        d.calls -= outcome in ("later", "release")
        d.state, d.holder, d.readdressed = end, holder, False
        if outcome == "sent":
            d.mailed = self.now
        if outcome == "release":
            d.due = d.place
        elif not d.settled:
            d.due = self.now + min(delay, (d.expires - self.now) / 2)
        return True


class Ledger(RuleBasedStateMachine):
    """Run the same steps in the model and in the database."""

    database: Database

    def __init__(self) -> None:
        super().__init__()
        self.model = Model()
        self.run = self.database.run
        self.run("TRUNCATE accounts, tokens, deliveries")
        for action, newest_only, most_mails in (
            *(("activation", True, 2), ("password_recovery", True, 1)),
            ("invitation", False, 2),
        ):
            self.set_rules(action, newest_only, most_mails)
        self.run("UPDATE jobs SET acknowledged_at = NULL, last_seq = 0, paused_at = NULL WHERE job_type = 'mailroom'")
        self.steps = {name: Steps(self.database.connection, name) for name in COLLECTORS + SENDERS}

    @contextmanager
    def step(self, rolled_back: bool) -> Iterator[None]:
        """Run a step in a transaction, which may be rolled back; then the model does not change either."""
        before = copy.deepcopy(self.model)
        with self.database.connection.transaction(force_rollback=rolled_back):
            yield
        if rolled_back:
            self.model = before

    def some(self, data: st.DataObject) -> list[int]:
        return data.draw(st.lists(st.sampled_from(sorted(self.model.deliveries)), min_size=1, max_size=4, unique=True))

    def has_deliveries(self) -> bool:
        return bool(self.model.deliveries)

    def has_room(self) -> bool:
        return len(self.model.deliveries) < MOST_TOKENS

    def _note_tokens(self, rows: Sequence[Any], *, is_import: bool = False) -> None:
        now = self.model.now
        for token, account, action, life in rows:
            head_start = 0 if is_import else HEAD_STARTS[action]
            d = Delivery(account, action, now + life / TICK, now, head_start, due=now - head_start - HOUR)
            d.lifetime = MAIL_LIFE if action == "invitation" else None
            self.model.deliveries[token] = d

    @rule(action=st.sampled_from(sorted(STATES)), newest_only=st.booleans(), most_mails=st.sampled_from([None, 1, 2]))
    def set_rules(self, action: str, newest_only: bool, most_mails: int | None) -> None:
        if (self.model.newest_only.get(action), self.model.most_mails.get(action)) != (newest_only, most_mails):
            self.run(
                "UPDATE mailroom_actions SET newest_only = %s, most_mails = %s WHERE name::text = %s",
                *(newest_only, most_mails, action),
            )
        self.model.newest_only[action], self.model.most_mails[action] = newest_only, most_mails

    @precondition(has_room)
    @rule(count=st.integers(1, 3), is_import=st.booleans(), rolled_back=ROLLED_BACK)
    def sign_up(self, count: int, is_import: bool, rolled_back: bool) -> None:
        """Insert accounts. Of an import only `count` accounts stay."""
        with self.step(rolled_back):
            accounts = self.run(
                "INSERT INTO accounts (email, login) SELECT md5(random()::text), md5(random()::text)"
                " FROM generate_series(1, %s) RETURNING id, email",
                IMPORT if is_import else count,
            )
            self.run("DELETE FROM accounts WHERE id = ANY (%s)", [account for account, _ in accounts[count:]])
            ids = [account for account, _ in accounts[:count]]
            self.model.emails.update(dict(accounts[:count]))
            self.model.accounts.update(dict.fromkeys(ids, "provisioned"))
            self._note_tokens(
                self.run(
                    "UPDATE tokens SET expires_at = mailroom_epoch() + %s WHERE account = ANY (%s)"
                    " RETURNING id, account, action::text, expires_at - mailroom_epoch()",
                    LIFE * TICK,
                    ids,
                ),
                is_import=is_import,
            )

    @precondition(lambda self: self.has_deliveries() and self.has_room())
    @rule(
        data=st.data(),
        action=st.sampled_from(["password_recovery", "invitation"]),
        life=st.sampled_from([2, LIFE]),
        rolled_back=ROLLED_BACK,
    )
    def ask_for_a_mail(self, data: st.DataObject, action: str, life: int, rolled_back: bool) -> None:
        """Insert a token with a life of its own. The longest one of an invitation is its default."""
        account = data.draw(st.sampled_from(sorted(self.model.accounts)))
        ends = "0" if (action, life) == ("invitation", LIFE) else f"mailroom_epoch() + {life * TICK}"
        with self.step(rolled_back):
            self._note_tokens(
                self.run(
                    f"INSERT INTO tokens (action, account, expires_at) VALUES (%s, %s, {ends})"
                    " RETURNING id, account, action::text, expires_at - mailroom_epoch()",
                    action,
                    account,
                )
            )

    @precondition(has_deliveries)
    @rule(data=st.data(), how=st.sampled_from(["consumed", "suspended", "deleted"]))
    def go_stale(self, data: st.DataObject, how: str) -> None:
        token = self.some(data)[0]
        d = self.model.deliveries[token]
        match how:
            case "consumed":
                self.run("UPDATE tokens SET consumed_at = 1 WHERE id = %s", token)
                if not d.consumed and d.action == "activation" and self.model.accounts[d.account] == "provisioned":
                    self.model.accounts[d.account] = "active"
                d.consumed = True
            case "suspended":
                self.run("UPDATE accounts SET status = 'suspended' WHERE id = %s", d.account)
                self.model.accounts[d.account] = "suspended"
            case "deleted":
                self.run("DELETE FROM accounts WHERE id = %s", d.account)
                del self.model.accounts[d.account]
                kept = {t: other for t, other in self.model.deliveries.items() if other.account != d.account}
                self.model.deliveries = kept

    @precondition(has_deliveries)
    @rule(data=st.data())
    def change_address(self, data: st.DataObject) -> None:
        account = data.draw(st.sampled_from(sorted(self.model.accounts)))
        ((email,),) = self.run("UPDATE accounts SET email = md5(random()::text) WHERE id = %s RETURNING email", account)
        self.model.emails[account] = email

    @rule(rolled_back=ROLLED_BACK)
    def pause_or_resume(self, rolled_back: bool) -> None:
        with self.step(rolled_back):
            step = "mailroom_resume('mailroom')" if self.model.paused else "mailroom_pause('mailroom', 'why')"
            self.run(f"SELECT {step}")
            self.model.paused = not self.model.paused

    @rule(ticks=st.integers(1, 2))
    def pass_time(self, ticks: int) -> None:
        self.model.now += ticks
        self.run(
            "UPDATE deliveries SET due_at = due_at - passed, queued_at = queued_at - passed,"
            " settled_at = settled_at - passed FROM (SELECT %s * interval '1 s') AS p (passed)",
            ticks * TICK,
        )
        self.run("UPDATE tokens SET expires_at = expires_at - %s, created_at = created_at - %s", *[ticks * TICK] * 2)

    @rule(holder=st.sampled_from(COLLECTORS), most=st.sampled_from([1, 2, 100]), rolled_back=ROLLED_BACK)
    def claim(self, holder: str, most: int, rolled_back: bool) -> None:
        with self.step(rolled_back):
            self.model.put_in_place()
            due = {token: self.model.deliveries[token].due for token in self.model.due()}
            rows = self.run(
                "SELECT token, stale, doubt, acknowledged FROM mailroom_claim_any('mailroom', %s, %s, %s)",
                holder,
                LEASE_MS,
                most,
            )
            tokens = [row[0] for row in rows]
            assert len(set(tokens)) == len(tokens) == min(most, len(due))
            assert set(tokens) <= set(due)
            left = [due[token] for token in set(due) - set(tokens)]
            for place, token in enumerate(tokens):
                assert all(due[token] <= later + ALIKE for later in [*(due[t] for t in tokens[place:]), *left])
            assert {t for t, _, doubt, _ in rows if doubt} == {
                t for t in tokens if self.model.deliveries[t].state == "sending"
            }
            claimed = self.model.claim(holder, tokens)
            assert [token for token, stale, _, _ in rows if stale is None] == claimed
            assert {acknowledged for *_, acknowledged in rows} <= {self.model.acknowledged}

    @precondition(has_deliveries)
    @rule(holder=st.sampled_from(COLLECTORS), data=st.data(), rolled_back=ROLLED_BACK)
    def extend(self, holder: str, data: st.DataObject, rolled_back: bool) -> None:
        tokens = self.some(data)
        with self.step(rolled_back):
            held = self.model.held(holder, tokens, "claimed")
            assert self.steps[holder].extend(tokens, LEASE_MS) == sorted(held)
            for token in held:
                self.model.deliveries[token].due = self.model.now + LEASE

    @precondition(has_deliveries)
    @rule(holder=st.sampled_from(COLLECTORS), data=st.data(), rolled_back=ROLLED_BACK)
    def release(self, holder: str, data: st.DataObject, rolled_back: bool) -> None:
        tokens = self.some(data)
        with self.step(rolled_back):
            held = self.model.held(holder, tokens, "claimed")
            assert self.steps[holder].release(tokens) == len(held)
            for token in held:
                d = self.model.deliveries[token]
                d.state, d.holder, d.due = "pending", None, d.place

    @precondition(has_deliveries)
    @rule(holder=st.sampled_from(COLLECTORS), data=st.data(), rolled_back=ROLLED_BACK)
    def emitted(self, holder: str, data: st.DataObject, rolled_back: bool) -> None:
        tokens = self.some(data)
        with self.step(rolled_back):
            held = [] if self.model.acknowledged else self.model.held(holder, tokens, "claimed")
            assert self.steps[holder].emitted(tokens) == len(held)
            for token in held:
                self.model.deliveries[token].state = "emitted"
                self.model.deliveries[token].mailed = self.model.now

    @precondition(has_deliveries)
    @rule(holder=st.sampled_from(COLLECTORS), data=st.data())
    def set_aside(self, holder: str, data: st.DataObject) -> None:
        token = self.some(data)[0]
        held = self.model.held(holder, [token], "claimed")
        assert self.steps[holder].reject(token, "why") == len(held)
        if held:
            self.model.deliveries[token].state = "failed"

    @precondition(has_deliveries)
    @rule(data=st.data(), dry=st.booleans(), rolled_back=ROLLED_BACK)
    def retry(self, data: st.DataObject, dry: bool, rolled_back: bool) -> None:
        tokens = self.some(data)
        rows = {token: self.model.deliveries[token] for token in tokens}
        retried = {
            token
            for token, d in rows.items()
            if d.state in ("failed", "skipped")
            and not (self.model.stale(d) or self.model.replaced(token) or self.model.limited(token))
        }
        with self.step(rolled_back):
            answer = self.run("SELECT token, code FROM mailroom_retry_rows('mailroom', %s, %s)", tokens, dry)
            assert {token for token, code in answer if code == "retried"} == retried
            for token in [] if dry else retried:
                rows[token].state, rows[token].holder, rows[token].due = "pending", None, rows[token].place

    @rule(rolled_back=ROLLED_BACK)
    def acknowledge(self, rolled_back: bool) -> None:
        with self.step(rolled_back):
            taken_over = 0
            for d in self.model.deliveries.values():
                if not self.model.acknowledged and d.state == "emitted" and not self.model.stale(d):
                    d.state, d.holder, d.due, d.mailed = "pending", None, d.place, None
                    taken_over += 1
            self.model.acknowledged = True
            assert self.steps["s1"].acknowledge() == taken_over

    @precondition(has_deliveries)
    @rule(holder=st.sampled_from(SENDERS), data=st.data(), rolled_back=ROLLED_BACK)
    def begin(self, holder: str, data: st.DataObject, rolled_back: bool) -> None:
        tokens = self.some(data)
        with self.step(rolled_back):
            printed = [self.model.deliveries[token].printed for token in tokens]
            answer = self.steps[holder].begin(tokens, LEASE_MS, printed)
            begun = self.model.begin(holder, tokens)
            assert answer.keys() == set(tokens)
            assert {token for token, refused in answer.items() if refused is None} == begun
            assert not any(self.model.stale(self.model.deliveries[token]) for token in begun)

    @precondition(has_deliveries)
    @rule(
        holder=st.sampled_from(SENDERS),
        data=st.data(),
        outcome=st.sampled_from(["sent", "failed", "later", "unknown", "release"]),
        delay=st.integers(1, 4),
        rolled_back=ROLLED_BACK,
    )
    def settle(self, holder: str, data: st.DataObject, outcome: str, delay: int, rolled_back: bool) -> None:
        token = self.some(data)[0]
        d = self.model.deliveries[token]
        if d.expires <= self.model.now and outcome in ("later", "unknown"):
            return  # due within a second, which is no tick
        waits = 0 if outcome == "release" else delay
        with self.step(rolled_back):
            taken = self.model.settle(holder, token, outcome, waits)
            assert self.steps[holder].settle(token, outcome, waits * TICK * 1000) == taken

    @rule()
    def check(self) -> None:
        ((waiting, next_due_ms, urgent),) = self.run(
            "SELECT waiting, next_due_ms, urgent FROM mailroom_due('mailroom', 100)"
        )
        assert urgent == any(self.model.deliveries[token].action == "invitation" for token in self.model.due())
        coming = [d.due for d in self.model.deliveries.values() if not d.settled and d.due > self.model.now]
        assert waiting == len(self.model.due())
        if self.model.paused:
            coming = []
        assert (next_due_ms is None) == (not coming)
        if next_due_ms is not None:
            assert next_due_ms / 1000 / TICK == pytest.approx(min(coming) - self.model.now, abs=0.2)

    @precondition(has_deliveries)
    @rule(holder=st.sampled_from(COLLECTORS), data=st.data())
    def ask_what_is_held(self, holder: str, data: st.DataObject) -> None:
        tokens = self.some(data)
        held = self.run("SELECT mailroom_held('mailroom', %s, %s)", holder, tokens)
        assert sorted(token for (token,) in held) == sorted(self.model.held(holder, tokens, "claimed"))

    @precondition(has_deliveries)
    @rule(data=st.data())
    def ask_how_long_to_wait(self, data: st.DataObject) -> None:
        """In this queue. In the other one nothing is mailed."""
        d = self.model.deliveries[self.some(data)[0]]
        most = self.model.most_mails[d.action]
        alike = [o for o in self.model.deliveries.values() if (o.account, o.action) == (d.account, d.action)]
        mails = self.model.mails(alike)
        waits = 0 if most is None or len(mails) < most else max(0, mails[most - 1] + MOST_WITHIN - self.model.now)
        ((seconds,),) = self.run("SELECT mailroom_may_mail(%s, %s::text::token_action)", d.account, d.action)
        assert seconds / TICK == pytest.approx(waits, abs=0.2)

    @invariant()
    def times_are_as_in_the_model(self) -> None:
        """When a delivery is due, and when its token expires."""
        rows = self.run(
            "SELECT t.id, extract(epoch FROM d.due_at - now())::float8, t.expires_at - mailroom_epoch()"
            " FROM deliveries d JOIN tokens t ON t.id = d.token WHERE d.queue = 'mailroom'"
        )
        for token, due, expires in rows:
            d = self.model.deliveries[token]
            assert d.settled or due / TICK == pytest.approx(d.due - self.model.now, abs=0.2)
            assert expires / TICK == pytest.approx(d.expires - self.model.now, abs=0.2)

    @invariant()
    def database_is_as_the_model(self) -> None:
        rows = self.run(
            "SELECT token, state::text, attempts, doubts, holder, settled_at IS NOT NULL FROM deliveries"
            " WHERE queue = 'mailroom'"
        )
        assert {token: rest for token, *rest in rows} == {
            token: [d.state, d.attempts, d.doubts, d.holder, d.settled] for token, d in self.model.deliveries.items()
        }

    @invariant()
    def other_queue_is_untouched(self) -> None:
        """It has a delivery of each token, which no step of this test may change."""
        assert self.run(
            "SELECT acknowledged_at, paused_at, last_seq, (SELECT count(*) FROM deliveries WHERE queue = 'second'"
            " AND (state <> 'pending' OR holder IS NOT NULL)) FROM jobs WHERE job_type = 'second'"
        ) == [(None, None, 0, 0)]

    @invariant()
    def nothing_is_mailed_twice_unnoticed(self) -> None:
        assert all(d.calls <= 1 + d.doubts for d in self.model.deliveries.values())


@pytest.mark.first
@pytest.mark.timeout(600)  # thousands of steps
def test_steps_do_what_the_model_says(server: Server) -> None:
    """The database equals the model after any order of steps by several holders, with time passing and rollbacks."""
    database = Database(server, server.new_database())
    try:
        add_invitation(
            database,
            life_from="mail",
            lifetime=str(MAIL_LIFE * TICK),
            longest_wait=str(LONGEST_WAIT * TICK),
            urgent="true",
        )
        database.run("UPDATE mailroom_actions SET most_within = %s", MOST_WITHIN * TICK)
        database.run("UPDATE mailroom_actions SET states = '{provisioned,active}' WHERE name = 'password_recovery'")
        database.run("ALTER TYPE job_type ADD VALUE 'second'")
        database.run("INSERT INTO jobs (job_type) VALUES ('second')")
        machine = type("OnDatabase", (Ledger,), {"database": database})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=200, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )
    finally:
        database.close()
