-- Guards: a queue can be paused; a mail goes to the address of the moment; a sender settles only what it has
-- begun; no step waits for a row, and no sign-up for a lock that others can take; row-level security is loud.
--
--   watch, begin_rows, settle_rows             the programs'
--   queue_status, pause, resume                the operator's
--
-- The functions that versions 0.1 and 0.2 of the programs call stay, and mean what they did. Some get another
-- body here, for the reasons below.
--
-- Locks. In this order, and bounded:
--
--   1  the queue's row of jobs. claim takes it last of all, to move last_seq: nobody who has it waits for a delivery.
--   2  deliveries, always with SKIP LOCKED. A step does not wait for one, so steps can't deadlock, whoever else
--      deletes accounts in whatever order. What is locked is reported as such, or left for another time.
--
-- A transaction of the application that deletes tokens does wait for the deliveries (1_ledger,
-- mailroom_token_deleted): a step has them for milliseconds, or for as long as it says here.

LOCK TABLE deliveries, jobs IN ACCESS EXCLUSIVE MODE;  -- in the order in which a sign-up takes them

ALTER TABLE jobs ADD COLUMN paused_at timestamptz, ADD COLUMN paused_reason text;
COMMENT ON COLUMN jobs.paused_at IS 'since when the queue hands out and begins nothing; null: it does';
COMMENT ON COLUMN jobs.paused_reason IS 'why, in the words of the person who paused it';

-- 8 bytes in a row that was begun, none in others. The name itself stands in "holder" only until the next claim.
ALTER TABLE deliveries ADD COLUMN begun_by bigint;
COMMENT ON COLUMN deliveries.begun_by IS 'hashtextextended(holder, 0) of the call that began it last';

DO $$
BEGIN
    PERFORM set_config('enable_seqscan', 'off', true);  -- by the index of what is not settled, however many are
    UPDATE deliveries SET begun_by = hashtextextended(holder, 0)
    WHERE queue IN (SELECT job_type FROM jobs) AND settled_at IS NULL AND state = 'sending';
    PERFORM set_config('enable_seqscan', 'on', true);
END $$;

-- An account that says it was created longer ago than its token would live was not created now: it comes from a
-- dump, and gets no token by itself. Where another mailroom made the schema, its own trigger does this.
--
-- Fast polling (1_ledger, "The bell") without waiting: an insert that does not get lock 1 at once notifies.
-- Such an insert is not silent, so nobody needs to know that it is in progress.
-- A token without a queue would never be mailed: where
-- row-level security hides them all, the insert fails.
DO $migration$
BEGIN
    IF to_regproc('mailroom_account_inserted') IS NOT NULL THEN
        EXECUTE format($function$
CREATE OR REPLACE FUNCTION mailroom_account_inserted() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO %1$I.tokens (action, account, expires_at)
    SELECT 'activation', id, pg_catalog.floor(EXTRACT(epoch FROM pg_catalog.now()))::bigint
                             + %1$I.mailroom_action_lifetime('activation')
    FROM inserted
    WHERE status = 'provisioned'
      AND created_at > EXTRACT(epoch FROM pg_catalog.now()) - %1$I.mailroom_action_lifetime('activation');
    RETURN NULL;
END $$
        $function$, current_schema());
    END IF;
    EXECUTE format($function$
CREATE OR REPLACE FUNCTION mailroom_announce() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO %1$I.deliveries (queue, token)
    SELECT j.job_type, i.id FROM inserted i CROSS JOIN %1$I.jobs j;
    IF FOUND THEN
        -- One expression, so that no cancelled statement leaves lock 2 behind.
        IF NOT pg_catalog.pg_try_advisory_xact_lock_shared(1835100524, 1)
           OR pg_catalog.pg_try_advisory_lock_shared(1835100524, 2)
              AND pg_catalog.pg_advisory_unlock_shared(1835100524, 2) THEN
            PERFORM pg_catalog.pg_notify('token_insert', '');
        END IF;
    ELSIF pg_catalog.row_security_active(%2$L) AND EXISTS (SELECT FROM inserted) THEN
        RAISE EXCEPTION 'row-level security hides the queues from the owner of mailroom''s functions'
            USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NULL;
END $$
    $function$, current_schema(), format('%I.jobs', current_schema()));
END $migration$;

