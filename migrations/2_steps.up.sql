-- The steps of a delivery, the only way in which the two programs touch the ledger:
--
--   look, claim, extend, release, emitted, set_aside, attend, leave    the collector's
--   acknowledge, begin, settle                                         the sender's
--
-- A function here is never changed in place once released: a later migration adds a new one.
-- All run as their owner with a pinned search_path, and PUBLIC may execute none, so a role
-- can be given a step without any right to a table.
--
-- Losing a claim, an extension or a release in a crash of the server only means that a row
-- is handed out again, so those commit without waiting for the disk; the others wait.

-- What waits: how many deliveries are due now (counted up to max_rows), and in how many ms
-- the next one will be (null: nothing else is unsettled). "attended": another session attends,
-- so that inserts do not ring (1_ledger, "The bell").
CREATE FUNCTION mailroom_look(queue job_type, max_rows integer)
RETURNS TABLE (waiting integer, next_due_ms bigint, attended boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY SELECT
        (SELECT count(*)::integer FROM (
            SELECT FROM deliveries d
            WHERE d.queue = $1 AND d.settled_at IS NULL AND d.due_at <= now() LIMIT $2) due),
        (SELECT ceil(1000 * extract(epoch FROM min(d.due_at) - now()))::bigint
            FROM deliveries d
            WHERE d.queue = $1 AND d.settled_at IS NULL AND d.due_at > now()),
        NOT (pg_try_advisory_lock_shared(1835100524, 2) AND pg_advisory_unlock_shared(1835100524, 2));
END $$;

-- Takes up to max_rows due deliveries for the holder, oldest first, leased for lease_ms.
-- A stale one is skipped for good and returned with the reason in "stale". "doubt": its last
-- sender began it and was never heard of again, so it may arrive twice. "acknowledged":
-- senders of this queue settle what they send. With after_due and after_token, the due_at and
-- token of the last row of the claim before, it begins behind that row: what was taken before it
-- is not walked over again, also when a snapshot elsewhere keeps the dead rows. What becomes due
-- in front of it is found by a claim without.
CREATE FUNCTION mailroom_claim(queue job_type, holder text, lease_ms integer, max_rows integer,
                               after_due timestamptz DEFAULT NULL, after_token bigint DEFAULT NULL)
RETURNS TABLE (token bigint, action token_action, email text, login text, secret bytea,
               code text, stale text, doubt boolean, acknowledged boolean, due_at timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    PERFORM set_config('synchronous_commit', 'off', true);
    RETURN QUERY
    WITH due AS MATERIALIZED (
        -- A fence: joined directly, an UPDATE could touch more rows than the limit.
        SELECT d.token, d.state, d.due_at
        FROM deliveries d
        WHERE d.queue = $1 AND d.settled_at IS NULL AND d.due_at <= now()
          AND (d.due_at, d.token) > (coalesce($5, '-infinity'), coalesce($6, 0))
        ORDER BY d.due_at, d.token
        LIMIT $4 FOR UPDATE SKIP LOCKED
    ), judged AS MATERIALIZED (
        SELECT due.token, due.due_at, due.state = 'sending' AS doubt, t.action, a.email, a.login,
               t.secret, t.code,
               CASE WHEN t.id IS NULL THEN 'the token is gone'
                    ELSE mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status) END AS stale
        FROM due LEFT JOIN tokens t ON t.id = due.token LEFT JOIN accounts a ON a.id = t.account
    ), taken AS (
        UPDATE deliveries d SET
            state = CASE WHEN j.stale IS NULL THEN 'claimed' ELSE 'skipped' END::delivery_state,
            holder = $2,
            due_at = CASE WHEN j.stale IS NULL THEN now() + $3 * interval '1 ms' ELSE d.due_at END,
            doubts = d.doubts + j.doubt::integer,
            error = coalesce(j.stale || coalesce('; last try: ' || d.error, ''), d.error),
            settled_at = CASE WHEN j.stale IS NOT NULL THEN now() END
        FROM judged j
        WHERE d.queue = $1 AND d.token = j.token
        RETURNING j.*
    ), handed_out AS (
        UPDATE jobs SET last_seq = newest.token
        FROM (SELECT max(j.token) AS token FROM judged j WHERE j.stale IS NULL) newest
        WHERE job_type = $1 AND coalesce(last_seq, 0) < newest.token
    )
    SELECT t.token, t.action, t.email::text, t.login::text, t.secret, t.code::text, t.stale, t.doubt,
           (SELECT q.acknowledged_at IS NOT NULL FROM jobs q WHERE q.job_type = $1), t.due_at
    FROM taken t
    ORDER BY t.due_at, t.token;
END $$;

-- Renews the lease of those tokens that the holder still has claimed, and returns them.
CREATE FUNCTION mailroom_extend(queue job_type, holder text, lease_ms integer, tokens bigint[])
RETURNS SETOF bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    held bigint[];
BEGIN
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

-- Gives back, at once, what the holder has claimed; returns how many that were.
CREATE FUNCTION mailroom_release(queue job_type, holder text, tokens bigint[])
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
        ORDER BY d.token FOR UPDATE
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

-- The reader took these rows, and no sender of this queue acknowledges: they are done as far
-- as anybody can know. Returns how many; none once a sender acknowledges.
CREATE FUNCTION mailroom_emitted(queue job_type, holder text, tokens bigint[])
RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    emitted integer;
BEGIN
    -- Waits for a sender that is about to acknowledge, so that its takeover misses none; but not
    -- for a claim, which moves last_seq.
    PERFORM FROM jobs q WHERE q.job_type = $1 AND q.acknowledged_at IS NULL FOR KEY SHARE;
    IF NOT FOUND THEN
        RETURN 0;
    END IF;
    UPDATE deliveries d SET state = 'emitted', settled_at = now()
    WHERE d.queue = $1 AND d.token = ANY ($3) AND d.state = 'claimed' AND d.holder = $2;
    GET DIAGNOSTICS emitted = ROW_COUNT;
    RETURN emitted;
END $$;

-- What the holder has claimed but can't sign or print has failed, each with its reason.
CREATE FUNCTION mailroom_set_aside(queue job_type, holder text, tokens bigint[], reasons text[])
RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    aside integer;
BEGIN
    UPDATE deliveries d SET state = 'failed', error = r.reason, settled_at = now()
    FROM unnest($3, $4) AS r (token, reason)
    WHERE d.queue = $1 AND d.token = r.token AND d.token = ANY ($3) AND d.state = 'claimed' AND d.holder = $2;
    GET DIAGNOSTICS aside = ROW_COUNT;
    RETURN aside;
END $$;

-- Inserts need not ring from now on: the caller looks by itself, every few ms, as long as this
-- session lasts or until it leaves (1_ledger, "The bell"). False: another session attends.
-- Rings once for all, as inserts will not: others may help, or stay awake too. Called again with
-- true by who attends already, it only rings.
CREATE FUNCTION mailroom_attend(already boolean) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF NOT $1 AND NOT pg_try_advisory_lock(1835100524, 2) THEN
        RETURN false;
    END IF;
    PERFORM pg_notify('token_insert', '');
    RETURN true;
END $$;

-- Inserts must ring again. True: those that did not have all ended, so that who looks once more now
-- may sleep. False: look on, and ask again, with false from then on.
CREATE FUNCTION mailroom_leave(attending boolean) RETURNS boolean
LANGUAGE plpgsql AS $$
BEGIN
    IF $1 THEN
        PERFORM pg_advisory_unlock(1835100524, 2);
    END IF;
    RETURN pg_try_advisory_lock(1835100524, 1) AND pg_advisory_unlock(1835100524, 1);
END $$;

-- A sender says that it settles what it sends. The first one to say so takes over what was
-- emitted and may still be mailed; returns how many deliveries that were.
CREATE FUNCTION mailroom_acknowledge(queue job_type)
RETURNS integer
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    is_first   boolean;
    taken_over integer := 0;
BEGIN
    SELECT q.acknowledged_at IS NULL INTO is_first FROM jobs q WHERE q.job_type = $1 FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no row % in jobs', $1 USING ERRCODE = 'no_data_found';
    END IF;
    UPDATE jobs SET acknowledged_at = now() WHERE job_type = $1;
    IF is_first THEN
        UPDATE deliveries d SET state = 'pending', holder = NULL, due_at = now(), settled_at = NULL
        FROM tokens t JOIN accounts a ON a.id = t.account
        WHERE d.queue = $1 AND d.state = 'emitted' AND t.id = d.token
          AND mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status) IS NULL;
        GET DIAGNOSTICS taken_over = ROW_COUNT;
        IF taken_over > 0 THEN
            PERFORM pg_notify('token_insert', '');
        END IF;
    END IF;
    RETURN taken_over;
