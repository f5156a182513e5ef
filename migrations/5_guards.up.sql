-- Guards.
--
--   A queue can be paused.
--   A mail goes only to the address that its account has when the call begins.
--   A sender settles only what it has begun.
--   No step waits for a row. No sign-up waits for a lock that every role can take.
--   Where row-level security hides rows, the functions fail.
--   What programs act on is a code, never the words of a reason.
--
-- New functions:
--
--   watch, begin_rows, settle_rows                   for the programs
--   queue_status, pause, resume, retry_rows          for an operator
--   first_reason                                     for metrics
--   lock_deliveries, lock_actions, join_reasons      for other functions only
--
-- The functions that versions 0.1 and 0.2 of the programs call stay and keep their meaning. Their parameters keep their
-- names, because PostgreSQL does not rename a parameter of an existing function. Their bodies give them aliases
-- (p_queue).
--
-- 2_steps says that a released function is never changed in place. In fact its meaning never changes: a function with a
-- new meaning gets a new name, but a body may be replaced, as here.
--
-- Each function stands here as in its file, between a line "From" and a line "End". `make migrations` writes them.
--
-- Locks. They are taken in this order, and no step keeps another one waiting for long:
--
--   1  The row of the queue in jobs. A claim takes it last, to move last_seq. So whoever has it waits for no delivery.
--   2  Deliveries, always with SKIP LOCKED. No step waits for a delivery, so steps can't deadlock, in whatever order
--      others delete accounts. What is locked is reported as locked, or left for another time.
--
-- A transaction of the application that deletes tokens does wait for their deliveries (mailroom_token_deleted). A step
-- has them locked for milliseconds, or for as long as its function says.

LOCK TABLE deliveries, jobs IN ACCESS EXCLUSIVE MODE;  -- in the order in which a sign-up takes them

ALTER TABLE jobs ADD COLUMN paused_at timestamptz, ADD COLUMN paused_reason text;
COMMENT ON COLUMN jobs.paused_at IS 'since when the queue is paused: it hands out and begins nothing; null: not paused';
COMMENT ON COLUMN jobs.paused_reason IS 'why, in the words of the person who paused it';

-- begun_by has 8 bytes in a row that was begun, and none in other rows. The name itself is in "holder", but only until
-- the next claim. error_code is null in nearly all rows, and then has no bytes.
ALTER TABLE deliveries ADD COLUMN begun_by bigint, ADD COLUMN error_code text;
COMMENT ON COLUMN deliveries.begun_by IS 'hashtextextended(holder, 0) of the call that began it last';
COMMENT ON COLUMN deliveries.error_code IS
    'unlisted: its action is not in mailroom_actions; changed: its account got another address; null: all else';

DO $$
BEGIN
    PERFORM set_config('enable_seqscan', 'off', true);  -- reads the index of what is not settled, not the whole table
    UPDATE deliveries SET begun_by = hashtextextended(holder, 0)
    WHERE queue IN (SELECT job_type FROM jobs) AND settled_at IS NULL AND state = 'sending';
    -- The only place that reads the words: rows from before have no code.
    UPDATE deliveries SET error_code = 'unlisted'
    WHERE queue IN (SELECT job_type FROM jobs) AND settled_at IS NULL AND state = 'pending'
      AND error = 'its action is not in mailroom_actions';
    PERFORM set_config('enable_seqscan', 'on', true);
END $$;

-- Where another mailroom made the schema, a trigger of its own gives accounts their tokens.
DO $migration$
BEGIN
    IF to_regproc('mailroom_account_inserted') IS NOT NULL THEN
        EXECUTE format($function$
-- From functions/mailroom_account_inserted.sql: mailroom_account_inserted
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
-- End of mailroom_account_inserted
        $function$, current_schema());
    END IF;
    EXECUTE format($function$
-- From functions/mailroom_announce.sql: mailroom_announce
CREATE OR REPLACE FUNCTION mailroom_announce() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO %1$I.deliveries (queue, token)
    SELECT j.job_type, i.id FROM inserted i CROSS JOIN %1$I.jobs j;
    IF FOUND THEN
        -- One expression, so that a cancelled statement can't keep lock 2.
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
-- End of mailroom_announce
    $function$, current_schema(), format('%I.jobs', current_schema()));
END $migration$;

-- From functions/mailroom_lock_deliveries.sql: mailroom_lock_deliveries
-- Locks deliveries until the transaction ends. What another transaction has locked is tried again for p_patience_ms.
-- It never waits for one of them, so two calls can't deadlock, in whatever order others lock rows.
-- Called by: mailroom_begin and mailroom_retry_rows, with their rights and settings.
-- Returns: the tokens whose deliveries are locked now.
CREATE FUNCTION mailroom_lock_deliveries(p_queue job_type, p_tokens bigint[], p_patience_ms integer)
RETURNS bigint[]
LANGUAGE plpgsql AS $$
DECLARE
    ends timestamptz := clock_timestamp() + p_patience_ms * interval '1 ms';
    free bigint[];
BEGIN
    LOOP
        free := ARRAY (
            SELECT d.token FROM deliveries d
            WHERE d.queue = p_queue AND d.token = ANY (p_tokens) ORDER BY d.token FOR UPDATE SKIP LOCKED);
        EXIT WHEN clock_timestamp() >= ends OR NOT EXISTS (
            SELECT FROM deliveries d
            WHERE d.queue = p_queue AND d.token = ANY (p_tokens) AND d.token <> ALL (free));
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN free;
END $$;
-- End of mailroom_lock_deliveries