-- As in 2_steps; nothing waits in a queue that is paused.
CREATE OR REPLACE FUNCTION mailroom_look(queue job_type, max_rows integer)
RETURNS TABLE (waiting integer, next_due_ms bigint, attended boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT
        (SELECT count(*)::integer FROM (
            SELECT FROM deliveries d
            WHERE d.queue = $1 AND d.settled_at IS NULL AND d.due_at <= now()
              AND (SELECT q.paused_at FROM jobs q WHERE q.job_type = $1) IS NULL LIMIT $2) due),
        (SELECT ceil(1000 * extract(epoch FROM min(d.due_at) - now()))::bigint
            FROM deliveries d
            WHERE d.queue = $1 AND d.settled_at IS NULL AND d.due_at > now()
              AND (SELECT q.paused_at FROM jobs q WHERE q.job_type = $1) IS NULL),
        NOT (pg_try_advisory_lock_shared(1835100524, 2) AND pg_advisory_unlock_shared(1835100524, 2));
END $$;

-- What a collector asks when it is notified, and every few seconds, whatever the ledger holds:
-- is the queue paused, and are inserts silent?
CREATE FUNCTION mailroom_watch(p_queue job_type)
RETURNS TABLE (paused_at timestamptz, paused_reason text, attended boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT q.paused_at, q.paused_reason,
        NOT (pg_try_advisory_lock_shared(1835100524, 2) AND pg_advisory_unlock_shared(1835100524, 2))
    FROM jobs q WHERE q.job_type = p_queue;
END $$;

-- As in 4_actions; nothing is handed out from a queue that is paused.
CREATE OR REPLACE FUNCTION mailroom_claim_any(queue job_type, holder text, lease_ms integer, max_rows integer,
                                   after_due timestamptz DEFAULT NULL, after_token bigint DEFAULT NULL,
                                   newest smallint DEFAULT 32767)
RETURNS TABLE (token bigint, action smallint, email text, login text, secret bytea,
               code text, stale text, doubt boolean, acknowledged boolean, due_at timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    waits constant text := 'its action is not in mailroom_actions';  -- mailroom_actions_compiled finds it by this
BEGIN
    IF $3 > 86400000 THEN
        RAISE EXCEPTION 'a lease may last for 1 day at most' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    RETURN QUERY
    WITH due AS MATERIALIZED (
        -- A fence: joined directly, an UPDATE could touch more rows than the limit.
        SELECT d.token, d.state, d.due_at
        FROM deliveries d
        WHERE d.queue = $1 AND d.settled_at IS NULL AND d.due_at <= now()
          AND (d.due_at, d.token) > (coalesce($5, '-infinity'), coalesce($6, 0))
          AND (SELECT q.paused_at FROM jobs q WHERE q.job_type = $1) IS NULL
        ORDER BY d.due_at, d.token
        LIMIT $4 FOR UPDATE SKIP LOCKED
    ), judged AS MATERIALIZED (
        SELECT due.token, due.due_at, due.state = 'sending' AS doubt, mailroom_action_number(t.action) AS number,
               a.email, a.login, t.secret, t.code, extract(epoch FROM now())::float8 - t.created_at AS age,
               CASE WHEN t.id IS NULL THEN 'the token is gone'
                    ELSE mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status) END AS stale
        FROM due LEFT JOIN tokens t ON t.id = due.token LEFT JOIN accounts a ON a.id = t.account
    ), taken AS (
        UPDATE deliveries d SET
            state = CASE WHEN j.stale IS NOT NULL THEN 'skipped' WHEN j.number <= $7 THEN 'claimed'
                         ELSE 'pending' END::delivery_state,
            holder = $2,
            due_at = CASE WHEN j.stale IS NOT NULL THEN d.due_at WHEN j.number <= $7 THEN now() + $3 * interval '1 ms'
                          WHEN j.number IS NULL THEN now() + least(60, greatest(5, j.age)) * interval '1 s'
                          ELSE now() + least(15, greatest(1, j.age)) * interval '1 s' END,
            doubts = d.doubts + j.doubt::integer,
            error = CASE WHEN j.stale IS NOT NULL THEN j.stale || coalesce('; last try: ' || d.error, '')
                         WHEN j.number IS NULL THEN waits
                         ELSE nullif(d.error, waits) END,
            settled_at = CASE WHEN j.stale IS NOT NULL THEN now() END
        FROM judged j
        WHERE d.queue = $1 AND d.token = j.token
        RETURNING j.*
    ), handed_out AS (
        UPDATE jobs SET last_seq = newest.token
        FROM (SELECT max(j.token) AS token FROM judged j WHERE j.stale IS NULL AND j.number <= $7) newest
        WHERE job_type = $1 AND coalesce(last_seq, 0) < newest.token
    )
    SELECT t.token, CASE WHEN t.number <= $7 THEN t.number END, t.email::text, t.login::text, t.secret, t.code::text,
           t.stale, t.doubt, (SELECT q.acknowledged_at IS NOT NULL FROM jobs q WHERE q.job_type = $1), t.due_at
    FROM taken t
    ORDER BY t.due_at, t.token;
END $$;

-- As in 2_steps; no lease lasts longer than prune takes for granted.
CREATE OR REPLACE FUNCTION mailroom_extend(queue job_type, holder text, lease_ms integer, tokens bigint[])
RETURNS SETOF bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    held bigint[];
BEGIN
    IF $3 > 86400000 THEN
        RAISE EXCEPTION 'a lease may last for 1 day at most' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    -- Not waiting: one that a transaction keeps locked, of an application that deletes its account say, must
    -- not keep the others from being renewed. Is it still there after its lease, it is claimed again.
    held := ARRAY (
        SELECT d.token FROM deliveries d
        WHERE d.queue = $1 AND d.token = ANY ($4) AND d.state = 'claimed' AND d.holder = $2
        FOR UPDATE SKIP LOCKED);
    RETURN QUERY
    UPDATE deliveries d SET due_at = now() + $3 * interval '1 ms'
    WHERE d.queue = $1 AND d.token = ANY (held)
    RETURNING d.token;
END $$;

-- As in 2_steps, without waiting. What a sender is about to begin is not given back.
CREATE OR REPLACE FUNCTION mailroom_release(queue job_type, holder text, tokens bigint[])
RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    given_back integer;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    WITH held AS MATERIALIZED (
        SELECT d.token FROM deliveries d
        WHERE d.queue = $1 AND d.token = ANY ($3) AND d.state = 'claimed' AND d.holder = $2
        ORDER BY d.token FOR UPDATE SKIP LOCKED
    )
    -- As old as its token again, so that it does not queue behind younger ones.
    UPDATE deliveries d SET state = 'pending', holder = NULL,
        due_at = least(now(), to_timestamp((SELECT t.created_at FROM tokens t WHERE t.id = d.token)))
    FROM held
    WHERE d.queue = $1 AND d.token = held.token AND d.token = ANY ($3);
    GET DIAGNOSTICS given_back = ROW_COUNT;
    IF given_back > 0 THEN
        PERFORM pg_notify('token_insert', '');
    END IF;
    RETURN given_back;
END $$;

-- As in 2_steps. What another transaction has locked is tried again for a second: left out, it would be printed
-- once more when its lease ends.
CREATE OR REPLACE FUNCTION mailroom_emitted(queue job_type, holder text, tokens bigint[])
RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    ends     timestamptz := clock_timestamp() + interval '1 second';
    rest     bigint[] := $3;
    taken    bigint[];
    emitted  integer := 0;
BEGIN
    -- Waits for a sender that is about to acknowledge, so that its takeover misses none; but not
    -- for a claim, which moves last_seq.
    PERFORM FROM jobs q WHERE q.job_type = $1 AND q.acknowledged_at IS NULL FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    LOOP
        taken := ARRAY (
            SELECT d.token FROM deliveries d
            WHERE d.queue = $1 AND d.token = ANY (rest) AND d.state = 'claimed' AND d.holder = $2
            FOR UPDATE SKIP LOCKED);
        UPDATE deliveries d SET state = 'emitted', settled_at = now() WHERE d.queue = $1 AND d.token = ANY (taken);
        emitted := emitted + cardinality(taken);
        EXIT WHEN cardinality(taken) = cardinality(rest);
        rest := ARRAY (
            SELECT d.token FROM deliveries d
            WHERE d.queue = $1 AND d.token = ANY (rest) AND d.state = 'claimed' AND d.holder = $2);
        EXIT WHEN rest = '{}' OR clock_timestamp() >= ends;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN emitted;
END $$;

-- As in 2_steps, without waiting: what is left out comes again when its lease ends.
CREATE OR REPLACE FUNCTION mailroom_set_aside(queue job_type, holder text, tokens bigint[], reasons text[])
RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    held  bigint[] := ARRAY (
        SELECT d.token FROM deliveries d
        WHERE d.queue = $1 AND d.token = ANY ($3) AND d.state = 'claimed' AND d.holder = $2
        FOR UPDATE SKIP LOCKED);
    aside integer;
BEGIN
    UPDATE deliveries d SET state = 'failed', error = r.reason, settled_at = now()
    FROM unnest($3, $4) AS r (token, reason)
    WHERE d.queue = $1 AND d.token = r.token AND d.token = ANY (held);
    GET DIAGNOSTICS aside = ROW_COUNT;
    RETURN aside;
END $$;

-- As in 2_steps. A takeover that finds a delivery locked tries for a second, and then fails as a whole: the sender
-- tries it again, and none is left behind.
CREATE OR REPLACE FUNCTION mailroom_acknowledge(queue job_type)
RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    ends       timestamptz := clock_timestamp() + interval '1 second';
    is_first   boolean;
    taken_over integer := 0;
    more       integer;
BEGIN
    SELECT q.acknowledged_at IS NULL INTO is_first FROM jobs q WHERE q.job_type = $1 FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no row % in jobs', $1 USING ERRCODE = 'no_data_found';
    END IF;
    UPDATE jobs SET acknowledged_at = now() WHERE job_type = $1;
    WHILE is_first LOOP
        WITH alive AS MATERIALIZED (
            SELECT d.token FROM deliveries d JOIN tokens t ON t.id = d.token JOIN accounts a ON a.id = t.account
            WHERE d.queue = $1 AND d.state = 'emitted'
              AND mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status) IS NULL
            FOR UPDATE OF d SKIP LOCKED
        )
        UPDATE deliveries d SET state = 'pending', holder = NULL, due_at = now(), settled_at = NULL
        FROM alive WHERE d.queue = $1 AND d.token = alive.token;
        GET DIAGNOSTICS more = ROW_COUNT;
        taken_over := taken_over + more;
        EXIT WHEN NOT EXISTS (
            SELECT FROM deliveries d JOIN tokens t ON t.id = d.token JOIN accounts a ON a.id = t.account
            WHERE d.queue = $1 AND d.state = 'emitted'
              AND mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status) IS NULL);
        IF clock_timestamp() >= ends THEN
            RAISE EXCEPTION 'deliveries that were handed out are locked by another transaction'
                USING ERRCODE = 'lock_not_available';
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    IF taken_over > 0 THEN
        PERFORM pg_notify('token_insert', '');
    END IF;
    RETURN taken_over;
