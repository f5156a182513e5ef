-- Goes back to the functions of 4_actions. A paused queue continues. The ledger loses the record of which call began
-- which delivery.
--
-- Each function stands here as the migration made it that its line "From" names. `make migrations` writes them.

LOCK TABLE deliveries, jobs IN ACCESS EXCLUSIVE MODE;

DROP FUNCTION mailroom_watch, mailroom_begin_rows, mailroom_settle_rows, mailroom_queue_status, mailroom_pause,
    mailroom_resume, mailroom_retry_rows, mailroom_lock_deliveries, mailroom_lock_actions, mailroom_join_reasons,
    mailroom_first_reason;
ALTER TABLE jobs DROP COLUMN paused_at, DROP COLUMN paused_reason;
ALTER TABLE deliveries DROP COLUMN begun_by, DROP COLUMN error_code;

DO $migration$
BEGIN
    IF to_regproc('mailroom_account_inserted') IS NOT NULL THEN
        EXECUTE format($function$
-- From 4_actions.up.sql: mailroom_account_inserted
CREATE OR REPLACE FUNCTION mailroom_account_inserted() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO %1$I.tokens (action, account, expires_at)
    SELECT 'activation', id, pg_catalog.floor(EXTRACT(epoch FROM pg_catalog.now()))::bigint
                             + %1$I.mailroom_action_lifetime('activation')
    FROM inserted WHERE status = 'provisioned';
    RETURN NULL;
END $$
-- End of mailroom_account_inserted
        $function$, current_schema());
    END IF;
    EXECUTE format($function$
-- From 1_ledger.up.sql: mailroom_announce
CREATE OR REPLACE FUNCTION mailroom_announce() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO %1$I.deliveries (queue, token)
    SELECT j.job_type, i.id FROM inserted i CROSS JOIN %1$I.jobs j;
    IF FOUND THEN
        PERFORM pg_catalog.pg_advisory_xact_lock_shared(1835100524, 1);
        -- One expression, so that no cancelled statement leaves the lock behind.
        IF pg_catalog.pg_try_advisory_lock_shared(1835100524, 2)
           AND pg_catalog.pg_advisory_unlock_shared(1835100524, 2) THEN
            PERFORM pg_catalog.pg_notify('token_insert', '');
        END IF;
    END IF;
    RETURN NULL;
END $$
-- End of mailroom_announce
    $function$, current_schema());
END $migration$;

-- From 2_steps.up.sql: mailroom_look
CREATE OR REPLACE FUNCTION mailroom_look(queue job_type, max_rows integer)
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
-- End of mailroom_look

-- From 4_actions.up.sql: mailroom_claim_any
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
-- End of mailroom_claim_any

-- From 2_steps.up.sql: mailroom_extend
CREATE OR REPLACE FUNCTION mailroom_extend(queue job_type, holder text, lease_ms integer, tokens bigint[])
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
-- End of mailroom_extend

-- From 2_steps.up.sql: mailroom_release
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
-- End of mailroom_release

-- From 2_steps.up.sql: mailroom_emitted
CREATE OR REPLACE FUNCTION mailroom_emitted(queue job_type, holder text, tokens bigint[])
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
-- End of mailroom_emitted

-- From 2_steps.up.sql: mailroom_set_aside
CREATE OR REPLACE FUNCTION mailroom_set_aside(queue job_type, holder text, tokens bigint[], reasons text[])
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
-- End of mailroom_set_aside

-- From 2_steps.up.sql: mailroom_acknowledge
CREATE OR REPLACE FUNCTION mailroom_acknowledge(queue job_type)
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
-- End of mailroom_acknowledge

-- From 2_steps.up.sql: mailroom_begin
CREATE OR REPLACE FUNCTION mailroom_begin(queue job_type, holder text, lease_ms integer, secrets bytea[])
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
-- End of mailroom_begin

-- From 2_steps.up.sql: mailroom_settle
CREATE OR REPLACE FUNCTION mailroom_settle(queue job_type, holder text, tokens bigint[],
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
-- End of mailroom_settle

-- From 3_operations.up.sql: mailroom_retry
CREATE OR REPLACE FUNCTION mailroom_retry(queue job_type, tokens bigint[], dry boolean)
RETURNS TABLE (token bigint, refused text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    IF NOT $3 THEN
        PERFORM FROM deliveries d WHERE d.queue = $1 AND d.token = ANY ($2) ORDER BY d.token FOR UPDATE;
    END IF;
    RETURN QUERY
    WITH judged AS MATERIALIZED (
        SELECT asked.token, CASE
            WHEN d.token IS NULL THEN 'no such token in this queue'
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
-- End of mailroom_retry

-- From 3_operations.up.sql: mailroom_prune
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
    ), removed AS (
        DELETE FROM deliveries d USING looked l
        WHERE NOT $5 AND l.is_over AND d.queue = $1 AND d.token = l.token AND d.settled_at < before
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
-- End of mailroom_prune

-- From 4_actions.up.sql: mailroom_action_guarded
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
    PERFORM pg_advisory_xact_lock(1835100524, 3);  -- one after the other, so that each sees the others' rows
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

-- From 4_actions.up.sql: mailroom_actions_compiled
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
    PERFORM pg_advisory_xact_lock(1835100524, 3);
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
            ORDER BY d.token FOR UPDATE
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
    hot constant text[] := ARRAY[
        'mailroom_look', 'mailroom_claim_any', 'mailroom_extend', 'mailroom_release', 'mailroom_emitted',
        'mailroom_begin', 'mailroom_settle'];
    asked constant text[] := ARRAY[
        'mailroom_retry', 'mailroom_prune'];
    others constant text[] := ARRAY[
        'mailroom_set_aside', 'mailroom_acknowledge', 'mailroom_action_guarded', 'mailroom_actions_compiled'];
    step record;
    setting text;
BEGIN
    FOR step IN
        SELECT oid::regprocedure AS name FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace AND prosecdef AND proname LIKE 'mailroom\_%'
          AND proname <> 'mailroom_announce'
    LOOP
        EXECUTE format('ALTER FUNCTION %s RESET row_security', step.name);
    END LOOP;
    FOR step IN
        SELECT oid::regprocedure AS name, proname = ANY (hot) AS is_hot, proname = ANY (asked) AS is_asked
        FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace AND proname = ANY (hot || asked || others)
    LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp',
                       step.name, current_schema());
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
END $$;