END $$;

-- The fence before a call to SES: which of these secrets the holder may send, now, and is
-- the only one to send for lease_ms. One row for each different secret, with its first place
-- in the array (from 1): its token, and null or why it may not be sent. To begin again what
-- the holder has already begun is allowed, and renews the lease.
CREATE FUNCTION mailroom_begin(queue job_type, holder text, lease_ms integer, secrets bytea[])
RETURNS TABLE (place bigint, token bigint, attempt integer, refused text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    ids  bigint[] := ARRAY (
        SELECT d.token FROM deliveries d
        WHERE d.queue = $1 AND d.token = ANY (ARRAY (SELECT t.id FROM tokens t WHERE t.secret = ANY ($4))));
    ours bigint[];
BEGIN
    -- First lock the rows, then judge: by what is committed when they are ours, not by what was before (each
    -- statement here sees a snapshot of its own). Who has one of them is waited for: another step has it for
    -- moments. But not for long, as a transaction of the application may stay open for hours.
    ours := ARRAY (
        SELECT d.token FROM deliveries d
        WHERE d.queue = $1 AND d.token = ANY (ids) ORDER BY d.token FOR UPDATE SKIP LOCKED);
    IF cardinality(ours) < cardinality(ids) THEN
        BEGIN
            PERFORM set_config('lock_timeout', least(3000, $3 / 8)::text, true);
            PERFORM FROM deliveries d WHERE d.queue = $1 AND d.token = ANY (ids) ORDER BY d.token FOR UPDATE;
            PERFORM set_config('lock_timeout', '0', true);
            ours := ids;
        EXCEPTION WHEN lock_not_available THEN
            NULL;  -- those that were not locked are still ours
        END;
    END IF;
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT s.secret, min(s.place) AS place
        FROM unnest($4) WITH ORDINALITY AS s (secret, place) GROUP BY s.secret
    ), found AS MATERIALIZED (
        SELECT array_position($4, t.secret) AS place, t.id AS token, t.action, t.expires_at, t.consumed_at,
               (SELECT a.status FROM accounts a WHERE a.id = t.account) AS status
        FROM tokens t WHERE t.id = ANY (ids)
    ), judged AS MATERIALIZED (
        SELECT f.place, d.token, d.state = 'sending' AS again,
            CASE
                WHEN d.token <> ALL (ours) THEN 'locked by another transaction'
                WHEN d.state IN ('sent', 'failed', 'skipped') THEN 'already ' || d.state
                WHEN d.state = 'sending' AND d.holder IS DISTINCT FROM $2 THEN 'another call has begun it'
                WHEN d.state = 'pending' AND d.due_at > now() THEN 'it is to be tried again later'
            END AS refused,
            mailroom_stale(f.action, f.expires_at, f.consumed_at, f.status) AS stale
        FROM found f JOIN deliveries d ON d.queue = $1 AND d.token = f.token
        WHERE d.token = ANY (ids)
    ), begun AS (
        UPDATE deliveries d SET
            state = CASE WHEN j.stale IS NULL THEN 'sending' ELSE 'skipped' END::delivery_state,
            holder = $2,
            attempts = d.attempts + (j.stale IS NULL AND NOT j.again)::integer,
            due_at = CASE WHEN j.stale IS NULL THEN clock_timestamp() + $3 * interval '1 ms' ELSE d.due_at END,
            error = coalesce(j.stale || coalesce('; last try: ' || d.error, ''), d.error),
            settled_at = CASE WHEN j.stale IS NOT NULL THEN now() END
        FROM judged j
        WHERE d.queue = $1 AND d.token = j.token AND d.token = ANY (ids) AND j.refused IS NULL
        RETURNING d.token, d.attempts
    )
    SELECT asked.place, j.token, begun.attempts,
           CASE WHEN j.token IS NULL THEN 'no such token in this queue'
                ELSE coalesce(j.refused, j.stale) END
    FROM asked LEFT JOIN judged j ON j.place = asked.place
        LEFT JOIN begun ON begun.token = j.token
    ORDER BY asked.place;
