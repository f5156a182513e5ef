-- The fence before a call to SES: which of these secrets the holder may send now, and is the only one to send for
-- p_lease_ms. p_emails are the addresses that the mails would go to, in UTF-8 and in the order of the secrets; a null
-- is not compared. A delivery that goes back loses no attempt. If the life of a token begins with its mail, the first
-- begin sets expires_at.
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
CREATE OR REPLACE FUNCTION mailroom_begin_rows(p_queue job_type, p_holder text, p_lease_ms integer,
                                               p_secrets bytea[], p_emails bytea[])
RETURNS TABLE (place bigint, token bigint, attempt integer, code text, reason text)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
    readdressed constant text := 'its account has another address now';
    is_ascii constant boolean := getdatabaseencoding() = 'SQL_ASCII';
    ids       bigint[];
    not_alone bigint[];  -- those whose action has most_mails and whose account has other tokens of it
    ours      bigint[];
    lives_from_mail boolean;
BEGIN
    IF p_lease_ms > 86400000 THEN
        RAISE EXCEPTION 'a lease may last for 1 day at most' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    IF current_setting('synchronous_commit') = 'off' THEN
        PERFORM set_config('synchronous_commit', 'on', true);  -- lost in a crash, it would be mailed twice
    END IF;
    -- In order, because the index is then read faster by them.
    SELECT coalesce(array_agg(t.id ORDER BY t.id), '{}'),
           array_agg(t.id) FILTER (WHERE mailroom_action_most_mails(t.action) IS NOT NULL
                                     AND EXISTS (SELECT FROM tokens o WHERE o.account = t.account
                                                   AND o.action = t.action AND o.id <> t.id))
    INTO ids, not_alone
    FROM tokens t WHERE t.secret = ANY (p_secrets);
    -- The rows are locked first. Then they are judged by what is committed when they are locked, because each statement
    -- here has its own snapshot.
    SELECT coalesce(array_agg(l.token), '{}'), bool_or(l.lifetime IS NOT NULL AND l.attempts = 0)
    INTO ours, lives_from_mail
    FROM (SELECT d.token, d.lifetime, d.attempts FROM deliveries d
          WHERE d.queue = p_queue AND d.token = ANY (ids) ORDER BY d.token FOR UPDATE SKIP LOCKED) l;
    -- The delivery of a token that is alone is the lock of its account.
    IF not_alone IS NOT NULL THEN
        ours := mailroom_lock_accounts(p_queue, ours, not_alone);
    END IF;
    IF lives_from_mail THEN
        ours := ARRAY (SELECT t.id FROM tokens t WHERE t.id = ANY (ours) FOR NO KEY UPDATE SKIP LOCKED);
    END IF;
    RETURN QUERY
    WITH asked AS MATERIALIZED (
        SELECT s.secret, min(s.place) AS place
        FROM unnest(p_secrets) WITH ORDINALITY AS s (secret, place) GROUP BY s.secret
    ), found AS MATERIALIZED (
        SELECT p.place, t.id AS token, t.account, t.action, t.expires_at, t.consumed_at, a.status,
               -- As bytes, because an address may not be valid text, and one such row would stop the whole call.
               p_emails[p.place] <> CASE WHEN is_ascii THEN decode(replace(a.email, '\', '\\'), 'escape')
                                         ELSE convert_to(a.email, 'UTF8') END AS has_changed
        FROM tokens t CROSS JOIN LATERAL (SELECT array_position(p_secrets, t.secret) AS place) p
            -- OFFSET 0 keeps the planner from a join: each account is read by its key.
            LEFT JOIN LATERAL (SELECT a.status, a.email::text FROM accounts a WHERE a.id = t.account OFFSET 0) a ON true
        WHERE t.id = ANY (ids)
    ), seen AS MATERIALIZED (
        SELECT f.place, f.has_changed, d.token, d.state, d.holder, d.due_at,
               coalesce(
                   mailroom_stale(f.action, f.expires_at, f.consumed_at, f.status),
                   CASE WHEN f.token = ANY (not_alone)
                        THEN mailroom_limited(p_queue, f.token, f.account, f.action) END) AS stale,
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
                ELSE mailroom_due_from(d.queued_at, d.head_start) END,
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
    IF lives_from_mail THEN
        UPDATE tokens t SET expires_at = least(t.expires_at, floor(extract(epoch FROM clock_timestamp())) + d.lifetime)
        FROM deliveries d
        WHERE d.queue = p_queue AND d.token = ANY (ours) AND d.state = 'sending' AND d.holder = p_holder
          AND d.attempts = 1 AND d.lifetime IS NOT NULL AND t.id = d.token;
    END IF;
END $$;