-- From functions/mailroom_join_reasons.sql: mailroom_join_reasons
-- Why a delivery is skipped, with the error of its last try behind it: 'the token expired; last try: Throttling'.
-- deliveries.error has had such texts since version 0.1, so they stay. Splitting them into columns would rewrite the
-- ledger. Only mailroom_join_reasons, mailroom_first_reason and mailroom_reason know how they are joined.
-- Called by: mailroom_claim_any and mailroom_begin_rows, which the planner makes it a part of.
-- Returns: the reason in words.
CREATE FUNCTION mailroom_join_reasons(p_stale text, p_error text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT p_stale || coalesce('; last try: ' || p_error, '')
$$;
-- End of mailroom_join_reasons

-- From functions/mailroom_look.sql: mailroom_look
-- What waits in a queue. A paused queue has nothing that waits.
-- Called by: the collector, before it claims and before it sleeps.
-- Returns: one row.
--   waiting      how many deliveries are due now, counted up to max_rows
--   next_due_ms  in how many milliseconds the next one is due; null if nothing else is unsettled
--   attended     whether another session polls fast, so that inserts do not notify
CREATE OR REPLACE FUNCTION mailroom_look(queue job_type, max_rows integer)
RETURNS TABLE (waiting integer, next_due_ms bigint, attended boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue    ALIAS FOR queue;
    p_max_rows ALIAS FOR max_rows;
BEGIN
    RETURN QUERY SELECT
        (SELECT count(*)::integer FROM (
            SELECT FROM deliveries d
            WHERE d.queue = p_queue AND d.settled_at IS NULL AND d.due_at <= now()
              AND (SELECT q.paused_at FROM jobs q WHERE q.job_type = p_queue) IS NULL LIMIT p_max_rows) due),
        (SELECT ceil(1000 * extract(epoch FROM min(d.due_at) - now()))::bigint
            FROM deliveries d
            WHERE d.queue = p_queue AND d.settled_at IS NULL AND d.due_at > now()
              AND (SELECT q.paused_at FROM jobs q WHERE q.job_type = p_queue) IS NULL),
        NOT (pg_try_advisory_lock_shared(1835100524, 2) AND pg_advisory_unlock_shared(1835100524, 2));
END $$;
-- End of mailroom_look

-- From functions/mailroom_watch.sql: mailroom_watch
-- The parts of the state that may change at any moment: whether the queue is paused, and whether a collector polls
-- fast.
-- Called by: the collector when it is notified, and every few seconds; the sender's check.
-- Returns: one row.
CREATE FUNCTION mailroom_watch(p_queue job_type)
RETURNS TABLE (paused_at timestamptz, paused_reason text, attended boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT q.paused_at, q.paused_reason,
        NOT (pg_try_advisory_lock_shared(1835100524, 2) AND pg_advisory_unlock_shared(1835100524, 2))
    FROM jobs q WHERE q.job_type = p_queue;
END $$;
-- End of mailroom_watch

-- From functions/mailroom_claim_any.sql: mailroom_claim_any
-- Claims up to max_rows due deliveries for the holder, oldest first, with a lease of lease_ms. A paused queue gives
-- nothing.
--  - A stale delivery is skipped for good.
--  - A delivery whose action is not in mailroom_actions waits for as long as its token is old, but 5 s to 60 s. So many
--    of them cost little. The wait ends when the action is added. Until then the error_code is 'unlisted'.
--  - A delivery whose action has a number above "newest" is for another collector, and waits for 1 s to 15 s.
--
-- With after_due and after_token (the due_at and token of the last row of the claim before) it begins behind that row.
-- So it does not read the dead rows of earlier claims again, which another session's snapshot may keep. A claim without
-- the two finds deliveries that became due in front of that row.
-- Called by: the collector.
-- Returns: one row for each delivery that was claimed, skipped or put off.
--   action        the number of the action; null for what waits
--   stale         why it was skipped; null otherwise
--   doubt         its last sender began it and never settled it, so it may have been mailed
--   acknowledged  senders of this queue settle what they send
--   due_at        when it was due, for after_due
CREATE OR REPLACE FUNCTION mailroom_claim_any(queue job_type, holder text, lease_ms integer, max_rows integer,
                                              after_due timestamptz DEFAULT NULL, after_token bigint DEFAULT NULL,
                                              newest smallint DEFAULT 32767)
RETURNS TABLE (token bigint, action smallint, email text, login text, secret bytea,
               code text, stale text, doubt boolean, acknowledged boolean, due_at timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue       ALIAS FOR queue;
    p_holder      ALIAS FOR holder;
    p_lease_ms    ALIAS FOR lease_ms;
    p_max_rows    ALIAS FOR max_rows;
    p_after_due   ALIAS FOR after_due;
    p_after_token ALIAS FOR after_token;
    p_newest      ALIAS FOR newest;
BEGIN
    IF p_lease_ms > 86400000 THEN
        RAISE EXCEPTION 'a lease may last for 1 day at most' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    RETURN QUERY
    WITH due AS MATERIALIZED (
        -- MATERIALIZED: joined directly, an UPDATE could change more rows than the limit.
        SELECT d.queue, d.token, d.state, d.due_at
        FROM deliveries d
        WHERE d.queue = p_queue AND d.settled_at IS NULL AND d.due_at <= now()
          AND (d.due_at, d.token) > (coalesce(p_after_due, '-infinity'), coalesce(p_after_token, 0))
          AND (SELECT q.paused_at FROM jobs q WHERE q.job_type = p_queue) IS NULL
        ORDER BY d.due_at, d.token
        LIMIT p_max_rows FOR UPDATE SKIP LOCKED
    ), judged AS MATERIALIZED (
        SELECT due.queue, due.token, due.due_at, due.state = 'sending' AS doubt,
               mailroom_action_number(t.action) AS number, a.email, a.login, t.secret, t.code,
               extract(epoch FROM now())::float8 - t.created_at AS age,
               CASE WHEN t.id IS NULL THEN 'the token is gone'
                    ELSE mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status) END AS stale
        FROM due LEFT JOIN tokens t ON t.id = due.token LEFT JOIN accounts a ON a.id = t.account
    ), taken AS (
        UPDATE deliveries d SET
            state = CASE WHEN j.stale IS NOT NULL THEN 'skipped' WHEN j.number <= p_newest THEN 'claimed'
                         ELSE 'pending' END::delivery_state,
            holder = p_holder,
            due_at = CASE WHEN j.stale IS NOT NULL THEN d.due_at
                          WHEN j.number <= p_newest THEN now() + p_lease_ms * interval '1 ms'
                          WHEN j.number IS NULL THEN now() + least(60, greatest(5, j.age)) * interval '1 s'
                          ELSE now() + least(15, greatest(1, j.age)) * interval '1 s' END,
            doubts = d.doubts + j.doubt::integer,
            error = CASE WHEN j.stale IS NOT NULL THEN mailroom_join_reasons(j.stale, d.error)
                         WHEN j.number IS NULL THEN 'its action is not in mailroom_actions'
                         WHEN d.error_code = 'unlisted' THEN NULL
                         ELSE d.error END,
            error_code = CASE WHEN j.stale IS NOT NULL THEN NULL
                              WHEN j.number IS NULL THEN 'unlisted'
                              ELSE nullif(d.error_code, 'unlisted') END,
            settled_at = CASE WHEN j.stale IS NOT NULL THEN now() END
        FROM judged j
        -- Not p_queue: a plan that was made while the ledger was empty would then read the whole index of the queue.
        WHERE d.queue = j.queue AND d.token = j.token
        RETURNING j.*
    ), handed_out AS (
        UPDATE jobs SET last_seq = newest.token
        FROM (SELECT max(j.token) AS token FROM judged j WHERE j.stale IS NULL AND j.number <= p_newest) newest
        WHERE job_type = p_queue AND coalesce(last_seq, 0) < newest.token
    )
    SELECT t.token, CASE WHEN t.number <= p_newest THEN t.number END, t.email::text, t.login::text, t.secret,
           t.code::text, t.stale, t.doubt,
           (SELECT q.acknowledged_at IS NOT NULL FROM jobs q WHERE q.job_type = p_queue), t.due_at
    FROM taken t
    ORDER BY t.due_at, t.token;
END $$;
-- End of mailroom_claim_any

-- From functions/mailroom_extend.sql: mailroom_extend
-- Renews the lease of those tokens that the holder still has claimed. A delivery that another transaction has locked is
-- left out: if it is still there when its lease ends, it is claimed again.
-- Called by: the collector, for the lines that its reader has not taken yet.
-- Returns: the tokens whose lease is renewed.
CREATE OR REPLACE FUNCTION mailroom_extend(queue job_type, holder text, lease_ms integer, tokens bigint[])
RETURNS SETOF bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue    ALIAS FOR queue;
    p_holder   ALIAS FOR holder;
    p_lease_ms ALIAS FOR lease_ms;
    p_tokens   ALIAS FOR tokens;
    held       bigint[];
BEGIN
    IF p_lease_ms > 86400000 THEN
        RAISE EXCEPTION 'a lease may last for 1 day at most' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    -- Does not wait: a delivery that the application has locked, to delete its account, must not keep the others from
    -- being renewed.
    held := ARRAY (
        SELECT d.token FROM deliveries d
        WHERE d.queue = p_queue AND d.token = ANY (p_tokens) AND d.state = 'claimed' AND d.holder = p_holder
        FOR UPDATE SKIP LOCKED);
    RETURN QUERY
    UPDATE deliveries d SET due_at = now() + p_lease_ms * interval '1 ms'
    WHERE d.queue = p_queue AND d.token = ANY (held)
    RETURNING d.token;
END $$;
-- End of mailroom_extend

-- From functions/mailroom_release.sql: mailroom_release
-- Releases the deliveries that the holder has claimed. They are due at once. A delivery that a sender is beginning at
-- that moment is not released.
-- Called by: the collector, when it ends or when its reader is gone.
-- Returns: how many deliveries were released.
CREATE OR REPLACE FUNCTION mailroom_release(queue job_type, holder text, tokens bigint[])
RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue    ALIAS FOR queue;
    p_holder   ALIAS FOR holder;
    p_tokens   ALIAS FOR tokens;
    given_back integer;
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    WITH held AS MATERIALIZED (
        SELECT d.token FROM deliveries d
        WHERE d.queue = p_queue AND d.token = ANY (p_tokens) AND d.state = 'claimed' AND d.holder = p_holder
        ORDER BY d.token FOR UPDATE SKIP LOCKED
    )
    -- Due since its token was made, so that it does not wait behind younger ones.
    UPDATE deliveries d SET state = 'pending', holder = NULL,
        due_at = least(now(), to_timestamp((SELECT t.created_at FROM tokens t WHERE t.id = d.token)))
    FROM held
    WHERE d.queue = p_queue AND d.token = held.token AND d.token = ANY (p_tokens);
    GET DIAGNOSTICS given_back = ROW_COUNT;
    IF given_back > 0 THEN
        PERFORM pg_notify('token_insert', '');
    END IF;
    RETURN given_back;
END $$;
-- End of mailroom_release

-- From functions/mailroom_emitted.sql: mailroom_emitted
-- Settles deliveries as emitted: the reader took them, and no sender of this queue acknowledges, so no outcome will be
-- recorded. A delivery that another transaction has locked is tried again for a second. If it were left out, it would
-- be printed once more when its lease ends.
-- Called by: the collector, when a reader took its lines and no sender acknowledges.
-- Returns: how many deliveries are settled so; 0 once a sender acknowledges.
CREATE OR REPLACE FUNCTION mailroom_emitted(queue job_type, holder text, tokens bigint[])
RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue  ALIAS FOR queue;
    p_holder ALIAS FOR holder;
    p_tokens ALIAS FOR tokens;
    ends     timestamptz := clock_timestamp() + interval '1 second';
    rest     bigint[] := p_tokens;
    taken    bigint[];
    emitted  integer := 0;
BEGIN
    -- Waits for a sender that is acknowledging, so that its takeover misses none. Does not wait for a claim, which
    -- moves last_seq.
    PERFORM FROM jobs q WHERE q.job_type = p_queue AND q.acknowledged_at IS NULL FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    LOOP
        taken := ARRAY (
            SELECT d.token FROM deliveries d
            WHERE d.queue = p_queue AND d.token = ANY (rest) AND d.state = 'claimed' AND d.holder = p_holder
            FOR UPDATE SKIP LOCKED);
        UPDATE deliveries d SET state = 'emitted', settled_at = now() WHERE d.queue = p_queue AND d.token = ANY (taken);
        emitted := emitted + cardinality(taken);
        EXIT WHEN cardinality(taken) = cardinality(rest);
        rest := ARRAY (
            SELECT d.token FROM deliveries d
            WHERE d.queue = p_queue AND d.token = ANY (rest) AND d.state = 'claimed' AND d.holder = p_holder);
        EXIT WHEN rest = '{}' OR clock_timestamp() >= ends;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN emitted;
END $$;
-- End of mailroom_emitted

-- From functions/mailroom_set_aside.sql: mailroom_set_aside
-- Settles as failed the deliveries that the holder has claimed but can't sign or print. A delivery that another
-- transaction has locked is left out, and is claimed again when its lease ends.
-- Called by: the collector.
-- Returns: how many deliveries are settled so.
CREATE OR REPLACE FUNCTION mailroom_set_aside(queue job_type, holder text, tokens bigint[], reasons text[])
RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue   ALIAS FOR queue;
    p_holder  ALIAS FOR holder;
    p_tokens  ALIAS FOR tokens;
    p_reasons ALIAS FOR reasons;
    held      bigint[] := ARRAY (
        SELECT d.token FROM deliveries d
        WHERE d.queue = p_queue AND d.token = ANY (p_tokens) AND d.state = 'claimed' AND d.holder = p_holder
        FOR UPDATE SKIP LOCKED);
    aside     integer;
BEGIN
    UPDATE deliveries d SET state = 'failed', error = r.reason, error_code = NULL, settled_at = now()
    FROM unnest(p_tokens, p_reasons) AS r (token, reason)
    WHERE d.queue = p_queue AND d.token = r.token AND d.token = ANY (held);
    GET DIAGNOSTICS aside = ROW_COUNT;
    RETURN aside;
END $$;
-- End of mailroom_set_aside

-- From functions/mailroom_acknowledge.sql: mailroom_acknowledge
-- Records that a sender settles what it sends. The first sender that says so takes over the emitted deliveries that may
-- still be mailed. A takeover that finds a delivery locked tries for a second, and then fails as a whole: the sender
-- tries again, and no delivery is forgotten.
-- Called by: the sender, at its start.
-- Returns: how many deliveries were taken over.
CREATE OR REPLACE FUNCTION mailroom_acknowledge(queue job_type)
RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue    ALIAS FOR queue;
    ends       timestamptz := clock_timestamp() + interval '1 second';
    is_first   boolean;
    taken_over integer := 0;
    more       integer;
BEGIN
    SELECT q.acknowledged_at IS NULL INTO is_first FROM jobs q WHERE q.job_type = p_queue FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no row % in jobs', p_queue USING ERRCODE = 'no_data_found';
    END IF;
    UPDATE jobs SET acknowledged_at = now() WHERE job_type = p_queue;
    WHILE is_first LOOP
        WITH alive AS MATERIALIZED (
            SELECT d.token FROM deliveries d JOIN tokens t ON t.id = d.token JOIN accounts a ON a.id = t.account
            WHERE d.queue = p_queue AND d.state = 'emitted'
              AND mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status) IS NULL
            FOR UPDATE OF d SKIP LOCKED
        )
        UPDATE deliveries d SET state = 'pending', holder = NULL, due_at = now(), settled_at = NULL
        FROM alive WHERE d.queue = p_queue AND d.token = alive.token;
        GET DIAGNOSTICS more = ROW_COUNT;
        taken_over := taken_over + more;
        EXIT WHEN NOT EXISTS (
            SELECT FROM deliveries d JOIN tokens t ON t.id = d.token JOIN accounts a ON a.id = t.account
            WHERE d.queue = p_queue AND d.state = 'emitted'
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
-- End of mailroom_acknowledge

-- From functions/mailroom_begin_rows.sql: mailroom_begin_rows
-- The fence before a call to SES: which of these secrets the holder may send now, and is the only one to send for
-- p_lease_ms. p_emails are the addresses that the mails would go to, in UTF-8 and in the order of the secrets; a null
-- is not compared. A delivery that goes back loses no attempt.
-- Called by: the sender, before each call.
-- Returns: one row for each different secret, with its first place in the array (from 1), its token, and a code.
-- "reason" says the same to people; it is null for begun.
--   begun    it may be sent. To begin again what the holder has begun already is allowed, and renews the lease
--   locked   another transaction has it: ask again
--   later    it is due later, to be tried again
--   settled  it is sent, failed or skipped already
--   taken    another call has begun it
--   stale    it may not be mailed any more, and is skipped
--   changed  its account has another address now: it goes back, to be printed anew
--   paused   the queue is paused: it goes back
--   unknown  no such token in this queue
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
    -- The rows are locked first. Then they are judged by what is committed when they are locked, because each statement
    -- here has its own snapshot.
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
               -- As bytes, because an address may not be valid text, and one such row would stop the whole call.
               p_emails[p.place] <> CASE WHEN is_ascii THEN decode(replace(a.email, '\', '\\'), 'escape')
                                         ELSE convert_to(a.email, 'UTF8') END AS has_changed
        FROM tokens t CROSS JOIN LATERAL (SELECT array_position(p_secrets, t.secret) AS place) p
            -- OFFSET 0 keeps the planner from a join: each account is read by its key.
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
                -- The second time in a row. The reader may never agree, so it gets the row again only after a pause.
                WHEN j.code = 'changed' AND d.error_code = 'changed' THEN now() + interval '5 s'
                ELSE least(now(), to_timestamp(j.created_at)) END,
            error = CASE j.code WHEN 'stale' THEN mailroom_join_reasons(j.stale, d.error)
                                WHEN 'changed' THEN readdressed ELSE d.error END,
            error_code = CASE j.code WHEN 'stale' THEN NULL WHEN 'changed' THEN 'changed' ELSE d.error_code END,
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
-- End of mailroom_begin_rows

-- From functions/mailroom_begin.sql: mailroom_begin
-- The begin of a sender of version 0.2 and before, which does not give the addresses of its mails. A sender of version
-- 0.1 forgets a delivery that is locked, and its collector then keeps it. So a locked delivery is tried again for as
-- long as those versions waited.
-- Called by: senders of version 0.2 and before.
-- Returns: one row for each different secret, with its first place in the array; "refused" is null or why not to send
-- it.
CREATE OR REPLACE FUNCTION mailroom_begin(queue job_type, holder text, lease_ms integer, secrets bytea[])
RETURNS TABLE (place bigint, token bigint, attempt integer, refused text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue    ALIAS FOR queue;
    p_holder   ALIAS FOR holder;
    p_lease_ms ALIAS FOR lease_ms;
    p_secrets  ALIAS FOR secrets;
    ids        bigint[] := ARRAY (
        SELECT d.token FROM deliveries d
        WHERE d.queue = p_queue AND d.token = ANY (ARRAY (SELECT t.id FROM tokens t WHERE t.secret = ANY (p_secrets))));
BEGIN
    PERFORM mailroom_lock_deliveries(p_queue, ids, least(3000, p_lease_ms / 8));
    RETURN QUERY SELECT b.place, b.token, b.attempt, b.reason
    FROM mailroom_begin_rows(p_queue, p_holder, p_lease_ms, p_secrets, NULL) b;
END $$;
-- End of mailroom_begin

-- From functions/mailroom_settle_rows.sql: mailroom_settle_rows
-- Records the outcomes of the deliveries that the holder began. The outcome "sent" is recorded even after the lease, as
-- long as this holder was the last to begin the delivery, so it is not sent twice. A delay takes at most half of the
-- token's remaining lifetime, but at least 1 s.
-- Called by: the sender, after each call.
-- Returns: one row for each different token, with a code.
--   settled  it is recorded, now or before: the same outcome twice gets the same answer
--   missed   the holder had lost it
--   locked   another transaction has it: call again
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
    WITH reported AS MATERIALIZED (
        SELECT * FROM unnest(p_tokens, p_outcomes, p_message_ids, p_errors, p_delays_ms)
            AS o (token, outcome, message_id, error, delay_ms)
    ), held AS MATERIALIZED (
        SELECT o.* FROM deliveries d JOIN reported o ON o.token = d.token
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
            error_code = NULL,
            settled_at = CASE WHEN o.outcome IN ('sent', 'failed') THEN now() END
        FROM held o
        WHERE d.queue = p_queue AND d.token = o.token AND d.token = ANY (free)
        RETURNING d.token
    )
    SELECT coalesce(array_agg(settled.token), '{}') INTO done FROM settled;
    IF cardinality(done) < cardinality(p_tokens) THEN
        done := done || ARRAY (  -- what was recorded before
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
-- End of mailroom_settle_rows

-- From functions/mailroom_settle.sql: mailroom_settle
-- The settle of a sender of version 0.2 and before, which has no code for a locked delivery. So such a call fails as a
-- whole after a second, and the sender repeats all of it.
-- Called by: senders of version 0.2 and before.
-- Returns: the tokens whose outcome is recorded. The holder had lost the missing ones.
CREATE OR REPLACE FUNCTION mailroom_settle(queue job_type, holder text, tokens bigint[],
                                           outcomes delivery_outcome[], message_ids text[], errors text[],
                                           delays_ms integer[])
RETURNS SETOF bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue       ALIAS FOR queue;
    p_holder      ALIAS FOR holder;
    p_tokens      ALIAS FOR tokens;
    p_outcomes    ALIAS FOR outcomes;
    p_message_ids ALIAS FOR message_ids;
    p_errors      ALIAS FOR errors;
    p_delays_ms   ALIAS FOR delays_ms;
    ends          timestamptz := clock_timestamp() + interval '1 second';
    settled       bigint[];
    locked        boolean;
BEGIN
    LOOP
        SELECT array_agg(s.token) FILTER (WHERE s.code = 'settled'), bool_or(s.code = 'locked') INTO settled, locked
        FROM mailroom_settle_rows(p_queue, p_holder, p_tokens, p_outcomes, p_message_ids, p_errors, p_delays_ms) s;
        EXIT WHEN locked IS NOT TRUE;
        IF clock_timestamp() >= ends THEN
            RAISE EXCEPTION 'deliveries are locked by another transaction' USING ERRCODE = 'lock_not_available';
        END IF;
        PERFORM pg_sleep(0.01);
    END LOOP;
    RETURN QUERY SELECT unnest(settled);
END $$;
-- End of mailroom_settle

-- From functions/mailroom_retry_rows.sql: mailroom_retry_rows
-- Puts failed and skipped deliveries back, due at once, if their tokens may still be mailed. A sent delivery is never
-- put back, because a recipient who never got it needs a new token. The error and the number of attempts stay. A
-- delivery that another transaction has locked is tried again for 1 s. With p_dry true it changes nothing.
-- Called by: the commands retry and failed.
-- Returns: one row for each different token, with a code. "reason" says the same to people; it is null for retried.
--   retried    it is put back, or with p_dry would be
--   locked     another transaction has it
--   unsettled  it has not failed: it waits, or is claimed or being sent
--   sent       it is sent already
--   emitted    it was handed out to a reader that does not acknowledge
--   stale      it may not be mailed any more
--   gone       the token is gone
--   unknown    no such token in this queue
CREATE FUNCTION mailroom_retry_rows(p_queue job_type, p_tokens bigint[], p_dry boolean)
RETURNS TABLE (token bigint, code text, reason text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    free bigint[];
BEGIN
    IF NOT p_dry THEN
        free := mailroom_lock_deliveries(p_queue, p_tokens, 1000);
    END IF;
    RETURN QUERY
    WITH seen AS MATERIALIZED (
        SELECT asked.token, d.state, CASE
            WHEN d.token IS NULL THEN 'unknown'
            WHEN d.token <> ALL (free) THEN 'locked'
            WHEN d.state = 'emitted' THEN 'emitted'
            WHEN d.state = 'sent' THEN 'sent'
            WHEN d.settled_at IS NULL THEN 'unsettled'
            WHEN t.id IS NULL THEN 'gone' END AS code,
            mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status) AS stale
        FROM (SELECT DISTINCT u.token FROM unnest(p_tokens) AS u (token)) asked
            LEFT JOIN deliveries d ON d.queue = p_queue AND d.token = asked.token
            LEFT JOIN tokens t ON t.id = asked.token LEFT JOIN accounts a ON a.id = t.account
    ), judged AS MATERIALIZED (
        SELECT s.token, s.state, s.stale,
               coalesce(s.code, CASE WHEN s.stale IS NOT NULL THEN 'stale' ELSE 'retried' END) AS code
        FROM seen s
    ), put_back AS (
        UPDATE deliveries d SET state = 'pending', holder = NULL, due_at = now(), settled_at = NULL
        FROM judged j
        WHERE NOT p_dry AND d.queue = p_queue AND d.token = j.token AND j.code = 'retried'
    )
    SELECT j.token, j.code, CASE j.code
        WHEN 'unknown' THEN 'no such token in this queue'
        WHEN 'locked' THEN 'locked by another transaction'
        WHEN 'emitted' THEN 'it was handed out to a reader that does not acknowledge'
        WHEN 'sent' THEN 'already sent'
        WHEN 'unsettled' THEN 'it is not given up: ' || j.state
        WHEN 'gone' THEN 'the token is gone'
        WHEN 'stale' THEN j.stale END
    FROM judged j ORDER BY j.token;
    IF NOT p_dry THEN
        PERFORM pg_notify('token_insert', '');
    END IF;
END $$;
-- End of mailroom_retry_rows

-- From functions/mailroom_retry.sql: mailroom_retry
-- The retry of version 0.2 and before: mailroom_retry_rows without the codes.
-- Called by: the command retry of version 0.2 and before.
-- Returns: one row for each different token: null, or why it was not put back.
CREATE OR REPLACE FUNCTION mailroom_retry(queue job_type, tokens bigint[], dry boolean)
RETURNS TABLE (token bigint, refused text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue  ALIAS FOR queue;
    p_tokens ALIAS FOR tokens;
    p_dry    ALIAS FOR dry;
BEGIN
    RETURN QUERY SELECT r.token, r.reason FROM mailroom_retry_rows(p_queue, p_tokens, p_dry) r ORDER BY r.token;
END $$;
-- End of mailroom_retry

-- From functions/mailroom_prune.sql: mailroom_prune
-- Removes settled deliveries that are older than a limit and whose tokens are over. It reads up to max_rows deliveries
-- behind a token, in the order of tokens. That is about the order in which they were settled, so it can end at the
-- first that is too young, and needs no index. A removed delivery is never mailed again: claim and begin know only what
-- is in the ledger. A delivery that another transaction has locked is removed another time. With dry true it only
-- counts.
-- Called by: the command prune.
-- Returns: one row.
--   last_token  the last token that was read, to go on behind it
--   reached     when that token was queued
--   is_end      nothing that is old enough is left behind it
--   sent, failed, skipped, emitted  how many were removed, by state
CREATE OR REPLACE FUNCTION mailroom_prune(queue job_type, older_than interval, after_token bigint, max_rows integer,
                                          dry boolean)
RETURNS TABLE (last_token bigint, reached timestamptz, is_end boolean,
               sent bigint, failed bigint, skipped bigint, emitted bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    p_queue       ALIAS FOR queue;
    p_older_than  ALIAS FOR older_than;
    p_after_token ALIAS FOR after_token;
    p_max_rows    ALIAS FOR max_rows;
    p_dry         ALIAS FOR dry;
    before        timestamptz := now() - p_older_than;
BEGIN
    -- No lease is longer than a day. So nothing is removed that a program may still hold.
    IF p_older_than IS NULL OR before > now() - interval '1 day' THEN
        RAISE EXCEPTION 'what is younger than 1 day is not removed' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);  -- lost in a crash, it is removed another time
    RETURN QUERY
    WITH read_rows AS MATERIALIZED (
        SELECT d.token, d.state, coalesce(d.queued_at, to_timestamp(t.created_at), d.settled_at) AS queued_at,
               d.settled_at < before
               AND (t.id IS NULL OR t.consumed_at IS NOT NULL OR t.expires_at <= extract(epoch FROM now())) AS is_over
        FROM (SELECT * FROM deliveries
              WHERE token > p_after_token AND queue = p_queue ORDER BY token LIMIT p_max_rows) d
            LEFT JOIN tokens t ON t.id = d.token
    ), free AS MATERIALIZED (
        SELECT d.token FROM read_rows l JOIN deliveries d ON d.queue = p_queue AND d.token = l.token
        WHERE NOT p_dry AND l.is_over AND d.settled_at < before
        FOR UPDATE OF d SKIP LOCKED
    ), removed AS (
        DELETE FROM deliveries d USING free f
        WHERE d.queue = p_queue AND d.token = f.token
        RETURNING d.state
    ), counted AS (
        SELECT r.state FROM removed r
        UNION ALL SELECT l.state FROM read_rows l WHERE p_dry AND l.is_over
    )
    SELECT (SELECT max(l.token) FROM read_rows l), (SELECT max(l.queued_at) FROM read_rows l),
           (SELECT count(*) < p_max_rows OR coalesce(bool_or(l.queued_at >= before), true) FROM read_rows l),
           count(*) FILTER (WHERE c.state = 'sent'), count(*) FILTER (WHERE c.state = 'failed'),
           count(*) FILTER (WHERE c.state = 'skipped'), count(*) FILTER (WHERE c.state = 'emitted')
    FROM counted c;
END $$;
-- End of mailroom_prune

-- From functions/mailroom_first_reason.sql: mailroom_first_reason
-- The part before the last try of a reason that mailroom_join_reasons made or mailroom_reason kept.
-- Called by: metrics, to count many different reasons by their first part. Everybody may execute it, because it reads
-- no table.
-- Returns: the first part, or the whole reason if it has no other part.
CREATE FUNCTION mailroom_first_reason(p_reason text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
    SELECT split_part(p_reason, '; last try: ', 1)
$$;
-- End of mailroom_first_reason

-- From functions/mailroom_queue_status.sql: mailroom_queue_status
-- The state of the queue: what mailroom_queue returns, and whether the queue is paused.
-- Called by: status and metrics.
-- Returns: one row.
CREATE FUNCTION mailroom_queue_status(p_queue job_type)
RETURNS TABLE (at timestamptz, acknowledged_at timestamptz, attended boolean, paused_at timestamptz, paused_reason text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT q.at, q.acknowledged_at, q.attended, j.paused_at, j.paused_reason
    FROM mailroom_queue(p_queue) q, jobs j WHERE j.job_type = p_queue;
END $$;
-- End of mailroom_queue_status

-- From functions/mailroom_pause.sql: mailroom_pause
-- Pauses the queue: it hands out and begins nothing until mailroom_resume. What is begun already is sent. A second call
-- replaces the reason.
-- Called by: the command pause.
-- Returns: since when the queue is paused, and how many deliveries are being sent.
CREATE FUNCTION mailroom_pause(p_queue job_type, p_reason text)
RETURNS TABLE (paused_at timestamptz, sending bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    UPDATE jobs j SET paused_at = coalesce(j.paused_at, now()), paused_reason = p_reason WHERE j.job_type = p_queue;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no row % in jobs', p_queue USING ERRCODE = 'no_data_found';
    END IF;
    PERFORM pg_notify('token_insert', '');  -- collectors then see the pause
    RETURN QUERY SELECT j.paused_at, (
        SELECT count(*) FROM deliveries d
        WHERE d.queue = p_queue AND d.settled_at IS NULL AND d.state = 'sending' AND d.due_at > now())
    FROM jobs j WHERE j.job_type = p_queue;
END $$;
-- End of mailroom_pause

-- From functions/mailroom_resume.sql: mailroom_resume
-- Ends a pause.
-- Called by: the command resume.
-- Returns: since when the queue was paused; null if it was not.
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
-- End of mailroom_resume

-- From functions/mailroom_lock_actions.sql: mailroom_lock_actions
-- Lets transactions change mailroom_actions one after another, so that each sees the rows of the others. It locks the
-- first action, because only a role that may change the table can do that. Every role could take an advisory lock.
-- Called by: mailroom_action_guarded and mailroom_actions_compiled, with their rights.
-- Returns: nothing. It fails where the isolation level would hide what others have changed.
CREATE FUNCTION mailroom_lock_actions() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') THEN
        RAISE EXCEPTION 'mailroom_actions is changed at isolation level READ COMMITTED only: '
            'this transaction may not see what others have changed'
            USING HINT = 'BEGIN ISOLATION LEVEL READ COMMITTED', ERRCODE = 'invalid_transaction_state';
    END IF;
    PERFORM FROM mailroom_actions m ORDER BY m.number LIMIT 1 FOR UPDATE;
END $$;
-- End of mailroom_lock_actions

-- From functions/mailroom_action_guarded.sql: mailroom_action_guarded
-- Refuses changes of mailroom_actions that would break lines and mailed links. A signature covers prefix, secret and,
-- for some actions, code, with nothing between them. So no prefix may begin with another one. Otherwise a signature for
-- one action could be used for another action.
-- Called by: four triggers of mailroom_actions. Nobody may execute it directly.
-- Returns: the new row.
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
    PERFORM mailroom_lock_actions();
    SELECT prefix INTO other FROM mailroom_actions
    WHERE starts_with(prefix, NEW.prefix) OR starts_with(NEW.prefix, prefix);
    IF FOUND THEN
        RAISE EXCEPTION 'the prefix % and that of another action, %, begin alike: '
            'a signature for one could be taken for the other', NEW.prefix, other
            USING HINT = 'Neither may be the beginning of the other.', ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$;
-- End of mailroom_action_guarded

-- From functions/mailroom_actions_compiled.sql: mailroom_actions_compiled
-- Writes mailroom_actions into three functions: mailroom_action_number, mailroom_action_states and
-- mailroom_action_lifetime. They become a part of every plan that uses them. Reading the table instead would cost a
-- sign-up 4 %, and a claim or a begin 5 %. They are STABLE, because plans would keep the value of an IMMUTABLE one for
-- ever. From PostgreSQL 14 on they are kept parsed, so that a value of token_action or account_status may be renamed.
-- Deliveries that wait for an action are due at once when one is added.
-- Called by: the trigger mailroom_actions_compiled. Nobody may execute it directly.
-- Returns: null, as a statement trigger does.
CREATE OR REPLACE FUNCTION mailroom_actions_compiled() RETURNS trigger
LANGUAGE plpgsql AS $$
DECLARE
    numbers   text;
    states    text;
    lifetimes text;
    body      text := CASE WHEN current_setting('server_version_num')::integer < 140000 THEN ' AS %L'
                           ELSE ' BEGIN ATOMIC %s; END' END;
BEGIN
    PERFORM mailroom_lock_actions();
    -- Each constant is cast by itself, once, when a plan is made. The result of a CASE would be cast for each row.
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
              AND d.state = 'pending' AND d.error_code = 'unlisted'
            ORDER BY d.token FOR UPDATE SKIP LOCKED
        )
        UPDATE deliveries d SET due_at = now() FROM waiting w WHERE d.token = w.token AND d.queue = w.queue;
        IF FOUND THEN
            PERFORM pg_notify('token_insert', '');
        END IF;
    END IF;
    RETURN NULL;
END $$;
-- End of mailroom_actions_compiled

DO $$
DECLARE
    -- hot: the programs call it all the time (the end of 2_steps has the reasons for its settings). asked: an operator
    -- or a monitor calls it (3_operations).
    hot constant text[] := ARRAY[
        'mailroom_look', 'mailroom_claim_any', 'mailroom_extend', 'mailroom_release', 'mailroom_emitted',
        'mailroom_begin', 'mailroom_begin_rows', 'mailroom_settle', 'mailroom_settle_rows', 'mailroom_watch'];
    asked constant text[] := ARRAY[
        'mailroom_retry', 'mailroom_retry_rows', 'mailroom_prune', 'mailroom_queue_status', 'mailroom_pause',
        'mailroom_resume'];
    others constant text[] := ARRAY[
        'mailroom_set_aside', 'mailroom_acknowledge', 'mailroom_action_guarded', 'mailroom_actions_compiled'];
    step record;
    setting text;
    given record;
BEGIN
    -- A function that is replaced loses its settings, and runs no longer as its owner.
    FOR step IN
        SELECT oid::regprocedure AS name, proname = ANY (hot) AS is_hot, proname = ANY (asked) AS is_asked
        FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace AND proname = ANY (hot || asked || others)
    LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp',
                       step.name, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', step.name);
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
    -- Where row-level security hides rows from the owner, what runs as the owner must fail: a token whose account is
    -- hidden would be skipped for good. Not mailroom_announce: each sign-up would pay for the setting, so it checks
    -- that itself.
    FOR step IN
        SELECT oid::regprocedure AS name FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace AND prosecdef AND proname LIKE 'mailroom\_%'
          AND proname <> 'mailroom_announce'
    LOOP
        EXECUTE format('ALTER FUNCTION %s SET row_security = off', step.name);
    END LOOP;
    -- A role that may call a function may also call what the next version of its program calls instead.
    FOR given IN
        SELECT DISTINCT acl.grantee::regrole AS grantee, next.step
        FROM pg_proc p, aclexplode(p.proacl) acl, (VALUES
            ('mailroom_claim_any', 'mailroom_watch'), ('mailroom_begin', 'mailroom_watch'),
            ('mailroom_begin', 'mailroom_begin_rows'), ('mailroom_settle', 'mailroom_settle_rows'),
            ('mailroom_queue', 'mailroom_queue_status'), ('mailroom_retry', 'mailroom_retry_rows'),
            ('mailroom_retry', 'mailroom_pause'), ('mailroom_retry', 'mailroom_resume')) AS next (was, step)
        WHERE p.pronamespace = current_schema()::regnamespace AND p.proname = next.was
          AND acl.privilege_type = 'EXECUTE' AND acl.grantee NOT IN (0, p.proowner)
    LOOP
        EXECUTE format('GRANT EXECUTE ON FUNCTION %I TO %s', given.step, given.grantee);
    END LOOP;
END $$;

-- It reads no table. A database may have taken from PUBLIC what it is given by default.
GRANT EXECUTE ON FUNCTION mailroom_first_reason TO PUBLIC;
