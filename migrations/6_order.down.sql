-- Goes back to the functions of 5_guards. What waits queues by its age alone.
--
-- Each function stands here as the migration made it that its line "From" names. `make migrations` writes them.

LOCK TABLE tokens, deliveries IN ACCESS EXCLUSIVE MODE;
LOCK TABLE mailroom_actions, mailroom_senders IN ACCESS EXCLUSIVE MODE;

DO $$
BEGIN
    PERFORM set_config('enable_seqscan', 'off', true);  -- reads the index of what is not settled, not the whole table
    UPDATE deliveries d SET due_at = d.queued_at
    WHERE d.queue IN (SELECT job_type FROM jobs) AND d.settled_at IS NULL AND d.state = 'pending'
      AND d.due_at = mailroom_due_from(d.queued_at, d.head_start);
    PERFORM set_config('enable_seqscan', 'on', true);
END $$;

DROP FUNCTION mailroom_put_in_place, mailroom_replaced, mailroom_limited, mailroom_lock_accounts, mailroom_may_mail,
    mailroom_due, mailroom_held, mailroom_action_settings, mailroom_give_back, mailroom_share_rate,
    mailroom_place, mailroom_turns, mailroom_outlook, mailroom_show;
DROP TABLE mailroom_senders;

DO $migration$
BEGIN
    IF to_regproc('mailroom_account_inserted') IS NOT NULL THEN
        EXECUTE format($function$
-- From 5_guards.up.sql: mailroom_account_inserted
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
-- From 4_actions.up.sql: mailroom_token_lifetime
CREATE OR REPLACE FUNCTION mailroom_token_lifetime() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    NEW.expires_at := pg_catalog.floor(EXTRACT(epoch FROM pg_catalog.now()))::bigint
                      + %I.mailroom_action_lifetime(NEW.action);
    RETURN NEW;
END $$
-- End of mailroom_token_lifetime
    $function$, current_schema());
    EXECUTE format($function$
-- From 5_guards.up.sql: mailroom_announce
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

-- From 5_guards.up.sql: mailroom_actions_compiled
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

-- From 5_guards.up.sql: mailroom_claim_any
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

-- From 5_guards.up.sql: mailroom_release
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

-- From 5_guards.up.sql: mailroom_begin_rows
CREATE OR REPLACE FUNCTION mailroom_begin_rows(p_queue job_type, p_holder text, p_lease_ms integer,
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

-- From 5_guards.up.sql: mailroom_settle_rows
CREATE OR REPLACE FUNCTION mailroom_settle_rows(p_queue job_type, p_holder text, p_tokens bigint[],
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

-- From 5_guards.up.sql: mailroom_retry_rows
CREATE OR REPLACE FUNCTION mailroom_retry_rows(p_queue job_type, p_tokens bigint[], p_dry boolean)
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

-- From 5_guards.up.sql: mailroom_acknowledge
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

-- From 3_operations.up.sql: mailroom_not_mailed
CREATE OR REPLACE FUNCTION mailroom_not_mailed(queue job_type, tokens bigint[], whose text, why text,
                                    since timestamptz, until timestamptz, max_rows integer)
RETURNS TABLE (token bigint, action text, account bigint, login text, email text, state text, error text,
               attempts integer, doubts integer, queued_at timestamptz, settled_at timestamptz, stale text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    asked bigint[] := $2;
    back  interval;
    begins timestamptz := coalesce($5, '-infinity');
    found_rows integer;
BEGIN
    IF $3 IS NOT NULL THEN
        SELECT coalesce(array_agg(t.id), '{}') INTO asked
        FROM tokens t
        WHERE t.account IN (
                SELECT a.id FROM accounts a WHERE a.login = $3
                UNION ALL SELECT a.id FROM accounts a WHERE a.email = $3
                UNION ALL SELECT a.id FROM accounts a WHERE $3 ~ '^[0-9]{1,18}$' AND a.id = $3::bigint)
          AND ($2 IS NULL OR t.id = ANY ($2));
    ELSIF $2 IS NULL AND $7 IS NOT NULL THEN
        -- No index has the newest first: look further and further back, until there are enough.
        FOREACH back IN ARRAY '{1 hour,1 day,7 days,30 days}'::interval[] LOOP
            EXIT WHEN now() - back <= begins;
            SELECT count(*) INTO found_rows FROM (
                SELECT FROM deliveries d
                WHERE d.queue = $1 AND d.settled_at > now() - back AND d.settled_at < coalesce($6, 'infinity')
                  AND d.state IN ('failed', 'skipped')
                  AND ($4 IS NULL OR mailroom_reason(d.error) = $4 OR strpos(lower(d.error), lower($4)) > 0)
                LIMIT $7) enough;
            IF found_rows = $7 THEN
                begins := now() - back;
                EXIT;
            END IF;
        END LOOP;
    END IF;
    RETURN QUERY
    WITH chosen AS MATERIALIZED (
        SELECT d.token FROM deliveries d WHERE asked IS NOT NULL AND d.token = ANY (asked) AND d.queue = $1
        UNION ALL
        SELECT d.token FROM deliveries d WHERE asked IS NULL AND d.queue = $1 AND d.settled_at >= begins
          AND d.state IN ('failed', 'skipped')
    ), newest AS MATERIALIZED (
        SELECT d.* FROM chosen c JOIN deliveries d ON d.queue = $1 AND d.token = c.token
        WHERE d.state IN ('failed', 'skipped') AND d.settled_at >= begins AND d.settled_at < coalesce($6, 'infinity')
          AND ($4 IS NULL OR mailroom_reason(d.error) = $4 OR strpos(lower(d.error), lower($4)) > 0)
        ORDER BY d.settled_at DESC, d.token DESC LIMIT $7
    )
    SELECT n.token, t.action::text, a.id, a.login::text, a.email::text, n.state::text, n.error, n.attempts, n.doubts,
           coalesce(n.queued_at, to_timestamp(t.created_at)), n.settled_at,
           CASE WHEN t.id IS NULL THEN 'the token is gone'
                ELSE mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status) END
    FROM newest n LEFT JOIN tokens t ON t.id = n.token LEFT JOIN accounts a ON a.id = t.account
    ORDER BY n.settled_at DESC, n.token DESC;
END $$;
-- End of mailroom_not_mailed

-- From 3_operations.up.sql: mailroom_oldest
CREATE OR REPLACE FUNCTION mailroom_oldest(queue job_type)
RETURNS TABLE (token bigint, queued_at timestamptz, expires_at timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    WITH unsettled AS MATERIALIZED (
        SELECT d.token, d.queued_at FROM deliveries d WHERE d.queue = $1 AND d.settled_at IS NULL
    )
    SELECT u.token, coalesce(u.queued_at, to_timestamp(t.created_at)), to_timestamp(t.expires_at)
    -- Sorted before the join as well: so it looks up tokens one by one, and ends at the first.
    FROM (SELECT * FROM unsettled ORDER BY token) u
        JOIN tokens t ON t.id = u.token JOIN accounts a ON a.id = t.account
    WHERE mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status) IS NULL
    ORDER BY u.token LIMIT 1;
END $$;
-- End of mailroom_oldest

-- From 3_operations.up.sql: mailroom_unsettled
CREATE OR REPLACE FUNCTION mailroom_unsettled(queue job_type)
RETURNS TABLE (state text, holder text, due boolean, deliveries bigint, first_due timestamptz, last_due timestamptz)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY
    SELECT d.state::text,
           -- Of a sender each batch has a name of its own, which begins with that of the process.
           CASE WHEN d.state <> 'pending' THEN regexp_replace(d.holder, '^(send:.*):[0-9]+$', '\1') END,
           d.due_at <= now(), count(*), min(d.due_at), max(d.due_at)
    FROM deliveries d
    WHERE d.queue = $1 AND d.settled_at IS NULL
    GROUP BY 1, 2, 3;
END $$;
-- End of mailroom_unsettled

-- Writes the functions of the actions as 5_guards has them, before the others go.
UPDATE mailroom_actions SET lifetime = lifetime;
DROP FUNCTION mailroom_due_from, mailroom_action_longest_life, mailroom_action_life_from_mail,
    mailroom_action_head_start, mailroom_action_newest_only, mailroom_action_most_mails, mailroom_action_most_within,
    mailroom_action_urgent, mailroom_has_urgent;
ALTER TABLE deliveries DROP COLUMN head_start, DROP COLUMN lifetime;
COMMENT ON COLUMN deliveries.due_at IS 'pending: when to claim it; claimed, sending: when the lease ends';
ALTER TABLE mailroom_actions DROP COLUMN head_start, DROP COLUMN newest_only, DROP COLUMN most_mails,
    DROP COLUMN most_within, DROP COLUMN life_from, DROP COLUMN longest_wait, DROP COLUMN urgent;
CREATE INDEX IF NOT EXISTS tokens_account ON tokens (account);
DROP INDEX tokens_account_action;

DO $$
DECLARE
    hot constant text[] := ARRAY[
        'mailroom_claim_any', 'mailroom_release', 'mailroom_begin_rows', 'mailroom_settle_rows'];
    asked constant text[] := ARRAY[
        'mailroom_retry_rows', 'mailroom_not_mailed', 'mailroom_oldest', 'mailroom_unsettled'];
    others constant text[] := ARRAY[
        'mailroom_acknowledge', 'mailroom_actions_compiled'];
    step record;
    setting text;
BEGIN
    FOR step IN
        SELECT oid::regprocedure AS name, proname = ANY (hot) AS is_hot, proname = ANY (asked) AS is_asked
        FROM pg_proc
        WHERE pronamespace = current_schema()::regnamespace AND proname = ANY (hot || asked || others)
    LOOP
        EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp',
                       step.name, current_schema());
        EXECUTE format('REVOKE ALL ON FUNCTION %s FROM PUBLIC', step.name);
        EXECUTE format('ALTER FUNCTION %s SET row_security = off', step.name);
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