END $$;

-- sent; failed; later (again after delay_ms); unknown (the same, but SES may have taken it);
-- release (not tried: again at once).
CREATE TYPE delivery_outcome AS ENUM ('sent', 'failed', 'later', 'unknown', 'release');

-- What became of what the holder began. Returns the tokens that are settled so; one that is
-- missing was no longer held. Told twice, it answers the same. That a row was sent is recorded
-- also after its lease, as long as no other sender has begun it: so it is not sent twice.
-- A delay never takes more than half of the life that a token has left, or 1 s.
CREATE FUNCTION mailroom_settle(queue job_type, holder text, tokens bigint[],
                                outcomes delivery_outcome[], message_ids text[], errors text[],
                                delays_ms integer[])
RETURNS SETOF bigint
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    done bigint[];
BEGIN
    WITH told AS MATERIALIZED (
        SELECT * FROM unnest($3, $4, $5, $6, $7) AS o (token, outcome, message_id, error, delay_ms)
    ), held AS MATERIALIZED (
        SELECT o.* FROM deliveries d JOIN told o ON o.token = d.token
        WHERE d.queue = $1 AND d.token = ANY ($3)
          AND (d.state = 'sending' AND d.holder = $2
               OR d.state NOT IN ('sending', 'sent', 'failed') AND o.outcome = 'sent')
        ORDER BY d.token FOR UPDATE OF d
    ), settled AS (
        UPDATE deliveries d SET
            state = CASE WHEN o.outcome IN ('sent', 'failed') THEN o.outcome::text ELSE 'pending' END::delivery_state,
            attempts = d.attempts - (o.outcome = 'release')::integer,
            doubts = d.doubts + (o.outcome = 'unknown')::integer,
            holder = $2,
            due_at = CASE WHEN o.outcome IN ('sent', 'failed') THEN d.due_at
                          ELSE now() + least(coalesce(o.delay_ms, 0) * interval '1 ms', greatest(interval '1 s',
                               (SELECT (to_timestamp(t.expires_at) - now()) / 2 FROM tokens t WHERE t.id = d.token)))
                          END,
            message_id = o.message_id,
            error = o.error,
            settled_at = CASE WHEN o.outcome IN ('sent', 'failed') THEN now() END
        FROM held o
        WHERE d.queue = $1 AND d.token = o.token AND d.token = ANY ($3)
        RETURNING d.token
    )
    SELECT coalesce(array_agg(settled.token), '{}') INTO done FROM settled;
    IF cardinality(done) < cardinality($3) THEN
        done := done || ARRAY (  -- what was told before
            SELECT d.token FROM deliveries d JOIN unnest($3, $4) AS o (token, outcome) ON o.token = d.token
            WHERE d.queue = $1 AND d.token = ANY ($3) AND d.token <> ALL (done) AND d.holder = $2
              AND d.state = CASE WHEN o.outcome IN ('sent', 'failed') THEN o.outcome::text ELSE 'pending'
                            END::delivery_state);
    END IF;
    IF $4 && '{later,unknown,release}' THEN
        PERFORM pg_notify('token_insert', '');
    END IF;
    RETURN QUERY SELECT unnest(done);
