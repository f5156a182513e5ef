-- Back to the two actions that version 0.1 knows. Tokens of others stay; what waits of them has failed, as
-- its programs could not name it. The application must insert no more of them.

UPDATE deliveries d SET state = 'failed', holder = NULL, settled_at = now(),
    error = 'this version does not know the action ' || t.action
FROM tokens t
WHERE t.id = d.token AND d.settled_at IS NULL AND t.action NOT IN ('activation', 'password_recovery');

DROP TRIGGER "00_mailroom_token_lifetime" ON tokens;
DROP FUNCTION mailroom_token_lifetime;
COMMENT ON COLUMN tokens.expires_at IS NULL;

-- As 0_init made them, where it did.
DO $migration$
BEGIN
    IF to_regproc('mailroom_account_inserted') IS NULL THEN
        ALTER TABLE tokens ALTER COLUMN expires_at SET DEFAULT floor(extract(epoch FROM now()))::bigint + 900;
    ELSE
        ALTER TABLE tokens ALTER COLUMN expires_at SET DEFAULT mailroom_epoch() + 900;
        EXECUTE format($function$
CREATE OR REPLACE FUNCTION mailroom_account_inserted() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO %I.tokens (action, account)
    SELECT 'activation', id FROM inserted WHERE status = 'provisioned';
    RETURN NULL;
END $$
        $function$, current_schema());
    END IF;
END $migration$;

-- As 1_ledger and 2_steps made them.
CREATE OR REPLACE FUNCTION mailroom_stale(token_action, expires_at bigint, consumed_at bigint, account_status)
RETURNS text LANGUAGE sql VOLATILE AS $$
    SELECT CASE
        WHEN $3 IS NOT NULL THEN 'the token was consumed'
        WHEN $2 <= extract(epoch FROM clock_timestamp()) THEN 'the token expired'
        WHEN $4 IS DISTINCT FROM (CASE $1 WHEN 'activation' THEN 'provisioned' ELSE 'active' END)::account_status
            THEN 'the account is ' || coalesce($4::text, 'without a status')
    END
$$;

CREATE OR REPLACE FUNCTION mailroom_claim(queue job_type, holder text, lease_ms integer, max_rows integer,
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
DO $$
DECLARE
    step    regprocedure := 'mailroom_claim(job_type, text, integer, integer, timestamptz, bigint)';
    setting text;
BEGIN
    EXECUTE format('ALTER FUNCTION %s SECURITY DEFINER SET search_path = %I, pg_temp', step, current_schema());
    FOREACH setting IN ARRAY ARRAY['enable_seqscan', 'enable_bitmapscan', 'enable_hashjoin',
                                   'enable_mergejoin', 'jit'] LOOP
        EXECUTE format('ALTER FUNCTION %s SET %I = off', step, setting);
    END LOOP;
    EXECUTE format('ALTER FUNCTION %s SET plan_cache_mode = force_generic_plan', step);
END $$;

DROP FUNCTION mailroom_claim_any, mailroom_list_actions, mailroom_action_number, mailroom_action_states,
    mailroom_action_lifetime;
DROP TABLE mailroom_actions;
DROP FUNCTION mailroom_action_guarded, mailroom_actions_compiled;