END $$;

-- The fence before a call to SES: which of these secrets the holder may send, now, and is the only one to send
-- for lease_ms. "emails": the addresses that the mails would go to, in UTF-8 and in the order of the secrets; null:
-- not compared. One row for each different secret, with its first place in the array (from 1), its token, and a code:
--
--   begun    it may be sent. To begin again what the holder has already begun is allowed, and renews the lease
--   locked   another transaction has it: ask again
--   later    it is to be tried again later
--   settled  it is sent, failed or skipped already
--   taken    another call has begun it
--   stale    it may not be mailed any more, and is skipped
--   changed  its account has another address now: it goes back, to be printed anew
--   paused   the queue is paused: it goes back
--   unknown  no such token in this queue
--
-- "reason" says the same to people; null for begun. What goes back loses no attempt.
CREATE FUNCTION mailroom_begin_rows(p_queue job_type, p_holder text, p_lease_ms integer,
                                    p_secrets bytea[], p_emails bytea[])
RETURNS TABLE (place bigint, token bigint, attempt integer, code text, reason text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    readdressed constant text := 'its account has another address now';
    is_ascii constant boolean := getdatabaseencoding() = 'SQL_ASCII';
    ids  bigint[] := ARRAY (
        SELECT d.token FROM deliveries d
        WHERE d.queue = p_queue AND d.token = ANY (ARRAY (SELECT t.id FROM tokens t WHERE t.secret = ANY (p_secrets))));
    -- First lock the rows, then judge: by what is committed when they are ours, not by what was before (each
    -- statement here sees a snapshot of its own).
    ours bigint[] := ARRAY (
        SELECT d.token FROM deliveries d
        WHERE d.queue = p_queue AND d.token = ANY (ids) ORDER BY d.token FOR UPDATE SKIP LOCKED);
BEGIN
    IF p_lease_ms > 86400000 THEN
        RAISE EXCEPTION 'a lease may last for 1 day at most' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);  -- lost in a crash, it would be mailed twice
    END IF;
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT s.secret, min(s.place) AS place
        FROM unnest(p_secrets) WITH ORDINALITY AS s (secret, place) GROUP BY s.secret
    ), found AS MATERIALIZED (
        SELECT p.place, t.id AS token, t.action, t.expires_at, t.consumed_at, t.created_at, a.status,
               -- As bytes: to turn what was read into text could fail, and one row would stop all.
               p_emails[p.place] <> CASE WHEN is_ascii THEN decode(replace(a.email, '\', '\\'), 'escape')
                                         ELSE convert_to(a.email, 'UTF8') END AS has_changed
        FROM tokens t CROSS JOIN LATERAL (SELECT array_position(p_secrets, t.secret) AS place) p
            -- OFFSET 0: for each row by its key, and never a join.
            LEFT JOIN LATERAL (SELECT a.status, a.email::text FROM accounts a WHERE a.id = t.account OFFSET 0) a ON true
        WHERE t.id = ANY (ids)
    ), seen AS MATERIALIZED (
        SELECT f.place, f.created_at, f.has_changed, d.token, d.state, d.holder, d.due_at,
               mailroom_stale(f.action, f.expires_at, f.consumed_at, f.status) AS stale,
               (SELECT q.paused_at IS NOT NULL FROM jobs q WHERE q.job_type = p_queue) AS is_paused
        FROM found f JOIN deliveries d ON d.queue = p_queue AND d.token = f.token
        WHERE d.token = ANY (ids)
    ), judged AS MATERIALIZED (
        SELECT s.*, s.state = 'sending' AS again, CASE
            WHEN s.token <> ALL (ours) THEN 'locked'
            WHEN s.state IN ('sent', 'failed', 'skipped') THEN 'settled'
            WHEN s.state = 'sending' AND s.holder IS DISTINCT FROM p_holder THEN 'taken'
            WHEN s.is_paused THEN 'paused'
            WHEN s.state = 'pending' AND s.due_at > now() THEN 'later'
            WHEN s.stale IS NOT NULL THEN 'stale'
            WHEN s.has_changed THEN 'changed'
            ELSE 'begun' END AS code
        FROM seen s
    ), begun AS (
        UPDATE deliveries d SET
            state = CASE j.code WHEN 'begun' THEN 'sending' WHEN 'stale' THEN 'skipped' ELSE 'pending'
                    END::delivery_state,
            holder = CASE WHEN j.code IN ('begun', 'stale') THEN p_holder END,
            begun_by = CASE WHEN j.code = 'begun' THEN hashtextextended(p_holder, 0) ELSE d.begun_by END,
            attempts = d.attempts + CASE WHEN j.code = 'begun' THEN (NOT j.again)::integer
                                         WHEN j.code = 'stale' THEN 0 ELSE -j.again::integer END,
            due_at = CASE
                WHEN j.code = 'begun' THEN clock_timestamp() + p_lease_ms * interval '1 ms'
                WHEN j.code = 'stale' THEN d.due_at
                -- The second time in a row: should the reader and this never agree, they must not go round and round.
                WHEN j.code = 'changed' AND d.error = readdressed THEN now() + interval '5 s'
                ELSE least(now(), to_timestamp(j.created_at)) END,
            error = CASE j.code WHEN 'stale' THEN j.stale || coalesce('; last try: ' || d.error, '')
                                WHEN 'changed' THEN readdressed ELSE d.error END,
            settled_at = CASE WHEN j.code = 'stale' THEN now() END
        FROM judged j
        WHERE d.queue = p_queue AND d.token = j.token AND d.token = ANY (ids)
          AND (j.code IN ('begun', 'stale', 'changed') OR j.code = 'paused' AND j.state <> 'pending')
        RETURNING d.token, d.attempts, CASE WHEN j.code = 'changed' THEN pg_notify('token_insert', '') IS NULL END
    )
    SELECT asked.place, j.token, CASE WHEN j.code = 'begun' THEN begun.attempts END,
           coalesce(j.code, 'unknown'),
           CASE coalesce(j.code, 'unknown')
               WHEN 'locked' THEN 'locked by another transaction'
               WHEN 'settled' THEN 'already ' || j.state
               WHEN 'taken' THEN 'another call has begun it'
               WHEN 'paused' THEN 'the queue is paused'
               WHEN 'later' THEN 'it is to be tried again later'
               WHEN 'stale' THEN j.stale
               WHEN 'changed' THEN readdressed
               WHEN 'unknown' THEN 'no such token in this queue' END
    FROM asked LEFT JOIN judged j ON j.place = asked.place
        LEFT JOIN begun ON begun.token = j.token
    ORDER BY asked.place;
END $$;

-- The begin of a sender of version 0.2 and before, which does not say where its mails go. One of version 0.1 forgets a
-- row that is locked, and its collector then keeps it. So what is locked is tried again for as long as they waited.
CREATE OR REPLACE FUNCTION mailroom_begin(queue job_type, holder text, lease_ms integer, secrets bytea[])
RETURNS TABLE (place bigint, token bigint, attempt integer, refused text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    ends timestamptz := clock_timestamp() + least(3000, $3 / 8) * interval '1 ms';
    ids  bigint[] := ARRAY (
        SELECT d.token FROM deliveries d
        WHERE d.queue = $1 AND d.token = ANY (ARRAY (SELECT t.id FROM tokens t WHERE t.secret = ANY ($4))));
    free bigint[];
BEGIN
    LOOP
        free := ARRAY (
            SELECT d.token FROM deliveries d
            WHERE d.queue = $1 AND d.token = ANY (ids) ORDER BY d.token FOR UPDATE SKIP LOCKED);
        EXIT WHEN clock_timestamp() >= ends OR NOT EXISTS (
            SELECT FROM deliveries d WHERE d.queue = $1 AND d.token = ANY (ids) AND d.token <> ALL (free));
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN QUERY SELECT b.place, b.token, b.attempt, b.reason FROM mailroom_begin_rows($1, $2, $3, $4, NULL) b;
END $$;

-- What became of what the holder began. One row for each token, with a code:
--
--   settled  it is recorded, now or before: told twice, it answers the same
--   missed   it was no longer held
--   locked   another transaction has it: tell it again
--
-- That a row was sent is recorded also after its lease, as long as this holder was the last to begin it: so it is
-- not sent twice. A delay never takes more than half of the life that a token has left, or 1 s.
CREATE FUNCTION mailroom_settle_rows(p_queue job_type, p_holder text, p_tokens bigint[],
                                     p_outcomes delivery_outcome[], p_message_ids text[], p_errors text[],
                                     p_delays_ms integer[])
RETURNS TABLE (token bigint, code text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    free bigint[] := ARRAY (
        SELECT d.token FROM deliveries d
        WHERE d.queue = p_queue AND d.token = ANY (p_tokens) ORDER BY d.token FOR UPDATE SKIP LOCKED);
    done bigint[];
BEGIN
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);  -- lost in a crash, it would be mailed twice
    END IF;
    WITH told AS MATERIALIZED (
        SELECT * FROM unnest(p_tokens, p_outcomes, p_message_ids, p_errors, p_delays_ms)
            AS o (token, outcome, message_id, error, delay_ms)
    ), held AS MATERIALIZED (
        SELECT o.* FROM deliveries d JOIN told o ON o.token = d.token
        WHERE d.queue = p_queue AND d.token = ANY (free)
          AND (d.state = 'sending' AND d.holder = p_holder
               OR d.state NOT IN ('sending', 'sent', 'failed') AND o.outcome = 'sent'
                  AND d.begun_by = hashtextextended(p_holder, 0))
    ), settled AS (
        UPDATE deliveries d SET
            state = CASE WHEN o.outcome IN ('sent', 'failed') THEN o.outcome::text ELSE 'pending' END::delivery_state,
            attempts = d.attempts - (o.outcome = 'release')::integer,
            doubts = d.doubts + (o.outcome = 'unknown')::integer,
            holder = p_holder,
            due_at = CASE WHEN o.outcome IN ('sent', 'failed') THEN d.due_at
                          ELSE now() + least(coalesce(o.delay_ms, 0) * interval '1 ms', greatest(interval '1 s',
                               (SELECT (to_timestamp(t.expires_at) - now()) / 2 FROM tokens t WHERE t.id = d.token)))
                          END,
            message_id = o.message_id,
            error = o.error,
            settled_at = CASE WHEN o.outcome IN ('sent', 'failed') THEN now() END
        FROM held o
        WHERE d.queue = p_queue AND d.token = o.token AND d.token = ANY (free)
        RETURNING d.token
    )
    SELECT coalesce(array_agg(settled.token), '{}') INTO done FROM settled;
    IF cardinality(done) < cardinality(p_tokens) THEN
        done := done || ARRAY (  -- what was told before
            SELECT d.token FROM deliveries d
                JOIN unnest(p_tokens, p_outcomes) AS o (token, outcome) ON o.token = d.token
            WHERE d.queue = p_queue AND d.token = ANY (free) AND d.token <> ALL (done) AND d.holder = p_holder
              AND d.state = CASE WHEN o.outcome IN ('sent', 'failed') THEN o.outcome::text ELSE 'pending'
                            END::delivery_state);
    END IF;
    IF p_outcomes && '{later,unknown,release}' THEN
        PERFORM pg_notify('token_insert', '');
    END IF;
    RETURN QUERY
    SELECT o.token, CASE WHEN o.token = ANY (done) THEN 'settled'
                         WHEN o.token = ANY (free) THEN 'missed'
                         WHEN EXISTS (SELECT FROM deliveries d WHERE d.queue = p_queue AND d.token = o.token)
                             THEN 'locked'
                         ELSE 'missed' END
    FROM (SELECT DISTINCT u.token FROM unnest(p_tokens) AS u (token)) o;
END $$;

-- The settle of a sender of version 0.2 and before, which has no word for what is locked: such a call fails as a whole
-- after a second, and the sender tells all of it again.
CREATE OR REPLACE FUNCTION mailroom_settle(queue job_type, holder text, tokens bigint[],
                                           outcomes delivery_outcome[], message_ids text[], errors text[],
                                           delays_ms integer[])
RETURNS SETOF bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    ends    timestamptz := clock_timestamp() + interval '1 second';
    settled bigint[];
    locked  boolean;
BEGIN
    LOOP
        SELECT array_agg(s.token) FILTER (WHERE s.code = 'settled'), bool_or(s.code = 'locked') INTO settled, locked
        FROM mailroom_settle_rows($1, $2, $3, $4, $5, $6, $7) s;
        EXIT WHEN locked IS NOT TRUE;
        IF clock_timestamp() >= ends THEN
            RAISE EXCEPTION 'deliveries are locked by another transaction' USING ERRCODE = 'lock_not_available';
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN QUERY SELECT unnest(settled);
END $$;

-- As in 3_operations. What another transaction has locked is tried again for 1 s, and then refused.
CREATE OR REPLACE FUNCTION mailroom_retry(queue job_type, tokens bigint[], dry boolean)
RETURNS TABLE (token bigint, refused text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    ends timestamptz := clock_timestamp() + interval '1 second';
    free bigint[];
BEGIN
    LOOP
        EXIT WHEN $3;
        free := ARRAY (
            SELECT d.token FROM deliveries d
            WHERE d.queue = $1 AND d.token = ANY ($2) ORDER BY d.token FOR UPDATE SKIP LOCKED);
        EXIT WHEN clock_timestamp() >= ends OR NOT EXISTS (
            SELECT FROM deliveries d WHERE d.queue = $1 AND d.token = ANY ($2) AND d.token <> ALL (free));
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN QUERY
    WITH judged AS MATERIALIZED (
        SELECT asked.token, CASE
            WHEN d.token IS NULL THEN 'no such token in this queue'
            WHEN d.token <> ALL (free) THEN 'locked by another transaction'
            WHEN d.state = 'emitted' THEN 'it was handed out to a reader that does not acknowledge'
            WHEN d.state = 'sent' THEN 'already sent'
            WHEN d.settled_at IS NULL THEN 'it is not given up: ' || d.state
            WHEN t.id IS NULL THEN 'the token is gone'
            ELSE mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status) END AS refused
        FROM (SELECT DISTINCT u.token FROM unnest($2) AS u (token)) asked
            LEFT JOIN deliveries d ON d.queue = $1 AND d.token = asked.token
            LEFT JOIN tokens t ON t.id = asked.token LEFT JOIN accounts a ON a.id = t.account
    ), put_back AS (
        UPDATE deliveries d SET state = 'pending', holder = NULL, due_at = now(), settled_at = NULL
        FROM judged j
        WHERE NOT $3 AND d.queue = $1 AND d.token = j.token AND j.refused IS NULL
    )
    SELECT j.token, j.refused FROM judged j ORDER BY j.token;
    IF NOT $3 THEN
        PERFORM pg_notify('token_insert', '');
    END IF;
END $$;

-- As in 3_operations, without waiting: what is locked is removed another time.
CREATE OR REPLACE FUNCTION mailroom_prune(queue job_type, older_than interval, after_token bigint, max_rows integer,
                                          dry boolean)
RETURNS TABLE (last_token bigint, reached timestamptz, is_end boolean,
               sent bigint, failed bigint, skipped bigint, emitted bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    before timestamptz := now() - $2;
BEGIN
    -- The longest lease that there can be: nobody may still hold what is removed.
    IF $2 IS NULL OR before > now() - interval '1 day' THEN
        RAISE EXCEPTION 'what is younger than 1 day is not removed' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);  -- lost in a crash, it is removed another time
    RETURN QUERY
    WITH looked AS MATERIALIZED (
        SELECT d.token, d.state, coalesce(d.queued_at, to_timestamp(t.created_at), d.settled_at) AS queued_at,
               d.settled_at < before
               AND (t.id IS NULL OR t.consumed_at IS NOT NULL OR t.expires_at <= extract(epoch FROM now())) AS is_over
        FROM (SELECT * FROM deliveries WHERE token > $3 AND queue = $1 ORDER BY token LIMIT $4) d
            LEFT JOIN tokens t ON t.id = d.token
    ), free AS MATERIALIZED (
        SELECT d.token FROM looked l JOIN deliveries d ON d.queue = $1 AND d.token = l.token
        WHERE NOT $5 AND l.is_over AND d.settled_at < before
        FOR UPDATE OF d SKIP LOCKED
    ), removed AS (
        DELETE FROM deliveries d USING free f
        WHERE d.queue = $1 AND d.token = f.token
        RETURNING d.state
    ), counted AS (
        SELECT r.state FROM removed r
        UNION ALL SELECT l.state FROM looked l WHERE $5 AND l.is_over
    )
    SELECT (SELECT max(l.token) FROM looked l), (SELECT max(l.queued_at) FROM looked l),
           (SELECT count(*) < $4 OR coalesce(bool_or(l.queued_at >= before), true) FROM looked l),
           count(*) FILTER (WHERE c.state = 'sent'), count(*) FILTER (WHERE c.state = 'failed'),
           count(*) FILTER (WHERE c.state = 'skipped'), count(*) FILTER (WHERE c.state = 'emitted')
    FROM counted c;
END $$;

-- The queue itself, for status and metrics: as mailroom_queue, and whether it is paused.
CREATE FUNCTION mailroom_queue_status(p_queue job_type)
RETURNS TABLE (at timestamptz, acknowledged_at timestamptz, attended boolean, paused_at timestamptz, paused_reason text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT q.at, q.acknowledged_at, q.attended, j.paused_at, j.paused_reason
    FROM mailroom_queue(p_queue) q, jobs j WHERE j.job_type = p_queue;
END $$;

-- From now on the queue hands out and begins nothing, until mailroom_resume. What is begun already is sent. Returns
-- since when it is paused, and how many rows are being sent. Called again, it replaces the reason.
CREATE FUNCTION mailroom_pause(p_queue job_type, p_reason text)
RETURNS TABLE (paused_at timestamptz, sending bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    UPDATE jobs j SET paused_at = coalesce(j.paused_at, now()), paused_reason = p_reason WHERE j.job_type = p_queue;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no row % in jobs', p_queue USING ERRCODE = 'no_data_found';
    END IF;
    PERFORM pg_notify('token_insert', '');  -- collectors look, and see it
    RETURN QUERY SELECT j.paused_at, (
        SELECT count(*) FROM deliveries d
        WHERE d.queue = p_queue AND d.settled_at IS NULL AND d.state = 'sending' AND d.due_at > now())
    FROM jobs j WHERE j.job_type = p_queue;
END $$;

-- The queue goes on. Returns since when it was paused; null if it was not.
CREATE FUNCTION mailroom_resume(p_queue job_type)
RETURNS timestamptz
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    since timestamptz;
BEGIN
    SELECT j.paused_at INTO since FROM jobs j WHERE j.job_type = p_queue FOR NO KEY UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no row % in jobs', p_queue USING ERRCODE = 'no_data_found';
    END IF;
    UPDATE jobs SET paused_at = NULL, paused_reason = NULL WHERE job_type = p_queue;
    PERFORM pg_notify('token_insert', '');
    RETURN since;
END $$;

-- As in 4_actions; one after the other by a lock on the first action, which only a role can take that may
-- change the table. The advisory lock could be taken by everybody.
CREATE OR REPLACE FUNCTION mailroom_action_guarded() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    other text;
BEGIN
    IF TG_OP IN ('DELETE', 'TRUNCATE') THEN
        RAISE EXCEPTION 'an action stays: lines and mailed links may be of it'
            USING HINT = 'Insert no more tokens of it.', ERRCODE = 'restrict_violation';
    ELSIF TG_OP = 'UPDATE' THEN
        RAISE EXCEPTION 'number, name, prefix and signs_code of an action stay: lines and mailed links hold them'
            USING HINT = 'Insert another action.', ERRCODE = 'restrict_violation';
    END IF;
    IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION 'mailroom_actions is changed at isolation level READ COMMITTED only: '
            'this transaction may not see what others have added'
            USING HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED', ERRCODE = 'invalid_transaction_state';
    END IF;
    -- One after the other, so that each sees the others' rows.
    PERFORM FROM mailroom_actions m ORDER BY m.number LIMIT 1 FOR UPDATE;
    SELECT prefix INTO other FROM mailroom_actions
    WHERE starts_with(prefix, NEW.prefix) OR starts_with(NEW.prefix, prefix);
    IF FOUND THEN
        RAISE EXCEPTION 'the prefix % and that of another action, %, begin alike: '
            'a signature for one could be taken for the other', NEW.prefix, other
            USING HINT = 'Neither may be the beginning of the other.', ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;

CREATE OR REPLACE FUNCTION mailroom_actions_compiled() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    numbers   text;
    states    text;
    lifetimes text;
    body      text := CASE WHEN current_setting('server_version_num')::integer < 140000 THEN ' AS %L'
                           ELSE ' BEGIN ATOMIC %s; END' END;
BEGIN
    IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION 'mailroom_actions is changed at isolation level READ COMMITTED only: '
            'this transaction may not see what others have changed'
            USING HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED', ERRCODE = 'invalid_transaction_state';
    END IF;
    PERFORM FROM mailroom_actions m ORDER BY m.number LIMIT 1 FOR UPDATE;
    -- Each constant is cast by itself, when a plan is made; the outcome of a CASE would be for each row.
    SELECT string_agg(format(' WHEN %L THEN %s::smallint', m.name, m.number), '' ORDER BY m.number),
           string_agg(format(' WHEN %L THEN %L::%I.account_status[]', m.name, m.states, TG_TABLE_SCHEMA),
                      '' ORDER BY m.number),
           string_agg(format(' WHEN %L THEN %s', m.name, m.lifetime), '' ORDER BY m.number)
    INTO numbers, states, lifetimes FROM mailroom_actions m;
    EXECUTE format('CREATE OR REPLACE FUNCTION mailroom_action_number(token_action) RETURNS smallint'
        ' LANGUAGE sql STABLE' || body, 'SELECT CASE $1' || numbers || ' END');
    EXECUTE format('CREATE OR REPLACE FUNCTION mailroom_action_states(token_action) RETURNS account_status[]'
        ' LANGUAGE sql STABLE' || body, 'SELECT CASE $1' || states || ' END');
    EXECUTE format('CREATE OR REPLACE FUNCTION mailroom_action_lifetime(token_action) RETURNS integer'
        ' LANGUAGE sql STABLE' || body, 'SELECT CASE $1' || lifetimes || ' ELSE 900 END');
    IF TG_OP = 'INSERT' THEN
        WITH waiting AS MATERIALIZED (
            SELECT d.queue, d.token FROM deliveries d
            WHERE d.queue IN (SELECT q.job_type FROM jobs q) AND d.settled_at IS NULL AND d.due_at > now()
              AND d.state = 'pending' AND d.error = 'its action is not in mailroom_actions'
            ORDER BY d.token FOR UPDATE SKIP LOCKED
        )
        UPDATE deliveries d SET due_at = now() FROM waiting w WHERE d.token = w.token AND d.queue = w.queue;
        IF FOUND THEN
            PERFORM pg_notify('token_insert', '');
        END IF;
    END IF;
    RETURN NULL;
END $$;

DO $$
DECLARE
    step    record;
    setting text;
    given   record;
BEGIN
    -- To replace a function takes its settings away, and what makes it run as its owner.
    FOR step IN
        SELECT oid::regprocedure AS name,
               proname IN ('mailroom_look', 'mailroom_claim_any', 'mailroom_extend', 'mailroom_release',
                           'mailroom_emitted', 'mailroom_begin', 'mailroom_begin_rows', 'mailroom_settle',
                           'mailroom_settle_rows',
                           'mailroom_watch') AS is_hot,
               proname IN ('mailroom_retry', 'mailroom_prune', 'mailroom_queue_status', 'mailroom_pause',
                           'mailroom_resume') AS is_asked
        FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace
          AND proname IN ('mailroom_look', 'mailroom_claim_any', 'mailroom_extend', 'mailroom_release',
                          'mailroom_emitted', 'mailroom_set_aside', 'mailroom_acknowledge', 'mailroom_begin',
                          'mailroom_begin_rows',
                          'mailroom_settle', 'mailroom_settle_rows', 'mailroom_watch', 'mailroom_retry',
                          'mailroom_prune', 'mailroom_queue_status', 'mailroom_pause', 'mailroom_resume',
                          'mailroom_action_guarded', 'mailroom_actions_compiled')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp',
                       step.name, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', step.name);
        -- As at the end of 2_steps, and of 3_operations.
        FOREACH setting IN ARRAY CASE
            WHEN step.is_hot THEN ARRAY['enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin',
                                        'enable_mergejoin', 'jit']
            WHEN step.is_asked THEN ARRAY['enable_seqscan', 'enable_hashjoin', 'enable_mergejoin', 'jit']
            ELSE '{}' END
        LOOP
            EXECUTE format('ALTER FUNCTION %s SET %I = off', step.name, setting);
        END LOOP;
        IF step.is_hot THEN
            EXECUTE format('ALTER FUNCTION %s SET plan_cache_mode = force_generic_plan', step.name);
        ELSIF step.is_asked THEN
            EXECUTE format('ALTER FUNCTION %s SET max_parallel_workers_per_gather = 0', step.name);
        END IF;
    END LOOP;
    ALTER FUNCTION mailroom_actions_compiled SET enable_seqscan = off;
    -- Where row-level security would hide rows from the owner, what runs as the owner must fail: a token whose account
    -- is hidden would be skipped for good. Not mailroom_announce, as each sign-up would pay for it: it
    -- looks by itself.
    FOR step IN
        SELECT oid::regprocedure AS name FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace AND prosecdef AND proname LIKE 'mailroom\_%'
          AND proname <> 'mailroom_announce'
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET row_security = off', step.name);
    END LOOP;
    -- Roles may do as the next version of their program does.
    FOR given IN
        SELECT DISTINCT acl.grantee::regrole AS grantee, next.step
        FROM pg_proc p, aclexplode(p.proacl) acl, (VALUES
            ('mailroom_claim_any', 'mailroom_watch'), ('mailroom_begin', 'mailroom_watch'),
            ('mailroom_begin', 'mailroom_begin_rows'), ('mailroom_settle', 'mailroom_settle_rows'),
            ('mailroom_queue', 'mailroom_queue_status'),
            ('mailroom_retry', 'mailroom_pause'), ('mailroom_retry', 'mailroom_resume')) AS next (was, step)
        WHERE p.pronamespace = current_schema()::regnamespace AND p.proname = next.was
          AND acl.privilege_type = 'EXECUTE' AND acl.grantee NOT IN (0, p.proowner)
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %I TO %s', given.step, given.grantee);
    END LOOP;
END $$;