END $$;

DO $$
DECLARE
    step    regprocedure;
    setting text;
BEGIN
    FOR step IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace
          AND proname IN ('mailroom_look', 'mailroom_claim', 'mailroom_extend', 'mailroom_release',
                          'mailroom_emitted', 'mailroom_set_aside', 'mailroom_attend', 'mailroom_leave',
                          'mailroom_acknowledge', 'mailroom_begin', 'mailroom_settle')
    LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp',
                       step, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', step);
    END LOOP;
    -- These must cost the same whatever the tables hold: row by row, by index, without planning anew.
    -- A planner that guesses how many of a LIMIT come would read whole tables instead; and one that plans while a
    -- table is empty would later read its whole index, but for "= ANY" beside a join, or a subquery for each row.
    FOR step IN
        SELECT oid FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace
          AND proname IN ('mailroom_look', 'mailroom_claim', 'mailroom_extend', 'mailroom_release',
                          'mailroom_emitted', 'mailroom_begin', 'mailroom_settle')
    LOOP
        FOREACH setting IN ARRAY ARRAY['enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin',
                                       'enable_mergejoin', 'jit'] LOOP
            EXECUTE format('ALTER FUNCTION %s SET %I = off', step, setting);
        END LOOP;
        EXECUTE format('ALTER FUNCTION %s SET plan_cache_mode = force_generic_plan', step);
    END LOOP;
END $$;
