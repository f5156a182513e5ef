"""Small wrong changes of the ledger's SQL functions: each breaks a promise, and some test must notice.

`find` stands in the function's source once, and is replaced by `replace`.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Change:
    """A wrong change of one function of the migrated schema."""

    function: str
    find: str
    replace: str


def _of(function: str, *changes: tuple[str, str]) -> list[Change]:
    return [Change(function, find, replace) for find, replace in changes]


CHANGES: Final[list[Change]] = [
    *_of(
        "mailroom_account_inserted",
        ("WHERE status = 'provisioned'\n      AND", "WHERE"),
        ("AND created_at >", "AND created_at <"),
        ("created_at > EXTRACT(epoch FROM pg_catalog.now()) -", "created_at > EXTRACT(epoch FROM pg_catalog.now()) +"),
    ),
    *_of(
        "mailroom_account_status_changed",
        ("NEW.unsuspended_at := NULL;", ""),
        ("NEW.suspended_at := NULL;", ""),
        ("IF NEW.activated_at IS NULL THEN", "IF false THEN"),
        ("NEW.activated_at := mailroom_epoch();", ""),
    ),
    *_of("mailroom_token_consumed", (" AND status = 'provisioned'", "")),
    *_of(
        "mailroom_announce",
        ("IF NOT pg_catalog.pg_try", "IF pg_catalog.pg_try"),
        ("PERFORM pg_catalog.pg_notify('token_insert', '');", "NULL;"),
        ("IF FOUND THEN", "IF NOT FOUND THEN"),
        ("pg_try_advisory_xact_lock_shared(1835100524, 1)", "pg_try_advisory_xact_lock_shared(1835100524, 9)"),
        ("pg_try_advisory_lock_shared(1835100524, 2)", "pg_try_advisory_lock_shared(1835100524, 9)"),
    ),
    *_of(
        "mailroom_token_deleted",
        ("WHERE d.token = deleted.id", "WHERE d.token <> deleted.id"),
        ("DELETE FROM deliveries;", "NULL;"),
    ),
    *_of(
        "mailroom_stale",
        ("WHEN $3 IS NOT NULL THEN 'the token was consumed'", ""),
        ("$2 <= extract", "$2 < extract"),
        ("clock_timestamp()", "now()"),
        ("$4 IS NULL OR ", ""),
        ("$4 <> ALL", "$4 = ANY"),
    ),
    *_of(
        "mailroom_look",
        ("d.due_at <= now()", "true"),
        (
            "d.due_at > now()\n              AND (SELECT q.paused_at",
            "d.due_at > now()\n              OR (SELECT q.paused_at",
        ),
        ("LIMIT p_max_rows) due", ") due"),
        ("NOT (pg_try_advisory", "(pg_try_advisory"),
    ),
    *_of(
        "mailroom_claim_any",
        ("FOR UPDATE SKIP LOCKED", "FOR UPDATE"),
        ("LIMIT p_max_rows FOR UPDATE SKIP LOCKED", "LIMIT p_max_rows"),
        ("AND d.due_at <= now()", ""),
        ("ORDER BY d.due_at, d.token\n", "\n"),
        ("AND (SELECT q.paused_at FROM jobs q WHERE q.job_type = p_queue) IS NULL", ""),
        ("AND (d.due_at, d.token) > (coalesce(p_after_due, '-infinity'), coalesce(p_after_token, 0))", ""),
        ("WHEN t.id IS NULL THEN 'the token is gone'", "WHEN false THEN 'x'"),
        ("doubts = d.doubts + j.doubt::integer", "doubts = d.doubts"),
        ("due.state = 'sending' AS doubt", "false AS doubt"),
        ("now() + p_lease_ms * interval '1 ms'", "now()"),
        ("holder = p_holder,", "holder = NULL,"),
        ("coalesce(last_seq, 0) < newest.token", "true"),
        ("WHERE j.stale IS NULL AND j.number <= p_newest) newest", ") newest"),
        ("least(60, greatest(5, j.age))", "0"),
        ("least(15, greatest(1, j.age))", "0"),
        ("WHEN d.error_code = 'unlisted' THEN NULL", ""),
        ("ELSE nullif(d.error_code, 'unlisted') END", "ELSE d.error_code END"),
        ("WHEN j.number IS NULL THEN 'unlisted'", ""),
        ("WHERE d.queue = j.queue AND d.token = j.token", "WHERE d.token = j.token"),
        ("WHERE job_type = p_queue AND coalesce", "WHERE coalesce"),
        ("settled_at = CASE WHEN j.stale IS NOT NULL THEN now() END", "settled_at = NULL"),
    ),
    *_of(
        "mailroom_extend",
        ("AND d.state = 'claimed' AND d.holder = p_holder", "AND d.state = 'claimed'"),
        ("AND d.state = 'claimed' AND d.holder = p_holder", "AND d.holder = p_holder"),
        ("FOR UPDATE SKIP LOCKED", "FOR UPDATE"),
        ("now() + p_lease_ms * interval '1 ms'", "now()"),
        ("WHERE d.queue = p_queue AND d.token = ANY (held)", "WHERE d.token = ANY (held)"),
    ),
    *_of(
        "mailroom_release",
        ("FOR UPDATE SKIP LOCKED", ""),
        ("AND d.state = 'claimed' AND d.holder = p_holder", "AND d.state = 'claimed'"),
        ("AND d.state = 'claimed' AND d.holder = p_holder", "AND d.holder = p_holder"),
        ("PERFORM pg_notify('token_insert', '');", "NULL;"),
        ("least(now(), to_timestamp", "greatest(now(), to_timestamp"),
        ("WHERE d.queue = p_queue AND d.token = held.token", "WHERE d.token = held.token"),
    ),
    *_of(
        "mailroom_emitted",
        ("AND q.acknowledged_at IS NULL FOR KEY SHARE", "FOR KEY SHARE"),
        ("AND d.holder = p_holder\n            FOR UPDATE", "FOR UPDATE"),
        ("settled_at = now() WHERE d.queue = p_queue AND", "settled_at = now() WHERE"),
    ),
    *_of(
        "mailroom_set_aside",
        ("AND d.state = 'claimed' AND d.holder = p_holder", "AND d.holder = p_holder"),
        ("AND d.state = 'claimed' AND d.holder = p_holder", "AND d.state = 'claimed'"),
        ("error = r.reason", "error = NULL"),
    ),
    *_of(
        "mailroom_attend",
        ("IF NOT $1 AND NOT pg_try_advisory_lock", "IF NOT pg_try_advisory_lock"),
        ("PERFORM pg_notify('token_insert', '');", ""),
    ),
    *_of(
        "mailroom_leave",
        ("PERFORM pg_advisory_unlock(1835100524, 2);", "NULL;"),
        ("pg_try_advisory_lock(1835100524, 1) AND pg_advisory_unlock(1835100524, 1)", "true"),
    ),
    *_of(
        "mailroom_acknowledge",
        ("SET acknowledged_at = now() WHERE job_type = p_queue", "SET acknowledged_at = now()"),
        ("PERFORM pg_notify('token_insert', '');", "NULL;"),
        ("IF NOT FOUND THEN", "IF false THEN"),
        ("WHERE d.queue = p_queue AND d.token = alive.token", "WHERE d.token = alive.token"),
    ),
    *_of(
        "mailroom_begin_rows",
        ("ORDER BY d.token FOR UPDATE SKIP LOCKED", "ORDER BY d.token"),
        ("FOR UPDATE SKIP LOCKED", "FOR UPDATE"),
        ("WHEN s.token <> ALL (ours) THEN 'locked'", ""),
        ("WHEN s.state IN ('sent', 'failed', 'skipped') THEN 'settled'", ""),
        ("s.state IN ('sent', 'failed', 'skipped')", "s.state IN ('sent', 'failed')"),
        ("s.state IN ('sent', 'failed', 'skipped')", "s.state IN ('sent', 'skipped')"),
        ("WHEN s.state = 'sending' AND s.holder IS DISTINCT FROM p_holder THEN 'taken'", ""),
        ("WHEN s.is_paused THEN 'paused'", ""),
        ("WHEN s.state = 'pending' AND s.due_at > now() THEN 'later'", ""),
        ("WHEN s.stale IS NOT NULL THEN 'stale'", ""),
        ("WHEN s.has_changed THEN 'changed'", ""),
        ("(NOT j.again)::integer", "1"),
        ("clock_timestamp() + p_lease_ms * interval '1 ms'", "clock_timestamp()"),
        ("p_lease_ms * interval '1 ms'", "p_lease_ms * interval '1 s'"),
        ("min(s.place) AS place", "max(s.place) AS place"),
        ("now() + interval '5 s'", "now()"),
        ("WHEN 'changed' THEN 'changed' ELSE", "ELSE"),
        ("PERFORM set_config('synchronous_commit', 'on', true);", "NULL;"),
        ("set_config('synchronous_commit', 'on', true)", "set_config('synchronous_commit', 'off', true)"),
        ("hashtextextended(p_holder, 0) ELSE d.begun_by", "d.begun_by ELSE d.begun_by"),
        ("pg_notify('token_insert', '') IS NULL", "true"),
        ("settled_at = CASE WHEN j.code = 'stale' THEN now() END", "settled_at = NULL"),
        ("WHERE d.queue = p_queue AND d.token = j.token", "WHERE d.token = j.token"),
        ("ELSE -j.again::integer END", "ELSE 0 END"),
    ),
    *_of(
        "mailroom_settle_rows",
        ("d.state = 'sending' AND d.holder = p_holder", "d.state = 'sending'"),
        ("d.state = 'sending' AND d.holder = p_holder", "d.holder = p_holder"),
        ("AND d.begun_by = hashtextextended(p_holder, 0)", ""),
        ("NOT IN ('sending', 'sent', 'failed') AND o.outcome", "NOT IN ('sending', 'sent') AND o.outcome"),
        ("NOT IN ('sending', 'sent', 'failed') AND o.outcome", "NOT IN ('sent', 'failed') AND o.outcome"),
        ("AND o.outcome = 'sent'", ""),
        ("attempts = d.attempts - (o.outcome = 'release')::integer", "attempts = d.attempts"),
        ("doubts = d.doubts + (o.outcome = 'unknown')::integer", "doubts = d.doubts"),
        ("- now()) / 2 FROM", "- now()) FROM"),
        ("greatest(interval '1 s'", "greatest(interval '0 s'"),
        ("message_id = o.message_id", "message_id = NULL"),
        ("error = o.error", "error = NULL"),
        ("error_code = NULL", "error_code = d.error_code"),
        ("PERFORM pg_notify('token_insert', '');", "NULL;"),
        ("PERFORM set_config('synchronous_commit', 'on', true);", "NULL;"),
        ("set_config('synchronous_commit', 'on', true)", "set_config('synchronous_commit', 'off', true)"),
        ("AND d.token <> ALL (done) AND d.holder = p_holder", "AND d.token <> ALL (done)"),
        ("ORDER BY d.token FOR UPDATE SKIP LOCKED", "ORDER BY d.token FOR UPDATE"),
        ("WHERE d.queue = p_queue AND d.token = o.token AND d.token = ANY (free)", "WHERE d.token = o.token"),
    ),
    *_of(
        "mailroom_retry_rows",
        ("WHEN d.token <> ALL (free) THEN 'locked'", ""),
        ("WHEN d.state = 'sent' THEN 'sent'", ""),
        ("WHEN d.settled_at IS NULL THEN 'unsettled'", ""),
        ("WHEN d.state = 'emitted' THEN 'emitted'", ""),
        ("WHEN t.id IS NULL THEN 'gone'", ""),
        ("WHEN s.stale IS NOT NULL THEN 'stale'", "WHEN false THEN 'stale'"),
        ("WHERE NOT p_dry AND d.queue", "WHERE d.queue"),
        ("AND d.queue = p_queue AND d.token = j.token", "AND d.token = j.token"),
        ("settled_at = NULL", "settled_at = d.settled_at"),
    ),
    *_of(
        "mailroom_lock_deliveries",
        ("FOR UPDATE SKIP LOCKED", "FOR UPDATE"),
        ("FOR UPDATE SKIP LOCKED", ""),
        ("p_patience_ms * interval '1 ms'", "interval '0'"),
    ),
    *_of(
        "mailroom_lock_actions",
        ("PERFORM FROM mailroom_actions m ORDER BY m.number LIMIT 1 FOR UPDATE;", ""),
        ("('repeatable read', 'serializable')", "('serializable')"),
    ),
    *_of("mailroom_join_reasons", ("coalesce('; last try: ' || p_error, '')", "''")),
    *_of("mailroom_first_reason", ("'; last try: ', 1", "'; last try: ', 2")),
    *_of(
        "mailroom_prune",
        ("before > now() - interval '1 day'", "false"),
        ("AND l.is_over AND d.settled_at < before", "AND d.settled_at < before"),
        ("t.consumed_at IS NOT NULL OR ", ""),
        ("WHERE NOT p_dry AND l.is_over AND", "WHERE l.is_over AND"),
    ),
    *_of(
        "mailroom_pause",
        ("coalesce(j.paused_at, now())", "now()"),
        ("paused_reason = p_reason WHERE j.job_type = p_queue", "paused_reason = p_reason"),
        ("PERFORM pg_notify('token_insert', '');", ""),
    ),
    *_of(
        "mailroom_resume",
        ("paused_reason = NULL WHERE job_type = p_queue", "paused_reason = NULL"),
        ("PERFORM pg_notify('token_insert', '');", ""),
    ),
    *_of(
        "mailroom_action_guarded",
        ("PERFORM mailroom_lock_actions();", ""),
        ("starts_with(prefix, NEW.prefix) OR ", ""),
        (" OR starts_with(NEW.prefix, prefix)", ""),
        ("IF TG_OP IN ('DELETE', 'TRUNCATE') THEN", "IF TG_OP = 'DELETE' THEN"),
    ),
    *_of(
        "mailroom_actions_compiled",
        ("PERFORM pg_notify('token_insert', '');", "NULL;"),
        ("SET due_at = now()", "SET due_at = d.due_at"),
        ("AND d.error_code = 'unlisted'", ""),
    ),
]
