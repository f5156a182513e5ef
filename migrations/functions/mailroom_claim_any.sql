-- Claims up to max_rows due deliveries for the holder, with a lease of lease_ms, in the order of due_at. For a new
-- delivery that is when it was queued, less its head start (mailroom_due_from). One that has come back, such as a retry
-- that is due, first gets its place again. A paused queue gives nothing.
--  - A stale delivery is skipped for good.
--  - A delivery whose action is not in mailroom_actions waits for as long as its token is old, but 5 s to 60 s. So many
--    of them cost little. The wait ends when the action is added. Until then the error_code is 'unlisted'.
--  - A delivery whose action has a number above "newest" is for another collector, and waits for 1 s to 15 s.
--
-- With after_due and after_token (the due_at and token of the last row of the claim before) it begins behind that row.
-- So it does not read the dead rows of earlier claims again, which another session's snapshot may keep. A claim without
-- the two finds deliveries that became due in front of that row, and those that have come back.
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
    -- A new delivery is due from before this. Due later means that it has come back.
    new_until     constant timestamptz := now() - interval '1 hour';
BEGIN
    IF p_lease_ms > 86400000 THEN
        RAISE EXCEPTION 'a lease may last for 1 day at most' USING ERRCODE = 'invalid_parameter_value';
    END IF;
    PERFORM set_config('synchronous_commit', 'off', true);
    IF p_after_due IS NULL THEN
        PERFORM mailroom_put_in_place(p_queue, p_max_rows);
    END IF;
    RETURN QUERY
    WITH due AS MATERIALIZED (
        -- MATERIALIZED: joined directly, an UPDATE could change more rows than the limit.
        SELECT d.queue, d.token, d.state, d.due_at
        FROM deliveries d
        WHERE d.queue = p_queue AND d.settled_at IS NULL AND d.due_at <= new_until
          AND (d.due_at, d.token) > (coalesce(p_after_due, '-infinity'), coalesce(p_after_token, 0))
          AND (SELECT q.paused_at FROM jobs q WHERE q.job_type = p_queue) IS NULL
        ORDER BY d.due_at, d.token
        LIMIT p_max_rows FOR UPDATE SKIP LOCKED
    ), judged AS MATERIALIZED (
        SELECT due.queue, due.token, due.due_at, due.state = 'sending' AS doubt,
               mailroom_action_number(t.action) AS number, a.email, a.login, t.secret, t.code,
               extract(epoch FROM now())::float8 - t.created_at AS age,
               CASE WHEN t.id IS NULL THEN 'the token is gone'
                    ELSE coalesce(
                        mailroom_stale(t.action, t.expires_at, t.consumed_at, a.status),
                        -- Tested here, because most accounts have one token, and the call would cost more.
                        CASE WHEN (mailroom_action_newest_only(t.action)
                                   OR mailroom_action_most_mails(t.action) IS NOT NULL)
                             AND EXISTS (SELECT FROM tokens o
                                         WHERE o.account = t.account AND o.action = t.action AND o.id <> t.id)
                             THEN coalesce(mailroom_replaced(p_queue, t.id, t.account, t.action),
                                           mailroom_limited(p_queue, t.id, t.account, t.action)) END) END AS stale
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
